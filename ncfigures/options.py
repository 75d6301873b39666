"""A figure's options, as the API, the dialog, the command line and the file's metadata have them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.store.errors import Invalid
from ncfigures.catalogue import OPTIONS, VENUES, ColourVision


def _about(name: str) -> str:
    return OPTIONS[name][1]


class FigureOptions(BaseModel):
    """Everything that a figure's look and its choice of data depend on."""

    model_config = ConfigDict(extra="forbid")
    epoch: float | None = Field(default=None, ge=0, description=_about("epoch"))
    epochs: str | None = Field(default=None, max_length=200, description=_about("epochs"))
    view: str | None = Field(default=None, max_length=20, description=_about("view"))
    classes: str | None = Field(default=None, max_length=100, description=_about("classes"))
    camera: str | None = Field(default=None, max_length=200, description=_about("camera"))
    layers: str | None = Field(default=None, max_length=200, description=_about("layers"))
    unit: Literal["cos", "angle"] = Field(default="cos", description=_about("unit"))
    keys: str | None = Field(default=None, max_length=2000, description=_about("keys"))
    split: str | None = Field(default=None, pattern="^(train|test)(,(train|test))?$", description=_about("split"))
    scale: Literal["auto", "linear", "log"] = Field(default="auto", description=_about("scale"))
    until: int | None = Field(default=None, ge=0, description=_about("until"))
    threshold: float | None = Field(default=None, allow_inf_nan=False, description=_about("threshold"))
    panels: str | None = Field(default=None, max_length=1000, description=_about("panels"))
    venue: str = Field(default="icml", max_length=40, description=_about("venue"))
    width: float | None = Field(default=None, ge=1, le=12, allow_inf_nan=False, description=_about("width"))
    serif: bool = Field(default=True, description=_about("serif"))
    sight: ColourVision = Field(default="colour", description=_about("sight"))
    dpi: int = Field(default=300, ge=50, le=1200, description=_about("dpi"))
    legend: bool = Field(default=True, description=_about("legend"))
    axes: Literal["open", "boxed", "grid"] = Field(default="open", description=_about("axes"))

    def non_default(self) -> dict[str, str]:
        """Return the options that are not as they are by default, as text."""
        return {key: _words(value) for key, value in self.model_dump(exclude_defaults=True).items()}


def parse_options(given: dict[str, object]) -> FigureOptions:
    """Return options from what a person gave; raises Invalid where one is unknown or impossible."""
    try:
        return FigureOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            raise Invalid(f"there is no option {name!r}; there are {', '.join(FigureOptions.model_fields)}") from error
        raise Invalid(f"{name}: {first['msg']}, got {first['input']!r}") from error


def _words(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def export_command(runs: Sequence[str], figure: str, format_: str, options: FigureOptions, output: str) -> str:
    """Return the command line that makes a figure's file."""
    flags: list[str] = []
    for key, value in options.non_default().items():
        switch = {"serif": "--sans", "legend": "--no-legend"}.get(key)
        flags += [switch] if switch else [f"--{key}", shlex.quote(value)]
    kind = [] if output.endswith(f".{format_}") else ["--format", format_]
    return " ".join(["collapse", "export", ",".join(runs), figure, "-o", shlex.quote(output), *kind, *flags])


def film_command(runs: Sequence[str], options: FigureOptions, output: str = "film.gif") -> str:
    """Return the command line that films the geometry with a figure's view, classes, camera and layers."""
    given = options.non_default()
    flags = [f"--{key} {shlex.quote(given[key])}" for key in ("view", "classes", "camera", "layers") if key in given]
    return " ".join(["collapse", "film", ",".join(runs), "-o", output, *flags])


def latex_snippet(output: str, caption: str, venue: str, label: str) -> str:
    """Return the LaTeX that puts a figure's file into a paper."""
    environment = "figure*" if VENUES[venue].wide else "figure"
    include = rf"  \input{{{output}}}" if output.endswith(".pgf") else rf"  \includegraphics{{{output}}}"
    lines = [rf"\begin{{{environment}}}", r"  \centering", include]
    lines += [rf"  \caption{{{escape_latex(caption)}}}", rf"  \label{{fig:{label}}}", rf"\end{{{environment}}}"]
    return "\n".join(lines)


_LATEX = {
    **{character: "\\" + character for character in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"−": "$-$", "–": "--", "—": "---", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "·": r"$\cdot$"},
    **{"°": r"$^\circ$", "√": r"$\surd$", "‖": r"$\|$", "†": r"$^\dagger$", "²": "$^2$", "ᵀ": r"$^\top$"},
    **{"Σ": r"$\Sigma$", "μ": r"$\mu$", "σ": r"$\sigma$", "λ": r"$\lambda$", "δ": r"$\delta$", "τ": r"$\tau$"},
    **{"∈": r"$\in$", "→": r"$\to$", "×": r"$\times$", "∞": r"$\infty$", "±": r"$\pm$", "₃₂": "$_{32}$"},
    **{"ŵ": r"$\hat{w}$", "û": r"$\hat{u}$", "…": r"\dots{}"},
}


_ACCENTS = {"\u0304": "bar", "\u0303": "tilde", "\u0302": "hat"}


def escape_latex(text: str) -> str:
    """Return text as LaTeX writes it."""
    written: list[str] = []
    for character in text:
        if character in _ACCENTS and written:
            written[-1] = rf"$\{_ACCENTS[character]}{{{written[-1]}}}$"
        else:
            written.append(_LATEX.get(character, character))
    return "".join(written)
