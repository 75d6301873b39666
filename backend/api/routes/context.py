"""What a route works with: the store, the supervisor, the stream's wake-ups, the figure process, the settings."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from pydantic import ValidationError

from backend.api.gauges import Gauges
from backend.api.security.authority import Authority
from backend.api.security.callers import current_caller
from backend.api.stream import Hub
from backend.api.work_queue import WorkQueue
from backend.figures.process import FigureProcess, LabelledFile
from backend.jobs import slots
from backend.jobs.supervisor import Supervisor
from backend.settings import Settings, datasets_dir
from backend.store.database import Store
from backend.store.errors import Invalid
from backend.store.validation import field_errors, named_setting
from ncengine.config import RunConfig
from ncengine.data import resolve_config


@dataclass(slots=True)
class Context:
    """One server's parts, made in `backend.api.app.Application`."""

    settings: Settings
    store: Store
    supervisor: Supervisor
    hub: Hub
    figure_process: FigureProcess
    authority: Authority
    gauges: Gauges
    figure_queue: WorkQueue[LabelledFile]
    """Figures and replays, which one process makes one after the other."""
    archive_queue: WorkQueue[LabelledFile]
    """Archives, out and in."""

    def require_device(self, config: RunConfig) -> None:
        """Raise Invalid where this machine has no slot for the config's device."""
        if slots.pick_slot(config.device, list(self.supervisor.slots)) is None:
            have = ", ".join(self.supervisor.slots)
            raise Invalid(
                f"device={config.device} is not on this machine, which has {have}; set device=auto",
                errors=[{"path": "device", "message": f"not on this machine, which has {have}"}],
            )

    def settled(self, config: RunConfig) -> RunConfig:
        """Return the config with what its own files hold; raises Invalid where they may not be read or do not fit."""
        roots = (datasets_dir(self.settings.data_dir), *self.settings.data_roots)
        try:
            return resolve_config(config, roots=roots)
        except (ValueError, OSError) as error:
            raise self.invalid(error) from error

    @staticmethod
    def invalid(error: Exception) -> Invalid:
        """Return what is wrong with a config as an error that names the fields."""
        if isinstance(error, ValidationError):
            found = [{"path": e.path, "message": e.message} for e in field_errors(list(error.errors()))]
            first = ": ".join(filter(None, found[0].values()))
            return Invalid(f"the config does not fit: {first}", errors=found)
        path = named_setting(str(error)) or "data.path"
        return Invalid(str(error), errors=[{"path": path, "message": str(error)}])


def context(request: Request) -> Context:
    """FastAPI dependency: the context of the application that serves the request."""
    found: Context = request.app.state.context
    return found


def token_id() -> str | None:
    """Return whose request this is for the limits of a queue: a token's id, None for the server's own."""
    return current_caller().token_id
