"""Make docs/figures.md and its pictures: every figure of the catalogue, of runs trained for it on real data."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from backend.figures.files import make_figure_file
from backend.store import query
from backend.store.database import Store, open_store
from ncfigures.catalogue import FIGURES, FigureName
from ncfigures.options import format_export_command, parse_options

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures" / "figures"
RUNS = (
    ("digits-nearest", ["--seeds", "3", "--name", "nearest ETF"]),
    ("digits-fixed", ["--seeds", "3", "--name", "fixed ETF"]),
    ("digits-linear", ["--seeds", "3", "--name", "linear"]),
    ("digits-nearest", ["--set", "head.implicit_gradient=false", "--name", "gradient cut"]),
    ("digits-linear", ["--set", 'measure.layers=["2","6"]', "--name", "layered"]),
)
STRIP = {"epochs": "0,1,3,20", "venue": "iclr"}
SHEET: list[tuple[FigureName, str, dict[str, str]]] = [
    ("geometry", "one", {"venue": "icml"}),
    ("geometry", "one", STRIP),
    ("angles", "heads", {"venue": "iclr"}),
    *((name, "heads", {}) for name in ("histogram", "curves", "training", "margin", "margins", "equinorm", "test")),
    *((name, "heads", {}) for name in ("finals", "times", "costs", "spectra")),
    ("implicit", "implicit", {}),
    ("layers", "layered", {}),
    ("composed", "one", {"venue": "iclr"}),
]

INTRODUCTION = "Every figure, made by `scripts/make_figures.py` from runs on handwritten digits."


def main() -> None:
    """Train, draw, write."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    with tempfile.TemporaryDirectory() as data:
        for preset, more in RUNS:
            subprocess.run(
                [sys.executable, "-m", "backend.cli", "run", preset, *more, "--data", data], check=True, cwd=ROOT
            )
        store = open_store(Path(data))
        lines = ["# Figures", "", INTRODUCTION, ""]
        for number, (figure, of, options) in enumerate(SHEET):
            file = make_figure_file(store, _ids(store, of), figure, "svg", parse_options(dict(options)))
            path = FOLDER / f"{number:02d}-{figure}.svg"
            path.write_bytes(file.content)
            words = {"one": "RUN", "heads": "RUN,…", "implicit": "RUN,RUN", "layered": "RUN"}[of]
            made = format_export_command([words], figure, "pdf", parse_options(dict(options)), f"{figure}.pdf")
            title = FIGURES[figure].title
            lines += [f"## {title}", "", f"`{made}`", "", f"![{title}](pictures/figures/{path.name})", ""]
            print(path.name, path.stat().st_size)
        store.close()
    (ROOT / "docs" / "figures.md").write_text("\n".join(lines))


def _ids(store: Store, of: str) -> list[str]:
    names = {
        "one": ["nearest ETF"],
        "heads": ["nearest ETF", "fixed ETF", "linear"],
        "implicit": ["nearest ETF", "gradient cut"],
        "layered": ["layered"],
    }[of]
    found = [sorted(query.list_matching_ids(store, f'name:"{name}"', 100)) for name in names]
    return [found[0][0]] if of == "one" else [run for ids in found for run in ids]


if __name__ == "__main__":
    main()
