import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { statusAfter } from "../../dashboard/assets/js/core/constants.mjs";
import { mergeEvent } from "../../dashboard/assets/js/core/api.mjs";
import { applyEvent, createRun, hasCharts, loadOverview, secondsLeft } from "../../dashboard/assets/js/model/run-model.mjs";
import { needsLogAxis } from "../../dashboard/assets/js/core/arrays.mjs";
import { chartData, heatmapValues } from "../../dashboard/assets/js/panels/charts.mjs";
import { dataProgressText, progressText, statusText } from "../../dashboard/assets/js/panels/run-text.mjs";
import { placeLabels } from "../../dashboard/assets/js/scene/marks.mjs";

const at = (second) => new Date(1e12 + 1000 * second).toISOString();
const epoch = (number, second, nc1 = 1 / number) => ({
  type: "EpochMeasured", seq: number + 1, epoch: number, at: at(second), terminal_phase: null,
  scalars: { train: { nc1 }, test: { nc1: 2 * nc1 } },
});

test("events build the run's state", () => {
  const run = createRun(10);
  applyEvent(run, { type: "RunStarted", seq: 1, steps_per_epoch: 4, metrics: { nc1: { ideal: 0 } } });
  assert.equal(run.status, "running");
  applyEvent(run, epoch(1, 0));
  applyEvent(run, { ...epoch(2, 3), scalars: { train: { nc1: "NaN", nc3: 5 }, test: {} } });
  assert.deepEqual(run.measuredEpochs, [1, 2]);
  assert.ok(Number.isNaN(run.series.train.nc1[1]));
  assert.deepEqual(run.series.train.nc3, [null, 5], "a metric that is defined later has its value at its own epoch");
  applyEvent(run, { type: "StepMeasured", seq: 4, step: 6, loss: 0.3, lr: 0.1 });
  assert.deepEqual(run.steps.epoch, [1.5]);
  applyEvent(run, { type: "AttemptFailed", seq: 5 });
  assert.equal(run.status, "queued");
  applyEvent(run, { type: "RunFailed", seq: 6, error: "out of memory" });
  assert.equal(progressText(run, 0), "out of memory");
});

test("the status after an event is the server's", () => {
  const { statuses } = JSON.parse(readFileSync(process.env.COLLAPSE_VECTORS, "utf8"));
  assert.ok(statuses.length > 20);
  for (const { status, event, after } of statuses) assert.equal(statusAfter(status, event), after, `${event} in ${status}`);
});

test("an overview and the events after it build the state that all events would", () => {
  const started = { type: "RunStarted", seq: 2, steps_per_epoch: 4, metrics: {} };
  const typed = (...steps) => ({
    dtype: "i4", shape: String(steps.length), bdata: Buffer.from(Int32Array.from(steps).buffer).toString("base64"),
  });
  const run = createRun(10);
  loadOverview(run, {
    run: { id: "r", status: "running", error: null, epoch: 2 }, seq: 9, started,
    series: { epochs: [1, 2], values: { train: { nc1: [1, "Infinity"] }, test: { nc1: [2, null] } } },
    steps: { step: [2, 4, 6], loss: [3, 2, "NaN"], lr: [0.1, 0.1, 0.1] }, captures: typed(0, 2, 4, 8),
    newest: {
      EpochMeasured: { ...epoch(2, 3), terminal_phase: 2, collapse_layer: "1" }, LogLine: { seq: 4, text: "hello" },
      StepMeasured: { seq: 8, step: 6, loss: 1, lr: 0.1, at: at(3), samples_per_s: 50, remaining_s: 7 },
    },
    geometry: { step: 8, facts: { smallest_angle_deg: 90 } },
  });
  assert.deepEqual(run.captures.map((capture) => capture.epoch), [0, 0.5, 1, 2]);
  assert.equal(run.captures[3].smallest_angle_deg, 90);
  assert.deepEqual(run.series, { train: { nc1: [1, Infinity] }, test: { nc1: [2, null] } });
  assert.deepEqual(run.steps.epoch, [0.5, 1, 1.5]);
  assert.deepEqual([run.terminalPhaseEpoch, run.collapseLayer, run.note, run.remaining.seconds], [2, "1", "hello", 7]);
  // Events that the overview holds beyond its number are streamed again, and change nothing.
  for (const again of [epoch(2, 3), { type: "StepMeasured", step: 6 }, { type: "GeometryCaptured", step: 8 }]) {
    applyEvent(run, { ...again, seq: 10 });
  }
  assert.equal(run.captures.length, 4);
  assert.deepEqual(run.measuredEpochs, [1, 2]);
  applyEvent(run, { ...epoch(3, 5), seq: 11 });
  applyEvent(run, { type: "Paused", seq: 12 });
  assert.deepEqual(run.series.train.nc1, [1, Infinity, 1 / 3]);
  assert.equal(run.status, "paused");
});

test("epochs in which a metric was not defined are gaps", () => {
  const run = createRun(10);
  applyEvent(run, { ...epoch(1, 0), scalars: { train: { nc1: 1, nc3: 2 }, test: {} } });
  applyEvent(run, { ...epoch(2, 1), scalars: { train: { nc1: 1 }, test: {} }, collapse_layer: "layer3" });
  applyEvent(run, { ...epoch(3, 2), scalars: { train: { nc1: 1, nc3: 4 }, test: {} } });
  assert.deepEqual(run.series.train.nc3, [2, null, 4]);
  assert.equal(run.collapseLayer, null);
});

test("groups of charts without any metric of the run are recognised", () => {
  const run = createRun(10);
  applyEvent(run, epoch(1, 0));
  assert.ok(hasCharts(run, { charts: [{ key: "nc9" }, { key: "nc1" }] }));
  assert.ok(!hasCharts(run, { charts: [{ key: "nc5_ood" }] }));
  assert.ok(hasCharts(run, { charts: [{ steps: "lr" }] }));
});

test("the time left follows the last epochs and counts down", () => {
  const run = createRun(10);
  applyEvent(run, epoch(1, 0));
  assert.equal(secondsLeft(run, Date.parse(at(1))), null, "one epoch gives no estimate");
  applyEvent(run, epoch(2, 4));
  assert.equal(secondsLeft(run, Date.parse(at(4))), 32);
  assert.equal(secondsLeft(run, Date.parse(at(14))), 22);
  assert.equal(progressText(run, Date.parse(at(4))), "epoch 2 of 10 · about 32 s left");
  assert.equal(statusText(run), "running 20 %");
});

test("only the newest capture keeps its arrays, and known events are dropped", () => {
  const pending = [];
  let last = 0;
  last = mergeEvent(pending, { seq: 1, arrays: {} }, last);
  last = mergeEvent(pending, { seq: 2 }, last);
  last = mergeEvent(pending, { seq: 2 }, last);
  last = mergeEvent(pending, { seq: 3, arrays: {} }, last);
  assert.equal(last, 3);
  assert.deepEqual(pending.map((event) => [event.seq, "arrays" in event]), [[1, false], [2, false], [3, true]]);
  mergeEvent(pending, { run: "other", seq: 9, arrays: {} }, 0);
  assert.ok("arrays" in pending[2], "each run has its newest");
});

test("the heatmap is centred at the ideal and empty on its diagonal", () => {
  const cosines = { rows: 3, data: Float32Array.from([1, 0.5, -0.5, 0.5, 1, -0.5, -0.5, -0.5, 1]) };
  const { z, centre, range } = heatmapValues(cosines, "cos");
  assert.equal(centre, -0.5);
  assert.equal(range, 1);
  assert.deepEqual(z.map((row, i) => row[i]), [null, null, null]);
  assert.ok(Math.abs(heatmapValues(cosines, "angle").centre - 120) < 1e-9);
});

test("an axis is logarithmic over decades of positive values alone", () => {
  assert.equal(needsLogAxis([1, 0.01]), true);
  assert.equal(needsLogAxis([1, 0.5]), false);
  assert.equal(needsLogAxis([1, 0]), false);
  assert.equal(needsLogAxis([null, 1, 0.01]), true);
});

test("a chart has train, test and the ideal as a line", () => {
  const run = createRun(4);
  applyEvent(run, { type: "RunStarted", seq: 1, steps_per_epoch: 4, metrics: { nc1: { ideal: 0 } } });
  applyEvent(run, epoch(1, 0, 1));
  applyEvent(run, epoch(2, 1, 0.5));
  const { x, y } = chartData(run, { key: "nc1" });
  assert.deepEqual(y, [[1, 0.5], [2, 1], [0, 0]]);
  assert.deepEqual(x[2], [0, 4]);
});

test("labels do not overlap, those nearest to the eye are placed first", () => {
  const points = { x: [0, 0, 0, 5], y: [0, 0, 0, 0], depth: [0, 1, 2, 0] };
  const size = { charWidth: 1, lineHeight: 1, gap: 0.5 };
  assert.deepEqual(placeLabels(points, ["aa", "bb", "cc", "dd"], size), [null, "below", "above", "above"]);
  assert.deepEqual(placeLabels(points, ["aa", "bb", "cc", "dd"], size, [0]), ["above", null, "below", "above"], "highlighted labels are placed first");
});

test("the progress of data has the time left", () => {
  const event = { what: "downloading a.gz", done: 34e6, total: 170e6, unit: "bytes", remaining_s: 12.3 };
  assert.equal(dataProgressText(event), "downloading a.gz: 34 of 170 MB · about 12 s left");
  assert.equal(dataProgressText({ what: "reading", done: 1200, total: null, unit: "images", remaining_s: null }), "reading: 1,200 images");
  const run = createRun(5);
  applyEvent(run, { type: "DataProgressed", seq: 1, ...event });
  assert.equal(statusText(run), "running 0 %");
  assert.equal(progressText(run, 0), dataProgressText(event));
  applyEvent(run, { type: "LogLine", seq: 2, text: "1 of 121 image files cannot be read" });
  applyEvent(run, { type: "LogLine", seq: 3, text: "Traceback\n  File" });
  assert.equal(run.note, "1 of 121 image files cannot be read");
  applyEvent(run, { type: "RunStarted", seq: 4, steps_per_epoch: 10 });
  assert.equal(progressText(run, 0), "epoch 0 of 5");
});

test("progress has speed and time left from steps, before two epochs are measured", () => {
  const run = createRun(5);
  applyEvent(run, { type: "RunStarted", seq: 1, steps_per_epoch: 10 });
  const at = "2026-01-01T00:00:00Z";
  applyEvent(run, { type: "StepMeasured", seq: 2, step: 3, loss: 1, lr: 0.1, samples_per_s: 5234, remaining_s: 90, at });
  assert.equal(progressText(run, Date.parse(at) + 30_000), "epoch 0 of 5 · 5,200 samples/s · about 1 min left");
});

test("splits that the charts do not know are kept", () => {
  const run = createRun(5);
  applyEvent(run, { type: "EpochMeasured", seq: 1, epoch: 1, at: "2026-01-01T00:00:00Z", terminal_phase: null, scalars: { train: { nc1: 1 }, train_true: { nc1: 2 }, test: {} } });
  assert.deepEqual(run.series.train_true.nc1, [2]);
  assert.deepEqual(run.series.test, {});
});
