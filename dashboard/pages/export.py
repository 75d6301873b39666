"""The export dialog: a preview made by the same code as the file, the file, and the command that makes it again."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from backend import wire
from backend.figure_options import MEDIA_TYPES, VENUES
from dashboard import ids

FIGURES = (
    ("geometry", "Geometry, this view"),
    ("angles", "Cosines between class means"),
    ("curves", "Curves over epochs"),
    ("margins", "Cosine margins, sorted"),
)
LAYERS = ("features", "classifier", "names", "legend")


def modal(run: wire.RunWire, metrics: list[wire.MetricWire]) -> Any:
    """Return the dialog, closed."""
    options = html.Div(
        [
            _field(
                "Figure",
                dmc.Select(
                    id=ids.EXPORT_FIGURE,
                    data=[{"value": v, "label": w} for v, w in FIGURES],
                    value="geometry",
                    allowDeselect=False,
                ),
            ),
            _field(
                "Venue",
                dmc.Select(
                    id=ids.EXPORT_VENUE,
                    data=[{"value": v, "label": w} for v, (w, _) in VENUES.items()],
                    value="icml",
                    allowDeselect=False,
                ),
            ),
            html.Div(
                _field(
                    "Metrics",
                    dmc.MultiSelect(
                        id=ids.EXPORT_KEYS,
                        data=[{"value": metric.key, "label": metric.label} for metric in metrics],
                        value=["nc1", "etf_distance_means", "nc3", "top1"],
                        searchable=True,
                    ),
                ),
                id=ids.EXPORT_KEYS_BOX,
            ),
            _field(
                "Format",
                dmc.SegmentedControl(
                    id=ids.EXPORT_FORMAT,
                    data=[{"value": f, "label": f.upper()} for f in MEDIA_TYPES],
                    value="pdf",
                    size="xs",
                ),
            ),
            _field("Type", dmc.SegmentedControl(id=ids.EXPORT_TYPE, data=["serif", "sans"], value="serif", size="xs")),
            html.Div(
                _field(
                    "Show",
                    dmc.ChipGroup(
                        [dmc.Chip(layer, value=layer, size="xs") for layer in LAYERS],
                        id=ids.EXPORT_SHOW,
                        multiple=True,
                        value=list(LAYERS),
                    ),
                ),
                id=ids.EXPORT_SHOW_BOX,
            ),
            html.A("Save", id=ids.EXPORT_SAVE, className="save", href="#", download=""),
            html.Pre("", id=ids.EXPORT_COMMAND, className="command"),
        ],
        className="export-options",
    )
    preview = html.Div(
        [
            html.P("Preview", className="field-title"),
            html.Div(html.Img(id=ids.EXPORT_PREVIEW, alt="Preview of the figure"), className="preview"),
            html.P(
                "Text stays text, fonts are embedded, nothing is rasterised in PDF and SVG.", className="field-help"
            ),
            html.P("Caption", className="field-title"),
            html.P("", id=ids.EXPORT_CAPTION, className="caption"),
        ]
    )
    return html.Div(
        [
            dcc.Store(id=ids.EXPORT_MOMENT),
            dmc.Modal(
                html.Div([preview, options], className="export"),
                id=ids.EXPORT_MODAL,
                title="Export figure",
                size=900,
                opened=False,
                transitionProps={"duration": 0},
            ),
        ]
    )


def _field(title: str, control: Any) -> Any:
    return html.Div([html.Label(title, className="field-title"), control], className="field")


def query(
    moment: dict[str, Any], figure: str, venue: str, kind: str, keys: list[str], shown: list[str]
) -> dict[str, str]:
    """Return the query parameters of a figure of what the page shows."""
    found = {"venue": venue, "serif": str(kind == "serif").lower()}
    if figure == "curves":
        return found | {"keys": ",".join(keys), "layers": ",".join(shown)}
    if moment.get("epoch") is not None:
        found["epoch"] = repr(moment["epoch"])
    if figure == "angles":
        return found | {"unit": moment.get("unit", "cos")}
    if figure == "margins":
        return found
    found |= {key: moment[key] for key in ("view", "classes") if moment.get(key)}
    return found | {"camera": moment.get("camera") or "", "layers": ",".join(shown)}


def addresses(run_id: str, figure: str, format_: str, options: dict[str, str]) -> tuple[str, str]:
    """Return where the preview and the file are."""
    base = f"/api/v1/runs/{run_id}/figures/{figure}"
    return f"{base}.svg?{urlencode(options)}", f"{base}.{format_}?{urlencode({**options, 'download': 'true'})}"


def command(run_id: str, figure: str, format_: str, options: dict[str, str]) -> str:
    """Return the command line that makes the same file."""
    flags = [f"--{key} {value}" for key, value in options.items() if key != "serif"]
    flags.append("--serif" if options["serif"] == "true" else "--sans")
    return f"collapse export {run_id} {figure} -o {figure}.{format_} \\\n  " + " \\\n  ".join(flags)


def caption(figure: str, moment: dict[str, Any], keys: list[str]) -> str:
    """Return a sentence for under the figure."""
    epoch = moment.get("epoch")
    when = "" if epoch is None else f" at epoch {epoch:g}"
    if figure == "geometry":
        return (
            f"Class means (dots), classifier rows (diamonds) and training features{when} in the frame of the nearest "
            f"simplex ETF (rings), {moment.get('view') or moment.get('own') or 'spherical'} view."
        )
    if figure == "angles":
        return f"Cosines between class means{when}; the scale is centred at the simplex ETF's −1/(K−1)."
    if figure == "margins":
        return f"Cosine margins of all samples, sorted{when}: train solid, test dotted, ideal K/(K−1) dashed."
    return f"{', '.join(keys)} over epochs: train solid, test dotted, ideal dashed."


def register(app: Dash) -> None:
    """Open with the page's moment; preview, link and command follow the options."""
    app.clientside_callback(
        ClientsideFunction("collapse", "openExport"),
        Output(ids.EXPORT_MODAL, "opened"),
        Output(ids.EXPORT_MOMENT, "data"),
        Input(ids.EXPORT_OPEN, "n_clicks"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(ids.EXPORT_PREVIEW, "src"),
        Output(ids.EXPORT_SAVE, "href"),
        Output(ids.EXPORT_SAVE, "children"),
        Output(ids.EXPORT_COMMAND, "children"),
        Output(ids.EXPORT_CAPTION, "children"),
        Output(ids.EXPORT_KEYS_BOX, "hidden"),
        Output(ids.EXPORT_SHOW_BOX, "hidden"),
        Input(ids.EXPORT_MOMENT, "data"),
        Input(ids.EXPORT_FIGURE, "value"),
        Input(ids.EXPORT_VENUE, "value"),
        Input(ids.EXPORT_FORMAT, "value"),
        Input(ids.EXPORT_TYPE, "value"),
        Input(ids.EXPORT_SHOW, "value"),
        Input(ids.EXPORT_KEYS, "value"),
        State(ids.RUN_ID, "data"),
        prevent_initial_call=True,
    )
    def follow(
        moment: dict[str, Any] | None,
        figure: str,
        venue: str,
        format_: str,
        kind: str,
        shown: list[str],
        keys: list[str],
        run_id: str,
    ) -> Any:
        if not moment:
            return (no_update,) * 7
        options = query(moment, figure, venue, kind, keys, shown)
        preview, save = addresses(run_id, figure, format_, options)
        made = command(run_id, figure, format_, options)
        words = caption(figure, moment, keys)
        return (
            preview,
            save,
            f"Save {format_.upper()}",
            made,
            words,
            figure != "curves",
            figure in ("angles", "margins"),
        )
