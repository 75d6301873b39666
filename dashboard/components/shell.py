"""The shell around every page: top bar, theme, dialogs, and the colours as CSS variables."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from backend.api import wire
from dashboard import ids
from dashboard.dialogs.help import shortcuts_dialog, tour_dialog
from ncfigures.palette import HEAD_COLOURS, TOKENS, Theme

PAGES = (("/runs", "Runs"), ("/new", "New run"), ("/compare", "Compare"), ("/system", "System"))
BRAND = [
    "#eef3fd", "#d9e3f8", "#b1c6f1", "#86a7ea", "#638de4", "#4c7ce1", "#3f73e0", "#3162c7", "#2457c5", "#174a9f",
]  # fmt: skip

DARK = [
    "#eceef2", "#a9b0bd", "#8b93a1", "#5c6370", "#282d36", "#1d2128", "#16191f", "#0f1115", "#0c0e12", "#08090c",
]  # fmt: skip
"""Mantine's dark shades from text to body, from the palette of the rest of the page."""


def render_css_variables() -> str:
    """Return the palette as CSS variables for both themes."""

    def block(theme: Theme) -> str:
        variables = "".join(f"--{name}:{value};" for name, value in TOKENS[theme].items())
        return variables + "".join(f"--head-{name}:{value};" for name, value in HEAD_COLOURS[theme].items())

    return (
        f":root{{{block('light')}color-scheme:light}}"
        f":root[data-mantine-color-scheme=dark]{{{block('dark')}color-scheme:dark}}"
    )


def format_devices(system: wire.SystemStatus) -> str:
    """Return the devices of the server's machine that runs use."""
    gpus = [device for device in system.devices if device != "cpu"]
    return f"{len(gpus)} GPU" if gpus else f"CPU · {system.cores} cores"


def _top_bar() -> Any:
    """Return the bar with the pages, the connection, the device, and buttons for theme and shortcuts."""
    links = [dcc.Link(label, href=path, className="nav-link", id=ids.nav_link(path)) for path, label in PAGES]
    return html.Header(
        [
            dcc.Link(
                [html.Img(src="/assets/mark.svg", alt="All runs", width=22, height=22), html.B("Collapse Lab")],
                href="/runs",
                className="brand",
            ),
            html.Nav(links, className="nav"),
            html.Span("", className="connection", **{"data-part": "connection", "aria-live": "polite"}),
            html.Span("", id=ids.DEVICE, className="device"),
            html.A(
                "Docs",
                href="/docs/",
                target="_blank",
                id=ids.DOCUMENTATION,
                className="nav-link",
                title="Documentation",
                hidden=True,
            ),
            html.Button(
                "◐",
                id=ids.SCHEME_TOGGLE,
                className="quiet",
                title="Toggle theme",
                **{"aria-label": "Toggle theme"},
            ),
            html.Button(
                "?",
                id=ids.SHORTCUTS_OPEN,
                className="quiet",
                title="Keyboard shortcuts (?)",
                **{"aria-label": "Keyboard shortcuts"},
            ),
        ],
        className="top-bar",
    )


def layout() -> Any:
    """Return the application's layout; a callback fills it with the page of the address."""
    return dmc.MantineProvider(
        [
            dcc.Location(id=ids.URL, refresh="callback-nav"),
            dcc.Store(id=ids.SCHEME, storage_type="local"),
            dcc.Store(id=ids.PAGE_TITLE),
            _top_bar(),
            html.Main(id=ids.PAGE, className="page"),
            shortcuts_dialog(),
            tour_dialog(),
            html.Div(id=ids.TOAST, className="toast", hidden=True, role="status"),
        ],
        id=ids.MANTINE,
        defaultColorScheme="auto",
        theme={
            "colors": {"brand": BRAND, "dark": DARK},
            "primaryColor": "brand",
            "primaryShade": 8,
            "fontFamily": "'Inter Variable', system-ui, sans-serif",
            "defaultRadius": 6,
            "fontSizes": {"sm": "13px", "md": "14px"},
        },
    )
