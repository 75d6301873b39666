"""A study's report: what was claimed, what was seen, whether they agree; figures, tables, and how it was made.

It is written once, in Markdown; the HTML is the same text. Figures are SVG files beside them, made as `collapse export`
makes them, so that each says which runs it is of. `claims.csv` holds every pair of numbers behind the verdicts.
"""

from __future__ import annotations

import csv
import html
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

from markdown_it import MarkdownIt

from backend.api import views
from backend.api.configurations import differences
from backend.figures.collect import MAX_CURVE_POINTS, collect, costs_of
from backend.store import event_log, runs
from backend.store.database import Store
from backend.studies.store_runner import Planned, found
from ncengine import __version__
from ncengine.config.base import ConfigModel
from ncfigures.catalogue import FIGURES
from ncfigures.figures import build_figure_spec
from ncfigures.options import FigureOptions, parse_options
from ncfigures.render import render_figure
from ncfigures.tables import markdown_table
from ncstudies.claim_tests import LEVEL, Seen, judged
from ncstudies.study import Drawing, Outcome, Setting, Size, Study

VENUE = "iclr"
TABLED = ("finals", "costs", "implicit")
"""The figures whose numbers stand as a table below the pictures: the first of a setting that is one of them."""
HOW_TO_READ = (
    "Seen are the median and, in brackets, the least and largest over seeds. p is that of Wilcoxon's signed-rank "
    "test of runs paired by their seed, one-sided, exact; for “steadier”, of the test of Pitman and Morgan that "
    f"one of two paired variances is smaller. A claim *agrees* where p ≤ {LEVEL}, *disagrees* where the test in "
    "the opposite direction gives that, and is *undecided* otherwise. p is not corrected for the number of "
    "claims; five pairs can give no less than 0.031. A metric that was not reached counts as one epoch more than "
    "there are. All numbers behind the verdicts are in `claims.csv`. The same seeds give the same numbers on the same "
    "machine with the same number of threads; elsewhere sums are rounded in another order, and close verdicts may turn."
)
SOURCE = (
    "“The paper” is E. Markou, T. Ajanthan, S. Gould, *Guiding Neural Collapse: Optimising Towards the Nearest Simplex "
    "Equiangular Tight Frame*, NeurIPS 2024 ([arXiv:2411.01248](https://arxiv.org/abs/2411.01248)). Its claims stand "
    "here in our words."
)


class Report(NamedTuple):
    """A report's files by their names, and what was seen of the study's claims."""

    files: dict[str, bytes]
    seen: list[Seen]


@dataclass(frozen=True, slots=True)
class Done:
    """A finished run of a study."""

    planned: Planned
    run_id: str
    outcome: Outcome


def finished(store: Store, study: Study, plan: Sequence[Planned]) -> list[Done]:
    """Return the runs of a plan that have finished, with what they left."""
    there, held = found(store, plan), []
    for each in plan:
        row = there.get(each.key)
        if row is not None and row.status == "finished":
            series = views.series(store, row.id, None, MAX_CURVE_POINTS)
            costs = costs_of(store, row.id) if study.alone else None
            held.append(Done(each, row.id, Outcome(series.epochs, series.values, costs)))
    return held


def seen(study: Study, done: Sequence[Done]) -> list[Seen]:
    """Return what is seen of each claim in each of its settings, runs paired by their seeds."""
    by_arm: dict[tuple[str, str], dict[int, Outcome]] = {}
    for each in done:
        arm = by_arm.setdefault((each.planned.setting.name, each.planned.arm), {})
        arm[each.planned.config.seed] = each.outcome
    results = []
    for setting in study.settings:
        for claim in study.claims:
            of, than = (by_arm.get((setting.name, arm), {}) for arm in (claim.of, claim.than))
            seeds = sorted(set(of) & set(than))
            results.append(judged(claim, setting, [of[s] for s in seeds], [than[s] for s in seeds]))
    return results


def report(store: Store, study: Study, size: Size, plan: Sequence[Planned], progress: Callable[[str], None]) -> Report:
    """Return a study's report; raises Invalid or NotFound where figures cannot be drawn.

    `progress` is told in words what is being made.
    """
    progress("reading runs")
    done = finished(store, study, plan)
    results = seen(study, done)
    files: dict[str, bytes] = {}
    parts = [f"# {_escaped(study.title)}", study.question, *_summary(results)]
    for setting in study.settings:
        of_setting = [each for each in done if each.planned.setting.name == setting.name]
        parts += [f"## {setting.title}", _described(setting), _arms(setting)]
        if not of_setting:
            parts.append("None of its runs has finished.")
            continue
        parts.append(_claims_table([each for each in results if each.setting.name == setting.name]))
        tables = []
        for number, drawing in enumerate(setting.drawings, start=1):
            progress(f"drawing {setting.title}: {FIGURES[drawing.figure].title}")
            name = f"{setting.name}-{number}-{drawing.figure}.svg"
            request = collect(store, _ids(of_setting), drawing.figure, "svg", _options(drawing))
            spec = build_figure_spec(request)
            files[name] = render_figure(request)
            parts += [f"![{FIGURES[drawing.figure].title}]({name})", f"*{_escaped(spec.caption)}*"]
            tables += [markdown_table(spec)] if drawing.figure in TABLED else []
        parts += tables[:1]
    parts += _made(store, study, size, plan, done)
    text = "\n\n".join(parts) + "\n"
    files["claims.csv"] = _csv(results).encode()
    files["README.md"] = text.encode()
    files["report.html"] = page(study.title, text).encode()
    return Report(files, results)


def index(size: Size, held: Sequence[tuple[Study, Sequence[Seen]]]) -> bytes:
    """Return the page that leads to the reports of several studies: what each asks, and how its claims fared."""
    parts = ["# The paper's claims, and questions beyond it", f"`collapse reproduce all --size {size}`", SOURCE]
    lines = ["| Study | Question | Agree | Disagree | Undecided |", "|" + "---|" * 5]
    for study, results in held:
        counts = [
            str(sum(each.verdict == verdict for each in results)) for verdict in ("agrees", "disagrees", "undecided")
        ]
        link = f"[{study.title}]({study.name}-{size}/README.md)"
        lines.append("| " + " | ".join([link, _escaped(study.question), *counts]) + " |")
    return ("\n\n".join([*parts, "\n".join(lines), HOW_TO_READ]) + "\n").encode()


def _summary(results: Sequence[Seen]) -> list[str]:
    """Return the answer in sentences: how many claims agree, and which do not."""
    counts = {verdict: sum(each.verdict == verdict for each in results) for verdict in _ORDER}
    words = ", ".join(f"{count} {_ORDER[verdict]}" for verdict, count in counts.items() if count)
    against = [each for each in results if each.verdict == "disagrees"]
    lines = [f"**Of {len(results)} tests {words}.**"]
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


def _pair(each: Seen) -> str:
    reading = each.claim.reading
    middles = [reading.written(median(values)) for values in (each.of, each.than) if values]
    return f"{each.claim.of} {middles[0]}, {each.claim.than} {middles[1]}" if len(middles) == 2 else "no pairs"


def _ranged(each: Seen, values: Sequence[float]) -> str:
    if not values:
        return "—"
    low, middle, high = (each.claim.reading.written(part(values)) for part in (min, median, max))
    return f"{middle} [{low}, {high}]"


def _claims_table(results: Sequence[Seen]) -> str:
    """Return the claims on one setting, each with what was seen of it."""
    lines = ["| Claim | Read | Seen | Against | Holds in | p | Verdict |", "|" + "---|" * 7]
    for each in results:
        claim, epochs = each.claim, each.setting.shared.epochs
        cells = [
            f"{_escaped(claim.text)} *({claim.source})*",
            f"{claim.reading.words(epochs)}: {claim.relation}",
            f"{claim.of} {_ranged(each, each.of)}",
            f"{claim.than} {_ranged(each, each.than)}",
            "—" if claim.relation == "steadier" else f"{each.won} of {len(each.of)} seeds",
            _probability(each),
            f"**{each.verdict}**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _probability(each: Seen) -> str:
    if math.isnan(each.p):
        return "—"
    return f"{each.p:.2g}" if each.verdict != "disagrees" else f"{each.p:.2g} (opposite {each.p_opposite:.2g})"


def _described(setting: Setting) -> str:
    """Return what a setting trains on, and how."""
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


def _told(part: ConfigModel) -> str:
    """Return the name of a part of a config, with its settings."""
    held = part.model_dump(mode="json", exclude_none=True)
    name = held.pop("name")
    words = ", ".join(f"{key} {json.dumps(value)}" for key, value in held.items())
    return f"{name} ({words})" if words else str(name)


def _arms(setting: Setting) -> str:
    """Return the settings in which a setting's arms differ, arm by arm."""
    rows = differences(list(setting.arms.values()))
    lines = ["Its arms differ in these settings, and in no other:", ""]
    for index, arm in enumerate(setting.arms):
        held = [f"{key} {json.dumps(values[index])}" for key, values in rows if values[index] is not None]
        lines.append(f"- {_escaped(arm)}: `{', '.join(held)}`")
    return "\n".join(lines)


def _options(drawing: Drawing) -> FigureOptions:
    return parse_options({"venue": VENUE, **drawing.options})


def _ids(done: Sequence[Done]) -> list[str]:
    """Return the runs arm by arm: entries stand in this order."""
    order = list(dict.fromkeys(each.planned.arm for each in done))
    return [each.run_id for each in sorted(done, key=lambda each: order.index(each.planned.arm))]


def _made(store: Store, study: Study, size: Size, plan: Sequence[Planned], done: Sequence[Done]) -> list[str]:
    """Return how the report was made: command, versions, device, runs, and what is missing."""
    seeds = len({each.config.seed for each in plan})
    more = f" --seeds {seeds}" if seeds != 5 else ""
    parts = ["## How to read this", HOW_TO_READ, SOURCE, "## How this was made"]
    parts += [f"`collapse reproduce {study.name} --size {size}{more}`", *study.remarks]
    if len(done) < len(plan):
        lacking = [f"{each.arm}, seed {each.config.seed} ({each.setting.title})" for each in _without(plan, done)]
        parts.append(f"**{len(lacking)} of {len(plan)} runs are not finished:** {'; '.join(lacking)}.")
    if done:
        started = event_log.newest_event(store, done[0].run_id, "RunStarted")
        versions = {} if started is None else started.payload["versions"]
        device = "?" if started is None else started.payload["device"]
        libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
        parts.append(f"Collapse Lab {__version__}; {libraries}; device {device}; {platform.machine()}.")
    seconds = sum(runs.get(store, each.run_id).running_s for each in done)
    parts.append(
        f"{len(done)} runs, {seconds / 60:.1f} minutes of training in all; studies share runs that are alike. The runs "
        "by arm, in the order of their seeds:"
    )
    lines = []
    for setting in study.settings:
        for arm in setting.arms:
            ids = [e.run_id for e in done if e.planned.setting.name == setting.name and e.planned.arm == arm]
            lines.append(f"- {setting.title}, {arm}: " + ", ".join(f"`{run_id}`" for run_id in ids))
    parts.append("\n".join(lines))
    return parts


def _without(plan: Sequence[Planned], done: Sequence[Done]) -> list[Planned]:
    held = {each.planned.key for each in done}
    return [each for each in plan if each.key not in held]


def _csv(results: Sequence[Seen]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ("claim", "source", "setting", "reading", "relation", "of", "than", "values of", "values than")
    writer.writerow([*head, "p", "p opposite", "verdict"])
    for each in results:
        claim, epochs = each.claim, each.setting.shared.epochs
        named = [claim.text, claim.source, each.setting.name, claim.reading.words(epochs), claim.relation]
        values = [" ".join(repr(float(value)) for value in held) for held in (each.of, each.than)]
        writer.writerow(
            [*named, claim.of, claim.than, *values, f"{each.p:.4g}", f"{each.p_opposite:.4g}", each.verdict]
        )
    return stream.getvalue()


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join("\\" + character if character in "\\`*_[]<>#|" else character for character in text)


STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 Inter, system-ui, sans-serif; color: #1c2430; background: #fff; margin: 0 auto;
  padding: 2rem 1rem; max-width: 62rem; }
h1, h2 { line-height: 1.25; text-wrap: balance; }
h2 { margin-top: 2.5rem; }
img { width: min(100%, 46rem); height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #d9dee5; }
code { font-size: .9em; overflow-wrap: anywhere; }
em { font-style: normal; font-size: .875rem; color: #4a5566; }
"""


_WIDE = '<div class="wide" tabindex="0" role="region" aria-label="Table {}"><table>'


def page(title: str, text: str) -> str:
    """Return a report's Markdown as one page of HTML."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = reader.render(text)
    numbers = itertools.count(1)
    body = re.sub("<table>", lambda _: _WIDE.format(next(numbers)), body).replace("</table>", "</table></div>")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
