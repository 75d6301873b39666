"""What a route works with: the store, the supervisor, the stream's wake-ups, the figure process, the settings."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from backend.errors import Invalid
from backend.jobs.supervisor import Supervisor, pick_slot
from backend.paper.process import PaperProcess
from backend.settings import Settings
from backend.store.database import Store
from backend.stream import Wakeups
from ncengine.config import RunConfig


@dataclass(slots=True)
class Context:
    """One server's parts, made in `backend.app.create_app`."""

    settings: Settings
    store: Store
    supervisor: Supervisor
    wakeups: Wakeups
    paper: PaperProcess

    def require_device(self, config: RunConfig) -> None:
        """Raise Invalid where this machine has no slot for the config's device."""
        if pick_slot(config.device, list(self.supervisor.slots)) is None:
            have = ", ".join(self.supervisor.slots)
            raise Invalid(
                f"device={config.device} is not on this machine, which has {have}; set device=auto",
                errors=[{"path": "device", "message": f"not on this machine, which has {have}"}],
            )


def context(request: Request) -> Context:
    """FastAPI dependency: the context of the application that serves the request."""
    found: Context = request.app.state.context
    return found
