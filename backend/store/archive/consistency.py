"""Check that an archived run's events, its row and its files agree: checks across several records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from backend.store import run_status
from backend.store.archive.format import ArchivedArtifact, ArchivedEvent, ArchivedRun
from backend.store.array_layouts import Lengths, RunSizes
from backend.store.errors import Invalid
from ncengine.config import RunConfig
from ncengine.files.array_file import CorruptFileError, Header

BEFORE_START = frozenset((*run_status.STATUS_EVENTS, "DataProgressed", "LogLine")) - {"RunFinished"}
"""Events that may precede RunStarted; all others are interpreted with its payload."""
KINDS = {
    "GeometryCaptured": "geometry",
    "FeaturesKept": "features",
    "SamplesPictured": "samples",
    "CheckpointSaved": "checkpoint",
}
"""Kind of the file that belongs to an event of each type."""


class ConsistencyChecker:
    """Checks an archived run's events in order, and collects what its files and its row must match."""

    def __init__(self, facts: ArchivedRun, config: RunConfig) -> None:
        self._facts, self._config = facts, config
        self.sizes = RunSizes(config.classes, config.backbone.features, max(config.classes, config.measure.features))
        self._files = {each.seq: each for each in facts.artifacts}
        self._of_files: dict[int, Mapping[str, Any]] = {}
        self._metrics: frozenset[str] | None = None
        self._summary: Mapping[str, Any] = {}
        self._newest: dict[str, int] = {}
        self._step = -1
        self._shown: int | None = None

    def check(self, events: Iterable[ArchivedEvent]) -> Iterator[ArchivedEvent]:
        """Yield the events; raises Invalid, naming the line, where one contradicts an earlier event or the row."""
        for line, event in enumerate(events, 1):
            problem = self._problem(event)
            if problem is not None:
                raise Invalid(f"line {line} of events.jsonl, {event.type}: {problem}")
            yield event

    def _problem(self, event: ArchivedEvent) -> str | None:
        """Return the problem of the next event, or None."""
        payload = event.payload
        if event.seq == 1 and event.type != "RunQueued":
            return "a run's first event is RunQueued"
        if event.type == "RunQueued" and payload["config_hash"] != self._facts.config_hash:
            return "config_hash must be that of the config in run.json"
        if event.type == "RunStarted":
            return self._problem_of_start(payload)
        if self._metrics is None and event.type not in BEFORE_START:
            return "it must come after RunStarted"
        if payload.get("epoch", 0) > self._config.epochs:
            return f"epoch must be at most the {self._config.epochs} of the config, got {payload['epoch']}"
        problem = self._problem_of_file(event)
        if problem is None and event.type == "StepMeasured":
            problem = self._problem_of_step(payload)
        if problem is None and event.type == "EpochMeasured":
            problem = self._problem_of_epoch(payload)
        if problem is None and event.type == "GeometryCaptured":
            problem = self._problem_of_pairs(payload)
        return problem

    def _problem_of_start(self, payload: Mapping[str, Any]) -> str | None:
        if self._metrics is not None:
            return "a run starts once"
        expected = {
            "classes": self._config.classes,
            "features": self._config.backbone.features,
            "epochs": self._config.epochs,
        }
        for name, value in expected.items():
            if payload[name] != value:
                return f"{name} must be {value} as in the config, got {payload[name]}"
        if payload["steps_per_epoch"] * self._config.epochs >= 2**31:
            return f"steps_per_epoch must be less than {2**31 // self._config.epochs}"
        self._metrics = frozenset(payload["metrics"])
        return None

    def _problem_of_file(self, event: ArchivedEvent) -> str | None:
        """Return the problem of the file that run.json names for this event, if it names one."""
        kind = KINDS.get(event.type)
        if kind is not None:
            self._newest[kind] = event.seq
        file = self._files.get(event.seq)
        if file is None:
            return None
        if kind != file.kind or event.payload.get("step", 0) != file.step:
            return f"run.json says that {file.part} belongs to it"
        self._of_files[event.seq] = event.payload
        return None

    def _problem_of_step(self, payload: Mapping[str, Any]) -> str | None:
        if payload["step"] <= self._step:
            return f"step must be greater than the {self._step} before, got {payload['step']}"
        self._step = payload["step"]
        return None

    def _problem_of_epoch(self, payload: Mapping[str, Any]) -> str | None:
        known = self._metrics or frozenset()
        layers = {name: payload.get(name, {}) for name in ("layers", "layers_test")}
        for scalars in (*payload["scalars"].values(), *layers["layers"].values(), *layers["layers_test"].values()):
            unknown = [key for key in scalars if key not in known]
            if unknown:
                return f"RunStarted names no metric {unknown[0]!r}"
        for name in {**layers["layers"], **layers["layers_test"]}:
            if name not in self._config.measure.layers:
                return f"measure.layers in the config names no layer {name!r}"
        self._summary = payload["scalars"]
        return None

    def _problem_of_pairs(self, payload: Mapping[str, Any]) -> str | None:
        pairs = [payload["smallest_pair"], *(each[:2] for each in payload.get("closest", ()))]
        for first, second in pairs:
            if not (first < self._config.classes and second < self._config.classes):
                return f"pairs must be of classes 0 … {self._config.classes - 1}, got {first} and {second}"
        return None

    def check_end(self) -> None:
        """Raise Invalid where the events, read to their end, do not agree with run.json."""
        if self._facts.summary != self._summary:
            raise Invalid("the archive's run.json is not valid: summary must be the scalars of the last EpochMeasured")
        unmatched = sorted(set(self._files) - set(self._of_files))
        if unmatched:
            raise Invalid(
                f"the archive's {self._files[unmatched[0]].part} belongs to event {unmatched[0]}, which has no file"
            )
        newest = self._newest.get("geometry")
        if newest is not None and newest not in self._files:
            raise Invalid(f"the archive lacks the geometry of event {newest}, the newest that has one")

    def check_file(self, each: ArchivedArtifact, header: Header, lengths: Lengths) -> None:
        """Raise CorruptFileError where a file's arrays do not match its event."""
        payload = self._of_files[each.seq]
        if each.kind == "geometry":
            self._shown = self._shown or lengths["n"]
            if lengths["n"] != self._shown:
                raise CorruptFileError(f"all captures must show as many features, got {self._shown} and {lengths['n']}")
        elif each.kind == "samples" and payload["samples"] != lengths["p"]:
            raise CorruptFileError(f"its event has {payload['samples']} samples, and the file has {lengths['p']}")
        elif each.kind == "features":
            counts = {split: lengths[letter] for split, letter in (("train", "a"), ("test", "b")) if letter in lengths}
            if payload["samples"] != counts:
                raise CorruptFileError(f"its event has {payload['samples']} samples, and the file has {counts}")
        elif each.kind == "checkpoint":
            stored = (header.state.get("epoch"), header.state.get("step"))
            if stored != (payload["epoch"], payload["step"]):
                raise CorruptFileError(
                    f"its event has epoch and step {payload['epoch']}, {payload['step']}, and the file has {stored}"
                )
