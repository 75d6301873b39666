"""Without the extra `figures` the server starts and tables are written; what needs matplotlib names the remedy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backend.figures.collect import collect_film, figure_errors
from backend.figures.files import make_figure_file
from backend.store.errors import Unusable
from ncfigures.film import FilmTiming, render_film
from ncfigures.options import FigureOptions, parse_options

REMEDY = r"matplotlib is not installed.*pip install 'collapse-lab\[figures\]'"


@pytest.fixture
def without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ncfigures.matplotlib_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.usefixtures("without_matplotlib")
def test_a_drawn_figure_names_the_extra_and_tables_need_none(kept):
    for format_ in ("pdf", "svg", "png", "eps", "pgf"):
        with pytest.raises(Unusable, match=REMEDY):
            make_figure_file(kept.store, [kept.run], "curves", format_, FigureOptions())
    for format_ in ("csv", "tex", "md", "json"):
        assert make_figure_file(kept.store, [kept.run], "curves", format_, FigureOptions()).content


@pytest.mark.usefixtures("without_matplotlib")
def test_a_film_names_the_extra(kept):
    request = collect_film(kept.store, [kept.run], parse_options({}))
    with pytest.raises(Unusable, match=REMEDY), figure_errors():
        render_film(request, "gif", FilmTiming(seconds=0.5, fps=4), "", lambda _: None)


def test_the_server_imports_no_drawing():
    code = "import sys, backend.api.app; print([name for name in ('matplotlib', 'fontTools') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
