"""Security headers of every response."""

from __future__ import annotations

from collections.abc import Iterable

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


def content_security_policy(script_hashes: Iterable[str] = ()) -> bytes:
    """Return the policy: scripts of this server, and inline ones with a given hash.

    Inline styles are allowed because Plotly and Mantine create style elements whose hashes are not known beforehand.
    """
    scripts = " ".join(script_hashes)
    return (
        f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'self'; form-action 'self'; object-src 'none'"
    ).encode()
