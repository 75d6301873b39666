"""The dialog that confirms an action or asks for a value; assets/js/pages/bulk-actions.mjs fills it."""

from __future__ import annotations

from typing import Any

from dash import html


def dialog() -> Any:
    """Return the dialog, closed."""
    buttons = [
        html.Button("Cancel", className="quiet", value="no"),
        html.Button("", className="primary", value="yes", **{"data-part": "ask-yes"}),
    ]
    content = [
        html.H2("", **{"data-part": "ask-title"}),
        html.P("", **{"data-part": "ask-words"}),
        html.Div(**{"data-part": "ask-field"}),
        html.Div(buttons, className="actions"),
    ]
    return html.Dialog(
        html.Form(content, method="dialog"), className="help", **{"data-part": "ask", "aria-label": "Confirm"}
    )
