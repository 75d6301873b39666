"""Start and stop of the server process: lock, port, token, uvicorn, and the printed address."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import socket
import ssl
import sys
import webbrowser
from dataclasses import replace
from types import FrameType
from typing import Any
from urllib.parse import quote

import uvicorn

from backend.api.app import Application
from backend.api.logs import log_to
from backend.settings import (
    DEFAULT_PORT,
    Settings,
    load_or_create_token,
    read_token,
    require_proxies,
    require_safe_host,
)
from backend.store import data_directory
from backend.store.database import Store, open_store
from backend.store.errors import Unusable


class Server(uvicorn.Server):
    """uvicorn's server, extended: opens a browser after start-up, and ends open streams at shutdown."""

    def __init__(self, config: uvicorn.Config, application: Application, address: str | None) -> None:
        super().__init__(config)
        self._application, self._address = application, address
        self._opening: asyncio.Task[bool] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and then open `address` in a browser."""
        await super().startup(sockets=sockets)
        # Objects that exist now live until the end. Without freezing them, each full garbage collection would visit
        # them all, which stops every thread for 0.15 s every few seconds.
        gc.collect()
        gc.freeze()
        if self.started and self._address is not None:
            self._opening = asyncio.create_task(asyncio.to_thread(webbrowser.open, self._address))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._application.context.hub.close()
        super().handle_exit(sig, frame)


def open_socket(host: str, port: int, *, exact: bool) -> socket.socket:
    """Return a listening socket on `port` or, if that is taken and not `exact`, on another free port.

    It listens at once: between binding and listening another server could take the same port.
    """
    try:
        return _listen(host, port)
    except OSError as error:
        if exact:
            raise Unusable(
                f"port {port} on {host} cannot be used ({error.strerror}); choose another with --port"
            ) from error
        return _listen(host, 0)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def serve(requested: Settings, *, port: int | None, open_browser: bool, pages: Any, join: bool = False) -> None:
    """Serve until interrupted; raises Unusable with the remedy if the server cannot start.

    Args:
        requested: the settings; data directory, port and token are completed here.
        port: the port that must be used, or None for the default or any free one.
        join: add an empty data directory to the database's store.
    """
    require_proxies(requested.behind_proxy)
    _require_safe(requested)
    _require_readable_certificate(requested)
    store = open_store(requested.data_dir, requested.database_url, join=join)
    try:
        listener = open_socket(requested.host, port if port is not None else DEFAULT_PORT, exact=port is not None)
        settings = replace(
            requested,
            data_dir=store.data_dir,
            port=listener.getsockname()[1],
            token=requested.token or load_or_create_token(store.data_dir),
        )
        with listener, data_directory.hold_server_lock(store.data_dir, settings.url):
            log_to(store.data_dir / "server.log")
            uses_other_port = port is None and settings.port != DEFAULT_PORT
            _run(settings, store, listener, uses_other_port=uses_other_port, open_browser=open_browser, pages=pages)
    finally:
        store.close()


def _require_safe(requested: Settings) -> None:
    # A user may have put a weak token into the data directory: it does not permit to listen beyond this machine.
    stored = None if requested.token else read_token(requested.data_dir)
    proxies = {"allow_hosts": requested.allow_hosts, "behind_proxy": requested.behind_proxy}
    require_safe_host(requested.host, requested.token, **proxies)
    if stored is not None:
        require_safe_host("127.0.0.1", stored, **proxies)


def _require_readable_certificate(settings: Settings) -> None:
    if bool(settings.certificate) != bool(settings.key):
        raise Unusable("TLS needs both --certificate and --key; give both, or neither for plain http")
    if settings.certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise Unusable(
            f"the certificate {settings.certificate} and its key cannot be used ({error}); "
            "both must be PEM files that belong together"
        ) from error


def _run(
    settings: Settings, store: Store, listener: socket.socket, *, uses_other_port: bool, open_browser: bool, pages: Any
) -> None:
    application = Application(settings, store)
    if pages is not None:
        application.add_pages(pages)
    if uses_other_port:
        print(f"Port {DEFAULT_PORT} is taken; using {settings.port} instead.", file=sys.stderr)
    shown = "127.0.0.1" if ipaddress.ip_address(socket.gethostbyname(settings.host)).is_unspecified else settings.host
    address = f"{replace(settings, host=shown).url}/?token={quote(settings.token, safe='')}"
    print(f"Collapse Lab is at {address}", flush=True)
    print(f"Data in {settings.data_dir}. Ctrl-C stops the server; running runs continue.", flush=True)
    config = uvicorn.Config(
        application.guarded,
        log_level="warning",
        access_log=False,  # addresses may carry a token
        ws="websockets-sansio",
        timeout_graceful_shutdown=3,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        # Without a trusted proxy, forwarded headers are ignored, also from this machine.
        proxy_headers=bool(settings.behind_proxy),
        forwarded_allow_ips=list(settings.behind_proxy),
    )
    server = Server(config, application, address if open_browser and _has_display() else None)
    # Ctrl-C is the regular way to stop the server.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
