"""`collapse reproduce`: studies listed, runs started or gone on with, reports written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from rich.console import Console

from backend.cli import console
from backend.jobs.launcher import DataAccess
from backend.store.database import Store
from backend.store.errors import Invalid
from backend.studies import store_runner as running
from ncstudies.studies import STUDIES
from ncstudies.study import Size, Study

if TYPE_CHECKING:
    from ncstudies.claim_tests import Seen


def _size(text: str) -> Size:
    if text not in get_args(Size):
        raise Invalid(f"--size must be one of {', '.join(get_args(Size))}, got {text!r}")
    return cast(Size, text)


def listing(size: str) -> None:
    """Print the studies of a size: their names, how many runs of five seeds, what they ask."""
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
    """Run one study, or all, and write its report; with `plan` only say what would run."""
    # Drawing is slow to import, and a list of studies needs none of it.
    from ncstudies.report import index, report

    if name != "all" and name not in STUDIES:
        raise Invalid(f"the study must be all or one of {', '.join(STUDIES)}, got {name!r}")
    chosen = _size(size)
    names = list(STUDIES) if name == "all" else [name]
    folder = output or Path("reproduction")
    targets = {each: output if output and name != "all" else folder / f"{each}-{chosen}" for each in names}
    for target in (folder, *targets.values()):
        require_report_folder(target)
    reported: list[tuple[Study, list[Seen]]] = []
    for each in names:
        study = STUDIES[each](chosen)
        wanted = running.planned(study, chosen, seeds, download=download)
        _announce(store, study, wanted)
        if plan:
            continue
        running.execute(store, study, wanted, DataAccess(mirror=mirror))
        with Console(stderr=True).status("writing the report") as status:
            files, seen = report(store, study, chosen, wanted, status.update)
        write_report(targets[each], files)
        print(f"{targets[each] / 'report.html'}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")
        reported.append((study, seen))
    if name == "all" and reported:
        write_report(folder, {"README.md": index(chosen, reported)})


def _announce(store: Store, study: Study, plan: list[running.Planned]) -> None:
    there = running.found(store, plan)
    done = sum(row.status == "finished" for row in there.values())
    left = len(plan) - done
    words = f"{study.name}: {len(plan)} runs, {done} of them done"
    if left:
        seconds = running.estimate_s(store, plan, running.capacity_for(study))
        words += "; nothing like them was run here, so how long they take is not known yet" if seconds is None else ""
        words += "" if seconds is None else f"; about {max(1, round(seconds / 60))} min for the rest"
    Console(stderr=True).print(words)


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
