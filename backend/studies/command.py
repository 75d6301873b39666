"""`collapse reproduce`: list studies, execute or continue their runs, write reports."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from rich.console import Console

from backend.cli import console
from backend.jobs.launcher import DataAccess
from backend.store.database import Store
from backend.store.errors import Invalid, Unusable, did_you_mean
from backend.studies.store_runner import StoreRunner, choose_capacity
from ncstudies.runner import PlannedRun, plan_runs
from ncstudies.studies import STUDIES
from ncstudies.study import Size, Study

if TYPE_CHECKING:
    from ncstudies.claim_tests import ClaimResult

REPORT_PACKAGES = ("matplotlib", "fontTools", "jinja2", "markdown_it")
"""Packages of the extra `studies`; a missing one is reported before hours of training, not after."""


def _size(text: str) -> Size:
    if text not in get_args(Size):
        raise Invalid(f"--size must be one of {', '.join(get_args(Size))}, got {text!r}")
    return cast(Size, text)


def list_studies(size: str) -> None:
    """Print the studies of a size: their names, how many runs of five seeds, their titles."""
    for name, make in STUDIES.items():
        study = make(_size(size))
        count = 5 * sum(len(setting.arms) for setting in study.settings)
        print(f"{name:14} {count:4} runs  {study.title}")


def reproduce(
    store: Store,
    name: str,
    size: str,
    seeds: int,
    output: Path | None,
    *,
    plan: bool,
    download: bool,
    mirror: str | None,
) -> None:
    """Execute one study, or all, and write its report; with `plan` only print what would run."""
    if name != "all" and name not in STUDIES:
        suggestion = did_you_mean(name, ["all", *STUDIES])
        raise Invalid(f"the study must be all or one of {', '.join(STUDIES)}, got {name!r}{suggestion}")
    chosen = _size(size)
    names = list(STUDIES) if name == "all" else [name]
    folder = output or Path("reproduction")
    targets = {each: output if output and name != "all" else folder / f"{each}-{chosen}" for each in names}
    for target in (folder, *targets.values()):
        require_report_folder(target)
    require_report_packages()
    # Listing the studies needs neither statistics nor Markdown.
    from ncstudies.report import write_index, write_study_report

    runner = StoreRunner(store, DataAccess(mirror=mirror))
    reported: list[tuple[Study, list[ClaimResult]]] = []
    for each in names:
        study = STUDIES[each](chosen)
        planned = plan_runs(study, chosen, seeds, download=download)
        _announce(runner, study, planned)
        if plan:
            continue
        runner.execute(study, planned)
        with Console(stderr=True).status("writing the report") as status:
            files, results = write_study_report(runner, study, chosen, planned, status.update)
        write_report(targets[each], files)
        print(f"{targets[each] / 'report.html'}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")
        reported.append((study, results))
    if name == "all" and reported:
        write_report(folder, {"README.md": write_index(chosen, reported)})


def _announce(runner: StoreRunner, study: Study, plan: list[PlannedRun]) -> None:
    done = sum(run.is_finished for run in runner.find(plan).values())
    left = len(plan) - done
    line = f"{study.name}: {len(plan)} runs, {done} of them done"
    if left:
        seconds = runner.estimate_s(plan, choose_capacity(study))
        line += "; nothing like them was run here, so how long they take is not known yet" if seconds is None else ""
        line += "" if seconds is None else f"; about {max(1, round(seconds / 60))} min for the rest"
    Console(stderr=True).print(line)


def require_report_packages() -> None:
    """Raise Unusable where a package that reports need is not installed."""
    missing = [name for name in REPORT_PACKAGES if find_spec(name) is None]
    if missing:
        raise Unusable(f"reports need {', '.join(missing)}; pip install 'collapse-lab[studies]'")


def require_report_folder(folder: Path) -> None:
    """Refuse a folder whose README.md is not a report's: it would be written over, after hours of training."""
    try:
        text = (folder / "README.md").read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    if "collapse reproduce" not in text:
        raise Invalid(
            f"{folder / 'README.md'} is no report of `collapse reproduce` and would be written over; name another "
            "folder with -o"
        )


def write_report(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a report's files into a folder, each whole or not at all; an earlier report's are replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        console.write_chunks(target / name, [content])
