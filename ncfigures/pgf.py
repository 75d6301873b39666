"""PGF without a LaTeX installation: matplotlib's renderer, with text measured in matplotlib's own fonts.

matplotlib asks LaTeX how wide each text is, which needs LaTeX on the machine that draws. What is written is text for
the paper's own LaTeX to set, in the paper's own font; for the layout, the width in a font of the same kind will do.
"""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pgf import RendererPgf
from matplotlib.figure import Figure

from ncfigures.latex import escape_latex

HEAD = r"""%% A PGF picture: \usepackage{{pgf}} in the preamble, then \input{{{name}}} where it goes.
"""


class _Renderer(RendererPgf):
    def __init__(self, figure: Figure, stream: io.StringIO) -> None:
        super().__init__(figure, stream)  # type: ignore[no-untyped-call]
        self._measure: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]

    def draw_path_collection(
        self,
        gc: Any,
        master_transform: Any,
        paths: Any,
        all_transforms: Any,
        offsets: Any,
        offset_trans: Any,
        facecolors: Any,
        edgecolors: Any,
        linewidths: Any,
        linestyles: Any,
        antialiaseds: Any,
        urls: Any,
        offset_position: Any,
        *,
        hatchcolors: Any = (),
    ) -> None:
        """Define each shape once and refer to it; matplotlib would write a whole circle for every point."""
        shapes = list(self._iter_collection_raw_paths(master_transform, paths, all_transforms))  # type: ignore[attr-defined]
        defined: set[int] = set()
        looks = (facecolors, edgecolors, linewidths, linestyles, antialiaseds, urls, offset_position)
        numbers = range(len(shapes))
        self._write(r"\begin{pgfscope}")
        self._print_pgf_clip(gc)  # type: ignore[no-untyped-call]
        for x, y, number, own, face in self._iter_collection(  # type: ignore[attr-defined]
            gc, list(numbers), offsets, offset_trans, *looks, hatchcolors=hatchcolors
        ):
            if number not in defined:
                defined.add(number)
                self._define(number, *shapes[number], stroke=own.get_linewidth() != 0, fill=face is not None)
            self._write(r"\begin{pgfscope}")
            if own.get_linewidth():
                self._print_pgf_path_styles(own, face)  # type: ignore[no-untyped-call]
            elif face is not None:
                red, green, blue, *opacity = face
                self._write(rf"\definecolor{{face}}{{rgb}}{{{red:.4f},{green:.4f},{blue:.4f}}}\pgfsetfillcolor{{face}}")
                self._write(
                    rf"\pgfsetfillopacity{{{own.get_alpha() if own.get_forced_alpha() else (*opacity, 1)[0]:g}}}"
                )
            self._write(rf"\pgfsys@transformshift{{{x / self.dpi:f}in}}{{{y / self.dpi:f}in}}")
            self._write(rf"\pgfsys@useobject{{shape{number}}}{{}}")
            self._write(r"\end{pgfscope}")
        self._write(r"\end{pgfscope}")

    def _define(self, number: int, path: Any, transform: Any, *, stroke: bool, fill: bool) -> None:
        (left, bottom), (right, top) = path.get_extents(transform).get_points() / self.dpi
        box = rf"{{\pgfqpoint{{{left:f}in}}{{{bottom:f}in}}}}{{\pgfqpoint{{{right:f}in}}{{{top:f}in}}}}"
        self._write(rf"\pgfsys@defobject{{shape{number}}}{box}{{")
        self._print_pgf_path(None, path, transform)  # type: ignore[no-untyped-call]
        self._pgf_path_draw(stroke=stroke, fill=fill)  # type: ignore[no-untyped-call]
        self._write("}")

    def _write(self, line: str) -> None:
        self.fh.write(line + "%\n")

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: Any,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Escape text for LaTeX; matplotlib itself escapes per cent signs, carets and minus signs only."""
        escaped = escape_latex(s, keep="%^−")
        super().draw_text(gc, x, y, escaped, prop, angle, ismath, mtext)  # type: ignore[no-untyped-call]

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Any:
        return self._measure.get_text_width_height_descent(s, prop, ismath)


def draw_pgf(figure: Figure, name: str) -> str:
    """Return a figure as a pgfpicture."""
    stream = io.StringIO()
    width, height = (float(size) for size in figure.get_size_inches())
    page = _Renderer(figure, stream)
    renderer = MixedModeRenderer(figure, width, height, figure.dpi, page)  # type: ignore[no-untyped-call]
    figure.draw(renderer)  # type: ignore[arg-type]
    box = rf"\pgfpathrectangle{{\pgfpointorigin}}{{\pgfqpoint{{{width:f}in}}{{{height:f}in}}}}"
    begin = [r"\begingroup", r"\makeatletter", r"\begin{pgfpicture}", box, r"\pgfusepath{use as bounding box, clip}"]
    end = [r"\end{pgfpicture}", r"\makeatother", r"\endgroup", ""]
    lines = [f"{line}%" if line else line for line in begin]
    return HEAD.format(name=name) + "\n".join(lines) + "\n" + stream.getvalue() + "%\n".join(end)
