"""The service that a command works with: a server or a data directory, chosen by its options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.options import Data, Database, ServerUrl, Token, optional_flag, with_flags

if TYPE_CHECKING:
    from backend.client.service import Service
    from backend.client.store_service import StoreService


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Which server or data directory a command works on."""

    data: Path | None
    database_url: str | None
    server: str | None
    token: str | None

    def open(self, *, create: bool = False) -> AbstractContextManager[Service]:
        """Return the service of the server or of the data directory; `create` makes a new store if there is none."""
        from backend.client.service import open_service

        return open_service(
            server=self.server,
            token=self.token,
            data=self.data,
            database_url=self.database_url,
            create=create,
            verify=os.environ.get("COLLAPSE_CERTIFICATE") or True,
            on_wait=lambda wait: print(wait, file=sys.stderr),
        )


def open_store_service(data: Path | None, database_url: str | None, *, create: bool = False) -> StoreService:
    """Return the service of a data directory, for commands that need its store."""
    from backend.client.store_service import StoreService
    from backend.settings import resolve_store

    return StoreService(*resolve_store(data, database_url), create=create)


def with_service(command: Callable[..., None]) -> Callable[..., None]:
    """Add --data, --database-url, --server and --token; the command gets them as `service: ServiceOptions`."""
    annotations = {"data": Data, "database_url": Database, "server": ServerUrl, "token": Token}
    flags = [optional_flag(name, annotation) for name, annotation in annotations.items()]
    return with_flags(command, "service", flags, lambda values: ServiceOptions(**values))
