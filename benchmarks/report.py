"""One measured figure with its target, and the files that hold them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number: what it is, its value and unit, and the bound it is held to, where there is one."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure is within its bound."""
        below = self.at_most is None or self.value <= self.at_most
        return below and (self.at_least is None or self.value >= self.at_least)

    @property
    def bound(self) -> str:
        """The bound in words, empty where there is none."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return "" if self.at_least is None else f"≥ {self.at_least:g}"


def side_by_side(calls: Mapping[str, Callable[[], object]], *, rounds: int = 15, repeat: int = 40) -> dict[str, float]:
    """Return the median seconds of each call, measured in turns of `repeat` calls so that noise falls on all alike."""
    for call in calls.values():
        for _ in range(repeat // 2):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            seconds[name].append((time.perf_counter() - start) / repeat)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def machine() -> str:
    """The machine in words, without its name."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write(name: str, figures: list[Figure]) -> None:
    """Write a benchmark's figures as JSON, and all benchmarks' figures as one Markdown table."""
    RESULTS.mkdir(exist_ok=True)
    held = {"machine": machine(), "figures": [{**asdict(figure), "holds": figure.holds} for figure in figures]}
    (RESULTS / f"{name}.json").write_text(json.dumps(held, indent=2, ensure_ascii=False) + "\n")
    lines = [
        "# Figures of the last `make bench`",
        "",
        "| benchmark | what | measured | bound | |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        for entry in json.loads(path.read_text())["figures"]:
            entry.pop("holds")
            figure = Figure(**entry)
            mark = "" if not figure.bound else "holds" if figure.holds else "**missed**"
            what = figure.what + (f" ({figure.note})" if figure.note else "")
            lines.append(f"| {path.stem} | {what} | {figure.value:.3g} {figure.unit} | {figure.bound} | {mark} |")
    (RESULTS / "README.md").write_text("\n".join([*lines, "", f"Measured on {machine()}.", ""]))
