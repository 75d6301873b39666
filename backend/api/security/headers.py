"""The headers of every answer: what a browser may load and run, and from where."""

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
    """Return the policy: scripts from here and those of the page's own that are named by their hash.

    Plotly and Mantine write style elements of their own, which no hash can name beforehand: inline styles stay allowed.
    """
    scripts = " ".join(script_hashes)
    return (
        f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'self'; form-action 'self'; object-src 'none'"
    ).encode()
