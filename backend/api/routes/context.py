"""What routes share: the server's parts as FastAPI dependencies, and a route class that encodes models in a thread."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from backend.api.monitoring import ServerMonitor
from backend.api.security.authenticator import Authenticator
from backend.api.security.permissions import current_caller
from backend.api.stream import StreamHub
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
class AppContext:
    """Parts of one server, made in `backend.api.app.Application`."""

    settings: Settings
    store: Store
    supervisor: Supervisor
    hub: StreamHub
    figure_process: FigureProcess
    authenticator: Authenticator
    monitor: ServerMonitor
    figure_queue: WorkQueue[LabelledFile]
    """Figures and replays; one process renders them, one at a time."""
    archive_queue: WorkQueue[LabelledFile]
    """Archive exports and imports."""

    def require_device(self, config: RunConfig) -> None:
        """Raise Invalid if this machine has no slot for the config's device."""
        if slots.pick_slot(config.device, list(self.supervisor.slots)) is None:
            have = ", ".join(self.supervisor.slots)
            raise Invalid(
                f"device={config.device} is not on this machine, which has {have}; set device=auto",
                errors=[{"path": "device", "message": f"not on this machine, which has {have}"}],
            )

    def resolve_config(self, config: RunConfig) -> RunConfig:
        """Fill in what the user's own data files determine; raises Invalid if they are not allowed or do not fit."""
        roots = (datasets_dir(self.settings.data_dir), *self.settings.data_roots)
        try:
            return resolve_config(config, roots=roots)
        except (ValueError, OSError) as error:
            raise self.config_error(error) from error

    @staticmethod
    def config_error(error: Exception) -> Invalid:
        """Convert an exception about a config to an error that names the fields."""
        if isinstance(error, ValidationError):
            fields = [{"path": e.path, "message": e.message} for e in field_errors(list(error.errors()))]
            first = ": ".join(filter(None, fields[0].values()))
            return Invalid(f"the config does not fit: {first}", errors=fields)
        path = named_setting(str(error)) or "data.path"
        return Invalid(str(error), errors=[{"path": path, "message": str(error)}])


def get_context(request: Request) -> AppContext:
    """FastAPI dependency: return the context of the application that serves the request."""
    context: AppContext = request.app.state.context
    return context


ContextDep = Annotated[AppContext, Depends(get_context)]


def queue_owner() -> str | None:
    """Return the token id that a queue's per-token limit counts; None for the server's own token."""
    return current_caller().token_id


class EncodedRoute(APIRoute):
    """A route whose thread-run (non-async) endpoint returns its model already encoded as JSON."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        wrapped = endpoint if inspect.iscoroutinefunction(endpoint) else _encoding(endpoint, given.get("status_code"))
        super().__init__(path, wrapped, **given)


def _encoding(endpoint: Callable[..., Any], status_code: int | None) -> Callable[..., Any]:
    @functools.wraps(endpoint)
    def encoded(*args: Any, **kwargs: Any) -> Any:
        result = endpoint(*args, **kwargs)
        if not isinstance(result, BaseModel):
            return result
        answer = Response(result.model_dump_json(), media_type="application/json")
        injected = next((value for value in kwargs.values() if type(value) is Response), None)
        # Copy status and headers from the injected response, as FastAPI does.
        answer.status_code = (injected and injected.status_code) or status_code or 200
        if injected is not None:
            headers = ((name, value) for name, value in injected.raw_headers if name != b"content-length")
            answer.raw_headers.extend(headers)
        return answer

    return encoded
