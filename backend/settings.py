"""How a server is configured: options of `collapse serve`, or COLLAPSE_* environment variables of the same names."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import platformdirs

from backend.store.errors import Unusable

DEFAULT_PORT = 8050
IMPORT_BYTES = 4 * 2**30
"""The largest archive that is imported, packed or not."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A server's settings, checked."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str = ""
    database_url: str | None = None
    warm: bool = True
    demonstration: bool = True
    allow_hosts: tuple[str, ...] = ()
    """Host headers, `name:port`, under which other machines or a container's host reach this server."""
    behind_proxy: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies, whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    data_roots: tuple[Path, ...] = ()
    """Folders, beside the data directory's own `datasets`, below which runs may read one's own data."""
    mirror: str | None = None
    """Address of a folder with the data sets' files, asked instead of their own hosts."""
    slots: tuple[str, ...] = ()
    """How many runs a device takes at once, where not one: `cpu=2`, `cuda:0=3`."""
    hang_s: float = 60.0
    """Silence of a worker after which its run is tried again elsewhere."""
    min_free_bytes: int = 2**30
    """So much of the disk stays free: no further run starts beyond."""
    worker_memory_bytes: int | None = None
    """Private memory that a worker may have."""
    certificate: Path | None = None
    """Certificate chain for TLS, with `key`; the server then speaks https."""
    key: Path | None = None
    import_bytes: int = IMPORT_BYTES

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def datasets_dir(data_dir: Path) -> Path:
    """Return where downloaded data sets lie, and where one's own may always be put."""
    return data_dir / "datasets"


def default_data_dir() -> Path:
    """Return the platform's user data directory for Collapse Lab."""
    return Path(platformdirs.user_data_dir("collapse-lab", appauthor=False))


def resolve_store(data: Path | None, database_url: str | None) -> tuple[Path, str | None]:
    """Return data directory and database as every command and notebook means them.

    What is given wins, then COLLAPSE_DATA and COLLAPSE_DATABASE_URL, then the platform's directory with SQLite in it
    (None as the database).
    """
    named = os.environ.get("COLLAPSE_DATA")
    directory = data or (Path(named) if named else default_data_dir())
    return directory.expanduser().absolute(), database_url or os.environ.get("COLLAPSE_DATABASE_URL") or None


def database_url_of(data_dir: Path, database_url: str | None) -> str:
    """Return the address of a data directory's database, SQLite in the directory where none is named."""
    return database_url or sqlite_url(data_dir / "collapse.db")


def sqlite_url(file: Path) -> str:
    """Return the address of an SQLite file, whatever characters its path has."""
    return f"sqlite:///{quote(str(file.absolute()))}"


MIN_TOKEN_LENGTH = 16
"""A token of one's own that other machines may try has at least so many characters."""


def require_safe_host(
    host: str, token: str | None, *, allow_hosts: Iterable[str] = (), behind_proxy: Iterable[str] = ()
) -> None:
    """Refuse a weak token where other machines reach the server, and to listen beyond this machine without one.

    They reach it where it listens on another address than loopback, where it answers to another name, and through a
    reverse proxy.
    """
    if not is_loopback_host(host) and not _is_address(host):
        raise Unusable(f"--host must be an IP address or localhost, got {host!r}")
    exposed = [f"--host {host}"] if not is_loopback_host(host) else []
    exposed += [f"--allow-host {name}" for name in allow_hosts if not is_loopback_host(_name_of(name))]
    exposed += [f"--behind-proxy {address}" for address in behind_proxy]
    if exposed and token and len(token) < MIN_TOKEN_LENGTH:
        raise Unusable(
            f"the token has {len(token)} characters, and with {exposed[0]} other machines may try to guess it; use at "
            f"least {MIN_TOKEN_LENGTH}, "
            'such as python3 -c "import secrets; print(secrets.token_urlsafe())" prints, with --token, COLLAPSE_TOKEN '
            "or in the data directory's file `token`"
        )
    if not is_loopback_host(host) and not token:
        raise Unusable(
            f"listening on {host} lets other machines in: give a token of your own with --token or COLLAPSE_TOKEN, "
            "or leave --host at 127.0.0.1 and use an SSH tunnel"
        )


def require_proxies(addresses: Iterable[str]) -> None:
    """Refuse trusted proxies that are no addresses: whoever is trusted says where requests come from."""
    for address in addresses:
        try:
            network = ipaddress.ip_network(address)
        except ValueError as error:
            raise Unusable(
                f"--behind-proxy must be an IP address or a network such as 172.17.0.0/16, got {address!r}"
            ) from error
        if network.prefixlen == 0:
            raise Unusable(f"--behind-proxy {address} would trust everybody; name the proxy's own address")


def is_loopback_host(name: str) -> bool:
    """Return whether a host name or address means this machine alone."""
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(host_header: str) -> str:
    """Return the name in a Host header, without the port and brackets."""
    try:
        return urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return host_header


def read_token(data_dir: Path) -> str | None:
    """Return the token that this data directory holds, or None."""
    path = data_dir / "token"
    return (path.read_text().strip() or None) if path.exists() else None


def load_or_create_token(data_dir: Path) -> str:
    """Return this data directory's token, made at random on first use and readable by its owner alone.

    It is kept so that scripts and open pages survive a restart of the server.
    """
    held = read_token(data_dir)
    if held is not None:
        return held
    token = secrets.token_urlsafe(24)
    path = data_dir / "token"
    path.touch(mode=0o600)
    path.write_text(token)
    return token
