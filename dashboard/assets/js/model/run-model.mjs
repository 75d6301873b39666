// The state of a run as a plain object, which events change.

import { apiUrl } from "../core/api.mjs";
import { decodeArray, toNumber } from "../core/arrays.mjs";
import { statusAfter } from "../core/constants.mjs";

const PACE_EPOCHS = 6; // epochs whose duration the remaining time is estimated from

/** Create the state of a run of which nothing is known but its number of epochs. */
export function createRun(epochs) {
  return {
    epochs, status: "queued", error: null, started: null, epoch: 0, step: 0, seq: 0,
    captures: [], measuredEpochs: [], series: { train: {}, test: {} },
    steps: { epoch: [], loss: [], lr: [], speed: [], memory: [] },
    terminalPhaseEpoch: null, collapseLayer: null, recentEpochs: [], remaining: null, speed: null,
    dataProgress: null, note: null, hasSampleImages: false,
  };
}

/** Fill a new run from the service's overview; events after its `seq` follow. */
export function loadOverview(run, { run: row, seq, started, series, steps, captures, newest, geometry }) {
  Object.assign(run, { seq, status: row.status, error: row.error, epoch: row.epoch, started });
  const stepsPerEpoch = started?.steps_per_epoch ?? 1;
  run.measuredEpochs = series.epochs;
  for (const [split, metrics] of Object.entries(series.values)) {
    run.series[split] = Object.fromEntries(Object.entries(metrics).map(([key, values]) => [key, values.map(toNumber)]));
  }
  run.steps = {
    epoch: steps.step.map((step) => step / stepsPerEpoch), loss: steps.loss.map(toNumber), lr: steps.lr.map(toNumber),
    speed: (steps.samples_per_s ?? []).map(toNumber), memory: (steps.memory_bytes ?? []).map((bytes) => toGigabytes(toNumber(bytes))),
  };
  run.captures = Array.from(decodeArray(captures).data, (step) => {
    const epoch = step / stepsPerEpoch;
    return { step, epoch, href: apiUrl(`/runs/${row.id}/geometry`, { epoch }) };
  });
  if (geometry) Object.assign(run.captures.at(-1), geometry.facts);
  loadNewestEvents(run, newest);
}

function loadNewestEvents(run, { EpochMeasured, StepMeasured, LogLine, DataProgressed, SamplesPictured }) {
  run.hasSampleImages = Boolean(SamplesPictured);
  if (EpochMeasured) Object.assign(run, { terminalPhaseEpoch: EpochMeasured.terminal_phase, collapseLayer: EpochMeasured.collapse_layer ?? null });
  if (StepMeasured) updateProgress(run, StepMeasured);
  if (LogLine && !LogLine.text.includes("\n")) run.note = LogLine.text;
  const startedSeq = Math.max(StepMeasured?.seq ?? 0, run.started?.seq ?? 0);
  if (DataProgressed && DataProgressed.seq > startedSeq && run.status === "running") run.dataProgress = DataProgressed;
}

const toGigabytes = (bytes) => (bytes === null || !Number.isFinite(bytes) ? null : bytes / 1e9);

function updateProgress(run, event) {
  run.step = event.step;
  run.speed = event.samples_per_s ?? null;
  run.remaining = event.remaining_s == null ? null : { seconds: toNumber(event.remaining_s), atMs: Date.parse(event.at) };
}

/** Whether the run has an event's content already: an overview may hold a little more than its `seq` says. */
export function hasEvent(run, event) {
  if (event.type === "EpochMeasured") return event.epoch <= (run.measuredEpochs.at(-1) ?? 0);
  if (event.type === "GeometryCaptured") return event.step <= (run.captures.at(-1)?.step ?? -1);
  return event.type === "StepMeasured" && event.step <= run.step;
}

/** How each type of event changes a run, besides its status. */
const REDUCERS = {
  RunQueued: (run) => Object.assign(run, { error: null }),
  RunFailed: (run, event) => Object.assign(run, { error: event.error }),
  RunStarted: (run, event) => Object.assign(run, { started: event, dataProgress: null }),
  Resumed: (run) => Object.assign(run, { recentEpochs: [], remaining: null, dataProgress: null }),
  LogLine: (run, event) => {
    if (!event.text.includes("\n")) run.note = event.text; // a traceback is shown by the log alone
  },
  DataProgressed: (run, event) => Object.assign(run, { dataProgress: event }),
  SamplesPictured: (run) => Object.assign(run, { hasSampleImages: true }),
  Paused: (run) => Object.assign(run, { dataProgress: null }),
  GeometryCaptured: (run, { arrays: _, ...capture }) => run.captures.push(capture),
  EpochMeasured: addEpoch,
  StepMeasured: addStep,
};

/** Change a run by one event. Content that the run has already changes nothing. */
export function applyEvent(run, event) {
  run.seq = event.seq;
  if (hasEvent(run, event)) return;
  run.status = statusAfter(run.status, event.type);
  REDUCERS[event.type]?.(run, event);
}

function addEpoch(run, event) {
  run.epoch = event.epoch;
  run.terminalPhaseEpoch = event.terminal_phase;
  run.collapseLayer = event.collapse_layer ?? null;
  run.measuredEpochs.push(event.epoch);
  run.recentEpochs.push({ epoch: event.epoch, atMs: Date.parse(event.at) });
  if (run.recentEpochs.length > PACE_EPOCHS) run.recentEpochs.shift();
  for (const [split, scalars] of Object.entries(event.scalars)) {
    const series = (run.series[split] ??= {});
    for (const [key, value] of Object.entries(scalars)) {
      const values = (series[key] ??= []);
      while (values.length < run.measuredEpochs.length - 1) values.push(null); // epochs without a value of this metric
      values.push(toNumber(value));
    }
  }
}

function addStep(run, event) {
  const stepsPerEpoch = run.started?.steps_per_epoch ?? 1;
  run.steps.epoch.push(event.step / stepsPerEpoch);
  run.steps.loss.push(toNumber(event.loss));
  run.steps.lr.push(event.lr);
  run.steps.speed.push(event.samples_per_s ?? null);
  run.steps.memory.push(toGigabytes(Math.max(...Object.values(event.memory_bytes ?? {}))));
  updateProgress(run, event);
}

/** Whether a run has a value of any metric of a group of charts. */
export function hasCharts(run, group) {
  return group.charts.some((chart) => chart.steps || Object.values(run.series).some((metrics) => chart.key in metrics));
}

/** Estimate the seconds left from the last epochs; before there are two of them, the run's own estimate; or null. */
export function secondsLeft(run, nowMs) {
  if (run.status !== "running") return null;
  if (run.recentEpochs.length < 2) return run.remaining && Math.max(0, run.remaining.seconds - Math.max(0, nowMs - run.remaining.atMs) / 1000);
  const [first, last] = [run.recentEpochs[0], run.recentEpochs.at(-1)];
  const secondsPerEpoch = (last.atMs - first.atMs) / (last.epoch - first.epoch) / 1000;
  return Math.max(0, secondsPerEpoch * (run.epochs - last.epoch) - Math.max(0, nowMs - last.atMs) / 1000);
}
