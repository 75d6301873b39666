"""The report of a study: its claims, their tests, figures, tables, and how the runs were made.

The Markdown is the text; the HTML is rendered from it. Figures are SVG files beside them, made as `collapse export`
makes them, so that each names its runs. `claims.csv` holds every pair of numbers behind the verdicts.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from pydantic import BaseModel

from ncengine import __version__
from ncengine.config.differences import config_differences
from ncstudies.claim_tests import SIGNIFICANCE_LEVEL, ClaimResult, evaluate_claim
from ncstudies.runner import PlannedRun, Runner
from ncstudies.study import RunOutcome, Setting, Size, Study

TABLED = ("finals", "costs", "implicit")
"""Figures whose numbers are printed as a table; a setting has the table of the first of them."""
HOW_TO_READ = (
    "Seen are the median and, in brackets, the least and largest over seeds. p is that of Wilcoxon's signed-rank "
    "test of runs paired by their seed, one-sided, exact; for “steadier”, of the test of Pitman and Morgan that "
    f"one of two paired variances is smaller. A claim *agrees* where p ≤ {SIGNIFICANCE_LEVEL}, *disagrees* where "
    "the test in the opposite direction gives that, and is *undecided* otherwise. p is not corrected for the number of "
    "claims; five pairs can give no less than 0.031. A metric that was not reached counts as one epoch more than "
    "there are. All numbers behind the verdicts are in `claims.csv`. The same seeds give the same numbers on the same "
    "machine with the same number of threads; elsewhere sums are rounded in another order, and close verdicts may turn."
)
SOURCE = (
    "“The paper” is E. Markou, T. Ajanthan, S. Gould, *Guiding Neural Collapse: Optimising Towards the Nearest Simplex "
    "Equiangular Tight Frame*, NeurIPS 2024 ([arXiv:2411.01248](https://arxiv.org/abs/2411.01248)). Its claims stand "
    "here in our words."
)


class StudyReport(NamedTuple):
    """A report's files by name, and the results of the study's claims."""

    files: dict[str, bytes]
    results: list[ClaimResult]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run of a study."""

    planned: PlannedRun
    run_id: str
    outcome: RunOutcome


def list_finished_runs(runner: Runner, study: Study, plan: Sequence[PlannedRun]) -> list[FinishedRun]:
    """Return the runs of a plan that have finished, with their results."""
    existing = runner.find(plan)
    return [
        FinishedRun(planned, run.id, runner.outcome(run.id, with_costs=study.exclusive))
        for planned in plan
        if (run := existing.get(planned.key)) is not None and run.is_finished
    ]


def evaluate_claims(study: Study, finished: Sequence[FinishedRun]) -> list[ClaimResult]:
    """Return the result of each claim in each of its settings, runs paired by their seeds."""
    by_arm: dict[tuple[str, str], dict[int, RunOutcome]] = {}
    for run in finished:
        arm = by_arm.setdefault((run.planned.setting.name, run.planned.arm), {})
        arm[run.planned.config.seed] = run.outcome
    results = []
    for setting in study.settings:
        for claim in study.claims:
            left, right = (by_arm.get((setting.name, arm), {}) for arm in (claim.arm, claim.baseline))
            seeds = sorted(set(left) & set(right))
            results.append(evaluate_claim(claim, setting, [left[s] for s in seeds], [right[s] for s in seeds]))
    return results


def write_study_report(
    runner: Runner, study: Study, size: Size, plan: Sequence[PlannedRun], progress: Callable[[str], None]
) -> StudyReport:
    """Return a study's report. `progress` is called with a description of each step.

    Raises the runner's errors where figures cannot be drawn.
    """
    progress("reading runs")
    finished = list_finished_runs(runner, study, plan)
    results = evaluate_claims(study, finished)
    files: dict[str, bytes] = {}
    parts = [f"# {_escaped(study.title)}", study.question, *_summary(results)]
    for setting in study.settings:
        of_setting = [run for run in finished if run.planned.setting.name == setting.name]
        parts += [f"## {setting.title}", _described(setting), _arms(setting)]
        if not of_setting:
            parts.append("None of its runs has finished.")
            continue
        parts.append(_claims_table([each for each in results if each.setting.name == setting.name]))
        parts += _draw_figures(runner, setting, of_setting, files, progress)
    parts += _how_it_was_made(runner, study, size, plan, finished)
    text = "\n\n".join(parts) + "\n"
    files["claims.csv"] = _csv(results).encode()
    files["README.md"] = text.encode()
    files["report.html"] = render_page(study.title, text).encode()
    return StudyReport(files, results)


def _draw_figures(
    runner: Runner,
    setting: Setting,
    finished: Sequence[FinishedRun],
    files: dict[str, bytes],
    progress: Callable[[str], None],
) -> list[str]:
    """Add the figures of a setting to `files`; return their Markdown, with one table below them."""
    parts, tables = [], []
    for number, figure in enumerate(setting.figures, start=1):
        title = runner.figure_title(figure)
        progress(f"drawing {setting.title}: {title}")
        name = f"{setting.name}-{number}-{figure.figure}.svg"
        drawn = runner.draw(_ids(finished), figure)
        files[name] = drawn.svg
        parts += [f"![{title}]({name})", f"*{_escaped(drawn.caption)}*"]
        tables += [drawn.table] if figure.figure in TABLED else []
    return parts + tables[:1]


def write_index(size: Size, reports: Sequence[tuple[Study, Sequence[ClaimResult]]]) -> bytes:
    """Return the index of several reports: the question of each study and the verdicts on its claims."""
    parts = ["# The paper's claims, and questions beyond it", f"`collapse reproduce all --size {size}`", SOURCE]
    lines = ["| Study | Question | Agree | Disagree | Undecided |", "|" + "---|" * 5]
    for study, results in reports:
        counts = [
            str(sum(each.verdict == verdict for each in results)) for verdict in ("agrees", "disagrees", "undecided")
        ]
        link = f"[{study.title}]({study.name}-{size}/README.md)"
        lines.append("| " + " | ".join([link, _escaped(study.question), *counts]) + " |")
    return ("\n\n".join([*parts, "\n".join(lines), HOW_TO_READ]) + "\n").encode()


def _summary(results: Sequence[ClaimResult]) -> list[str]:
    """Return the summary: how many claims agree, and which do not."""
    counts = {verdict: sum(each.verdict == verdict for each in results) for verdict in _ORDER}
    counted = ", ".join(f"{count} {_ORDER[verdict]}" for verdict, count in counts.items() if count)
    against = [each for each in results if each.verdict == "disagrees"]
    lines = [f"**Of {len(results)} tests {counted}.**"]
    if against:
        lines.append("What was seen is the opposite of these claims:")
        lines.append(
            "\n".join(f"- {_escaped(each.claim.text)} ({each.setting.title}: {_pair(each)})" for each in against)
        )
    return lines


_ORDER = {
    "agrees": "agree with their claim",
    "disagrees": "disagree with it",
    "undecided": "are undecided",
    "not measured": "could not be made",
}


def _pair(each: ClaimResult) -> str:
    statistic = each.claim.statistic
    middles = [statistic.format(median(values)) for values in (each.arm_values, each.baseline_values) if values]
    return f"{each.claim.arm} {middles[0]}, {each.claim.baseline} {middles[1]}" if len(middles) == 2 else "no pairs"


def _ranged(each: ClaimResult, values: Sequence[float]) -> str:
    if not values:
        return "—"
    low, middle, high = (each.claim.statistic.format(part(values)) for part in (min, median, max))
    return f"{middle} [{low}, {high}]"


def _claims_table(results: Sequence[ClaimResult]) -> str:
    """Return the table of a setting's claims with their results."""
    lines = ["| Claim | Read | Seen | Against | Holds in | p | Verdict |", "|" + "---|" * 7]
    for each in results:
        claim, epochs = each.claim, each.setting.shared.epochs
        cells = [
            f"{_escaped(claim.text)} *({claim.source})*",
            f"{claim.statistic.describe(epochs)}: {claim.relation}",
            f"{claim.arm} {_ranged(each, each.arm_values)}",
            f"{claim.baseline} {_ranged(each, each.baseline_values)}",
            "—" if claim.relation == "steadier" else f"{each.wins} of {len(each.arm_values)} seeds",
            _probability(each),
            f"**{each.verdict}**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _probability(each: ClaimResult) -> str:
    if math.isnan(each.p):
        return "—"
    return f"{each.p:.2g}" if each.verdict != "disagrees" else f"{each.p:.2g} (opposite {each.p_opposite:.2g})"


def _described(setting: Setting) -> str:
    """Return the description of a setting: data, network, training."""
    config = setting.shared
    parts = [
        f"K = {config.classes}, d = {config.backbone.features}, N = {config.train_size:,}"
        + (f" (test {config.dataset_info.test:,})" if config.dataset_info.test else ""),
        f"network {config.backbone.name}",
        f"{config.epochs:,} epochs of {config.steps_per_epoch:,} steps with {config.batch_size:,} samples",
        f"optimiser {_told(config.optimiser)}",
        f"schedule {_told(config.schedule)}",
        f"batches {config.sampler.name}",
        f"{config.precision}",
    ]
    return "; ".join(parts) + "."


def _told(part: BaseModel) -> str:
    """Return the name of a part of a config, with its settings."""
    settings = part.model_dump(mode="json", exclude_none=True)
    name = settings.pop("name")
    listed = ", ".join(f"{key} {json.dumps(value)}" for key, value in settings.items())
    return f"{name} ({listed})" if listed else str(name)


def _arms(setting: Setting) -> str:
    """Return the settings in which a setting's arms differ, arm by arm."""
    rows = config_differences(list(setting.arms.values()))
    lines = ["Its arms differ in these settings, and in no other:", ""]
    for index, arm in enumerate(setting.arms):
        settings = [f"{key} {json.dumps(values[index])}" for key, values in rows if values[index] is not None]
        lines.append(f"- {_escaped(arm)}: `{', '.join(settings)}`")
    return "\n".join(lines)


def _ids(done: Sequence[FinishedRun]) -> list[str]:
    """Return the ids of runs, arm by arm."""
    order = list(dict.fromkeys(each.planned.arm for each in done))
    return [each.run_id for each in sorted(done, key=lambda each: order.index(each.planned.arm))]


def _how_it_was_made(
    runner: Runner, study: Study, size: Size, plan: Sequence[PlannedRun], finished: Sequence[FinishedRun]
) -> list[str]:
    """Return how the report was made: command, versions, device, runs, and which runs are missing."""
    seeds = len({planned.config.seed for planned in plan})
    more = f" --seeds {seeds}" if seeds != 5 else ""
    parts = ["## How to read this", HOW_TO_READ, SOURCE, "## How this was made"]
    parts += [f"`collapse reproduce {study.name} --size {size}{more}`", *study.remarks]
    if len(finished) < len(plan):
        keys = {run.planned.key for run in finished}
        missing = [
            f"{planned.arm}, seed {planned.config.seed} ({planned.setting.title})"
            for planned in plan
            if planned.key not in keys
        ]
        parts.append(f"**{len(missing)} of {len(plan)} runs are not finished:** {'; '.join(missing)}.")
    origins = [runner.origin(run.run_id) for run in finished]
    if origins:
        libraries = ", ".join(f"{name} {version}" for name, version in origins[0].versions.items())
        device = origins[0].device
        parts.append(f"Collapse Lab {__version__}; {libraries}; device {device}; {platform.machine()}.")
    minutes = sum(origin.seconds for origin in origins) / 60
    parts.append(
        f"{len(finished)} runs, {minutes:.1f} minutes of training in all; studies share runs that are alike. The runs "
        "by arm, in the order of their seeds:"
    )
    lines = []
    for setting in study.settings:
        for arm in setting.arms:
            ids = [r.run_id for r in finished if r.planned.setting.name == setting.name and r.planned.arm == arm]
            lines.append(f"- {setting.title}, {arm}: " + ", ".join(f"`{run_id}`" for run_id in ids))
    parts.append("\n".join(lines))
    return parts


def _csv(results: Sequence[ClaimResult]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ("claim", "source", "setting", "reading", "relation", "of", "than", "values of", "values than")
    writer.writerow([*head, "p", "p opposite", "verdict"])
    for each in results:
        claim, epochs = each.claim, each.setting.shared.epochs
        named = [claim.text, claim.source, each.setting.name, claim.statistic.describe(epochs), claim.relation]
        values = [
            " ".join(repr(float(value)) for value in numbers) for numbers in (each.arm_values, each.baseline_values)
        ]
        writer.writerow(
            [*named, claim.arm, claim.baseline, *values, f"{each.p:.4g}", f"{each.p_opposite:.4g}", each.verdict]
        )
    return stream.getvalue()


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join("\\" + character if character in "\\`*_[]<>#|" else character for character in text)


_WIDE_TABLE = '<div class="wide" tabindex="0" role="region" aria-label="Table {}"><table>'


def render_page(title: str, text: str) -> str:
    """Return a report's Markdown as one page of HTML; HTML inside the Markdown is shown as text."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    numbers = itertools.count(1)
    body = re.sub("<table>", lambda _: _WIDE_TABLE.format(next(numbers)), body).replace("</table>", "</table></div>")
    environment = Environment(
        loader=PackageLoader("ncstudies"), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("report.html.jinja").render(title=title, body=body)
