// What a page knows of a run: a plain object that events change, and the sentences that are read from it.

import { decode, number } from "../core/arrays.mjs";

export function emptyRun(epochs) {
  return {
    epochs, status: "queued", error: null, started: null, epoch: 0, step: 0, captures: [], series: { train: {}, test: {} },
    measuredEpochs: [], steps: { epoch: [], loss: [], lr: [], speed: [], memory: [] }, terminalPhase: null, collapseLayer: null, pace: [], seq: 0, data: null, left: null, speed: null, note: null, pictured: false,
  };
}

export const ENDED = new Set(["finished", "cancelled", "failed"]);
const ENDS = { RunFinished: "finished", RunCancelled: "cancelled", RunFailed: "failed" };

/** Fill an empty run with what the service knows of it so far (its overview); events after `seq` follow. */
export function restore(run, { run: row, seq, started, series, steps, captures, newest, geometry }) {
  Object.assign(run, { seq, status: row.status, error: row.error, epoch: row.epoch, started });
  const perEpoch = started?.steps_per_epoch ?? 1;
  run.measuredEpochs = series.epochs;
  for (const [split, known] of Object.entries(series.values)) {
    run.series[split] = Object.fromEntries(Object.entries(known).map(([key, values]) => [key, values.map(number)]));
  }
  run.steps = {
    epoch: steps.step.map((step) => step / perEpoch), loss: steps.loss.map(number), lr: steps.lr.map(number),
    speed: (steps.samples_per_s ?? []).map(number), memory: (steps.memory_bytes ?? []).map((bytes) => gigabytes(number(bytes))),
  };
  run.captures = Array.from(decode(captures).data, (step) => {
    const epoch = step / perEpoch;
    return { step, epoch, href: `/api/v1/runs/${row.id}/geometry?epoch=${epoch}` };
  });
  if (geometry) Object.assign(run.captures.at(-1), geometry.facts);
  const { EpochMeasured: measured, StepMeasured: stepped, LogLine: line, DataProgressed: data } = newest;
  run.pictured = Boolean(newest.SamplesPictured);
  if (measured) Object.assign(run, { terminalPhase: measured.terminal_phase, collapseLayer: measured.collapse_layer ?? null });
  if (stepped) progressed(run, stepped);
  if (line && !line.text.includes("\n")) run.note = line.text;
  if (data && data.seq > (stepped?.seq ?? 0) && data.seq > (started?.seq ?? 0) && run.status === "running") run.data = data;
}

const gigabytes = (bytes) => (bytes === null || !Number.isFinite(bytes) ? null : bytes / 1e9);

function progressed(run, event) {
  run.step = event.step;
  run.speed = event.samples_per_s ?? null;
  run.left = event.remaining_s == null ? null : { seconds: number(event.remaining_s), at: Date.parse(event.at) };
}

/** Whether a run has what an event says already: an overview may hold a little more than it says. */
export function known(run, event) {
  if (event.type === "EpochMeasured") return event.epoch <= (run.measuredEpochs.at(-1) ?? 0);
  if (event.type === "GeometryCaptured") return event.step <= (run.captures.at(-1)?.step ?? -1);
  return event.type === "StepMeasured" && event.step <= run.step;
}

/** Change `run` by one event. Captures are told apart by their step, epochs by their number. */
export function apply(run, event) {
  run.seq = event.seq;
  if (known(run, event)) return;
  if (event.type === "RunQueued") Object.assign(run, { status: "queued", error: null });
  else if (event.type === "RunStarted") Object.assign(run, { status: "running", started: event, data: null });
  else if (event.type === "Resumed") Object.assign(run, { status: "running", pace: [], left: null, data: null });
  else if (event.type === "LogLine" && !event.text.includes("\n")) run.note = event.text; // a traceback is for the log
  else if (event.type === "DataProgressed") Object.assign(run, { status: "running", data: event });
  else if (event.type === "SamplesPictured") run.pictured = true;
  else if (event.type === "AttemptFailed") run.status = "queued";
  else if (event.type === "Paused") Object.assign(run, { status: "paused", data: null });
  else if (event.type in ENDS) Object.assign(run, { status: ENDS[event.type], error: event.error ?? null });
  else if (event.type === "GeometryCaptured") {
    const { arrays, ...capture } = event;
    run.captures.push(capture);
  } else if (event.type === "EpochMeasured") {
    run.status = "running";
    run.epoch = event.epoch;
    run.terminalPhase = event.terminal_phase;
    run.collapseLayer = event.collapse_layer ?? null;
    run.measuredEpochs.push(event.epoch);
    run.pace.push({ epoch: event.epoch, at: Date.parse(event.at) });
    if (run.pace.length > 6) run.pace.shift();
    for (const [split, scalars] of Object.entries(event.scalars)) {
      const series = (run.series[split] ??= {});
      for (const [key, value] of Object.entries(scalars)) {
        const values = (series[key] ??= []);
        while (values.length < run.measuredEpochs.length - 1) values.push(null); // epochs in which it was not defined
        values.push(number(value));
      }
    }
  } else if (event.type === "StepMeasured") {
    const perEpoch = run.started?.steps_per_epoch ?? 1;
    run.steps.epoch.push(event.step / perEpoch);
    run.steps.loss.push(number(event.loss));
    run.steps.lr.push(event.lr);
    run.steps.speed.push(event.samples_per_s ?? null);
    run.steps.memory.push(gigabytes(Math.max(...Object.values(event.memory_bytes ?? {}))));
    progressed(run, event);
  }
}

/** Whether a run has a value of any metric of a group of charts. */
export function hasCharts(run, group) {
  return group.charts.some((chart) => chart.steps || Object.values(run.series).some((known) => chart.key in known));
}

/** Seconds left at the pace of the last epochs, before there are two of them by the run's own estimate, or null. */
export function secondsLeft(run, now) {
  if (run.status !== "running") return null;
  if (run.pace.length < 2) return run.left && Math.max(0, run.left.seconds - Math.max(0, now - run.left.at) / 1000);
  const [first, last] = [run.pace[0], run.pace.at(-1)];
  const perEpoch = (last.at - first.at) / (last.epoch - first.epoch) / 1000;
  return Math.max(0, perEpoch * (run.epochs - last.epoch) - Math.max(0, now - last.at) / 1000);
}

/** "34 s", "2 min 10 s", "3 h 5 min". */
export function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ""}`.trim();
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
}

export function statusWords(run) {
  if (run.status === "running") return `running ${Math.floor((100 * run.epoch) / run.epochs)} %`;
  return run.status;
}

export function progressWords(run, now) {
  const where = `epoch ${run.epoch} of ${run.epochs}`;
  if (run.status === "failed") return run.error ?? where;
  if (run.status === "running" && run.data) return dataWords(run.data);
  const words = [where];
  if (run.status === "running" && run.speed !== null) words.push(`${Math.round(Number(run.speed.toPrecision(2))).toLocaleString("en")} samples/s`);
  const left = secondsLeft(run, now);
  if (left !== null) words.push(`about ${duration(left)} left`);
  return words.join(" · ");
}

/** "downloading cifar-10-binary.tar.gz: 34 of 170 MB · about 12 s left". */
export function dataWords({ what, done, total, unit, remaining_s: left }) {
  const [scale, name] = unit === "bytes" ? [1e6, "MB"] : [1, unit];
  const size = (count) => Math.round(count / scale).toLocaleString("en");
  const of = total === null ? "" : ` of ${size(total)}`;
  return `${what}: ${size(done)}${of} ${name}${left === null ? "" : ` · about ${duration(left)} left`}`;
}

/** Three significant digits, without exponents where a person would write none. */
export function digits(value) {
  if (value === null || value === undefined) return "";
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1);
  return Number(value.toPrecision(3)).toString();
}

export const percent = (value) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(1)} %`);
