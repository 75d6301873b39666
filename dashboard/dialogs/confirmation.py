"""A dialog that asks for confirmation, or for one value, before something is done; its script fills it."""

from __future__ import annotations

from typing import Any

from dash import html


def dialog() -> Any:
    """Return the dialog, closed."""
    return html.Dialog(
        html.Form(
            [
                html.H2("", **{"data-part": "ask-title"}),
                html.P("", **{"data-part": "ask-words"}),
                html.Div(**{"data-part": "ask-field"}),
                html.Div(
                    [
                        html.Button("Keep as it is", className="quiet", value="no"),
                        html.Button("", className="primary", value="yes", **{"data-part": "ask-yes"}),
                    ],
                    className="actions",
                ),
            ],
            method="dialog",
        ),
        className="help",
        **{"data-part": "ask", "aria-label": "Before it is done"},
    )
