"""Make the pictures of the page of figures: every figure of the catalogue, of runs trained for it on real data."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from documentation.catalogues import SHEET, picture_name

from backend.figures.files import make_figure_file
from backend.store import query
from backend.store.database import Store, open_store
from ncfigures.options import parse_options

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures" / "figures"
RUNS = (
    ("digits-nearest", ["--seeds", "3", "--name", "nearest ETF"]),
    ("digits-fixed", ["--seeds", "3", "--name", "fixed ETF"]),
    ("digits-linear", ["--seeds", "3", "--name", "linear"]),
    ("digits-nearest", ["--set", "head.implicit_gradient=false", "--name", "gradient cut"]),
    ("digits-linear", ["--set", 'measure.layers=["2","6"]', "--name", "layered"]),
)


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
        for number, (figure, of, options) in enumerate(SHEET):
            file = make_figure_file(store, _ids(store, of), figure, "svg", parse_options(dict(options)))
            path = FOLDER / picture_name(number)
            path.write_bytes(file.content)
            print(path.name, path.stat().st_size)
        store.close()


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
