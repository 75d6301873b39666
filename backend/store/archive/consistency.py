"""Whether an archived run's events, its row and its files tell one story: what no payload can say by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from backend.store import run_status
from backend.store.archive.format import ArchivedArtifact, ArchivedEvent, ArchivedRun
from backend.store.array_layouts import Lengths, RunSizes
from backend.store.errors import Invalid
from ncengine.array_file import Damaged, Header
from ncengine.config import RunConfig

BEFORE_START = frozenset((*run_status.STATUS_EVENTS, "DataProgressed", "LogLine")) - {"RunFinished"}
"""What may happen before RunStarted: everything else is read with what that says."""
KINDS = {
    "GeometryCaptured": "geometry",
    "FeaturesKept": "features",
    "SamplesPictured": "samples",
    "CheckpointSaved": "checkpoint",
}
"""Events with files, and the kind of those."""


class ConsistencyChecker:
    """Follows an archived run's events in order, and remembers what its files and its row must agree with."""

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

    def require(self, events: Iterable[ArchivedEvent]) -> Iterator[ArchivedEvent]:
        """Yield the events; raises Invalid, with the line, at the first that does not fit those before, or the row."""
        for line, event in enumerate(events, 1):
            wrong = self._wrong(event)
            if wrong is not None:
                raise Invalid(f"line {line} of events.jsonl, {event.type}: {wrong}")
            yield event

    def _wrong(self, event: ArchivedEvent) -> str | None:
        """Return what is wrong with the next event."""
        payload = event.payload
        if event.seq == 1 and event.type != "RunQueued":
            return "a run's first event is RunQueued"
        if event.type == "RunQueued" and payload["config_hash"] != self._facts.config_hash:
            return "config_hash must be that of the config in run.json"
        if event.type == "RunStarted":
            return self._wrong_start(payload)
        if self._metrics is None and event.type not in BEFORE_START:
            return "it must come after RunStarted"
        if payload.get("epoch", 0) > self._config.epochs:
            return f"epoch must be at most the {self._config.epochs} of the config, got {payload['epoch']}"
        wrong = self._wrong_file(event)
        if wrong is None and event.type == "StepMeasured":
            wrong = self._wrong_step(payload)
        if wrong is None and event.type == "EpochMeasured":
            wrong = self._wrong_epoch(payload)
        if wrong is None and event.type == "GeometryCaptured":
            wrong = self._wrong_pairs(payload)
        return wrong

    def _wrong_start(self, payload: Mapping[str, Any]) -> str | None:
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

    def _wrong_file(self, event: ArchivedEvent) -> str | None:
        """Return what is wrong with the file that run.json names for this event, where it names one."""
        kind = KINDS.get(event.type)
        if kind is not None:
            self._newest[kind] = event.seq
        held = self._files.get(event.seq)
        if held is None:
            return None
        if kind != held.kind or event.payload.get("step", 0) != held.step:
            return f"run.json says that {held.part} belongs to it"
        self._of_files[event.seq] = event.payload
        return None

    def _wrong_step(self, payload: Mapping[str, Any]) -> str | None:
        if payload["step"] <= self._step:
            return f"step must be greater than the {self._step} before, got {payload['step']}"
        self._step = payload["step"]
        return None

    def _wrong_epoch(self, payload: Mapping[str, Any]) -> str | None:
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

    def _wrong_pairs(self, payload: Mapping[str, Any]) -> str | None:
        pairs = [payload["smallest_pair"], *(each[:2] for each in payload.get("closest", ()))]
        for first, second in pairs:
            if not (first < self._config.classes and second < self._config.classes):
                return f"pairs must be of classes 0 … {self._config.classes - 1}, got {first} and {second}"
        return None

    def require_end(self) -> None:
        """Raise Invalid where the whole of the events does not agree with run.json."""
        if self._facts.summary != self._summary:
            raise Invalid("the archive's run.json is not valid: summary must be the scalars of the last EpochMeasured")
        lost = sorted(set(self._files) - set(self._of_files))
        if lost:
            raise Invalid(f"the archive's {self._files[lost[0]].part} belongs to event {lost[0]}, which has no file")
        newest = self._newest.get("geometry")
        if newest is not None and newest not in self._files:
            raise Invalid(f"the archive lacks the geometry of event {newest}, the newest that has one")

    def require_file(self, each: ArchivedArtifact, header: Header, lengths: Lengths) -> None:
        """Raise Damaged where a file's arrays are not those that its event speaks of."""
        payload = self._of_files[each.seq]
        if each.kind == "geometry":
            self._shown = self._shown or lengths["n"]
            if lengths["n"] != self._shown:
                raise Damaged(f"all captures must show as many features, got {self._shown} and {lengths['n']}")
        elif each.kind == "samples" and payload["samples"] != lengths["p"]:
            raise Damaged(f"its event speaks of {payload['samples']} samples, and it pictures {lengths['p']}")
        elif each.kind == "features":
            here = {split: lengths[letter] for split, letter in (("train", "a"), ("test", "b")) if letter in lengths}
            if payload["samples"] != here:
                raise Damaged(f"its event speaks of {payload['samples']} samples, and it holds {here}")
        elif each.kind == "checkpoint":
            said = (header.state.get("epoch"), header.state.get("step"))
            if said != (payload["epoch"], payload["step"]):
                raise Damaged(f"its event speaks of epoch and step {payload['epoch']}, {payload['step']}, it of {said}")
