"""Settings of a server (options of `collapse serve`, or COLLAPSE_* environment variables), data directory and token."""

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
"""Maximum size of an imported archive, compressed or not."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a server."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str = ""
    database_url: str | None = None
    warm: bool = True
    demonstration: bool = True
    allow_hosts: tuple[str, ...] = ()
    """Additional Host headers, `name:port`, under which other machines reach this server."""
    behind_proxy: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted."""
    data_roots: tuple[Path, ...] = ()
    """Folders from which runs may read the user's data, besides `datasets` in the data directory."""
    mirror: str | None = None
    """URL from which data sets are downloaded, instead of their own hosts."""
    slots: tuple[str, ...] = ()
    """Number of runs at once by device, if not one: `cpu=2`, `cuda:0=3`."""
    hang_s: float = 60.0
    """Time without a heartbeat after which a worker is considered hung and its run is retried."""
    min_free_bytes: int = 2**30
    """No run starts while less of the disk is free."""
    worker_memory_bytes: int | None = None
    """Limit of a worker's private memory."""
    certificate: Path | None = None
    """Certificate chain for https, with `key`."""
    key: Path | None = None
    import_bytes: int = IMPORT_BYTES

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


PLUGINS_VARIABLE = "COLLAPSE_PLUGINS"


def load_named_plugins(names: str | None = None) -> None:
    """Load the plugins of a comma-separated list of packages, by default that of COLLAPSE_PLUGINS.

    The variable is set for the processes that this one starts. Raises ncengine.plugins.PluginError.
    """
    names = os.environ.get(PLUGINS_VARIABLE, "") if names is None else names
    packages = [name.strip() for name in names.split(",") if name.strip()]
    if packages:
        from ncengine.plugins import load_plugins

        os.environ[PLUGINS_VARIABLE] = ",".join(plugin.package for plugin in load_plugins(packages))


def datasets_dir(data_dir: Path) -> Path:
    """Return the folder of downloaded data sets, from which runs may always read."""
    return data_dir / "datasets"


def default_data_dir() -> Path:
    """Return the platform's user data directory for Collapse Lab."""
    return Path(platformdirs.user_data_dir("collapse-lab", appauthor=False))


def resolve_store(data: Path | None, database_url: str | None) -> tuple[Path, str | None]:
    """Return data directory and database URL of a command or notebook.

    Arguments take precedence over COLLAPSE_DATA and COLLAPSE_DATABASE_URL; the defaults are the platform's user data
    directory, and None for SQLite in it.
    """
    from_environment = os.environ.get("COLLAPSE_DATA")
    directory = data or (Path(from_environment) if from_environment else default_data_dir())
    return directory.expanduser().absolute(), database_url or os.environ.get("COLLAPSE_DATABASE_URL") or None


def database_url_of(data_dir: Path, database_url: str | None) -> str:
    """Return the database URL of a data directory, by default that of SQLite in it."""
    return database_url or sqlite_url(data_dir / "collapse.db")


def sqlite_url(file: Path) -> str:
    """Return the URL of an SQLite file, with special characters of its path escaped."""
    return f"sqlite:///{quote(str(file.absolute()))}"


MIN_TOKEN_LENGTH = 16
"""Minimum length of a user's token on a server that other machines can reach."""


def require_safe_host(
    host: str, token: str | None, *, allow_hosts: Iterable[str] = (), behind_proxy: Iterable[str] = ()
) -> None:
    """Raise Unusable for a weak or missing token on a server that other machines can reach.

    They can if it listens on another address than loopback, accepts another Host header, or is behind a proxy.
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
    """Raise Unusable for trusted proxies that are no address or every address: they determine a client's address."""
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
    """Return whether a host name or address is a loopback one."""
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
    """Return the token stored in a data directory, or None."""
    path = data_dir / "token"
    return (path.read_text().strip() or None) if path.exists() else None


def load_or_create_token(data_dir: Path) -> str:
    """Return the data directory's token; a random one is created on first use, readable by its owner only.

    It is stored so that scripts and open pages still work after a restart of the server.
    """
    stored = read_token(data_dir)
    if stored is not None:
        return stored
    token = secrets.token_urlsafe(24)
    path = data_dir / "token"
    path.touch(mode=0o600)
    path.write_text(token)
    return token
