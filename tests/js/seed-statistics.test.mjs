import assert from "node:assert/strict";
import test from "node:test";
import { meanMatrix } from "../../dashboard/assets/js/core/arrays.mjs";
import { median, medianAndRange, thresholdCrossing, thresholdCrossings, trainingSeconds, xAxes } from "../../dashboard/assets/js/model/seed-statistics.mjs";

const run = (epochs, nc1, perEpoch = 10) => ({ measuredEpochs: epochs, series: { train: { nc1 } }, started: { steps_per_epoch: perEpoch } });

test("medians of odd and even numbers", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test("median and range are over the runs that were measured at an epoch", () => {
  const runs = [run([1, 2], [4, 2]), run([1, 2, 3], [6, 1, 0.5]), run([2], [null])];
  assert.deepEqual(medianAndRange(runs, "train", "nc1", xAxes.epoch), { x: [1, 2, 3], median: [5, 1.5, 0.5], min: [4, 1, 0.5], max: [6, 2, 0.5] });
  assert.deepEqual(medianAndRange([run([1], [NaN])], "train", "nc1", xAxes.epoch).x, []);
  assert.deepEqual(medianAndRange(runs, "test", "nc1", xAxes.epoch).x, []);
});

test("the x axis has epochs or steps", () => {
  assert.deepEqual(medianAndRange([run([1, 2], [4, 2], 7)], "train", "nc1", xAxes.step).x, [7, 14]);
});

test("the time to collapse is the first x from which on the threshold holds", () => {
  const curve = { x: [1, 2, 3, 4], values: [0.5, 0.04, 0.2, 0.03] };
  assert.equal(thresholdCrossing(curve, 0.05, "low"), 4);
  assert.equal(thresholdCrossing(curve, 0.01, "low"), null);
  assert.equal(thresholdCrossing({ x: [1, 2], values: [0.9, 1] }, 0.95, "high"), 2);
});

test("seconds of training follow the speed that the steps report", () => {
  // 10 steps of 8 samples an epoch; 40 samples/s in the first epoch, 80 in the second.
  const timed = { started: { steps_per_epoch: 10 }, batchSize: 8, steps: { epoch: [0.5, 1, 2], speed: [40, 40, 80] } };
  assert.equal(trainingSeconds(timed, 0.5), 1);
  assert.equal(trainingSeconds(timed, 1), 2);
  assert.equal(trainingSeconds(timed, 2), 3);
  assert.equal(trainingSeconds(timed, 3), 4, "beyond the last report at its speed");
  assert.equal(trainingSeconds({ ...timed, steps: { epoch: [], speed: [] } }, 1), null);
  assert.equal(trainingSeconds({ ...timed, steps: { epoch: [1], speed: [null] } }, 1), null);
});

test("of several runs each has its own time to collapse, and some have none", () => {
  const runs = [run([1, 2, 3], [0.5, 0.04, 0.03]), run([1, 2, 3], [0.5, 0.2, 0.04]), run([1, 2, 3], [0.5, 0.2, 0.2])];
  assert.deepEqual(thresholdCrossings(runs, "nc1", 0.05, "low", xAxes.step), { median: 25, crossings: [20, 30], runs: 3 });
  assert.deepEqual(thresholdCrossings(runs, "nc1", 0.001, "low", xAxes.epoch), { median: null, crossings: [], runs: 3 });
  assert.deepEqual(thresholdCrossings(runs, "none", 0.001, "low", xAxes.epoch).crossings, []);
});

test("runs that share no x values are sampled on a grid, each at its last measurement", () => {
  const runs = [run([1, 2], [4, 2], 10), run([1, 2], [8, 6], 15)]; // at 10 and 20, at 15 and 30
  const found = medianAndRange(runs, "train", "nc1", xAxes.step, [0, 10, 15, 20, 25, 30]);
  assert.deepEqual(found, { x: [10, 15, 20, 25, 30], median: [4, 6, 5, 8, 6], min: [4, 4, 2, 8, 6], max: [4, 8, 8, 8, 6] });
});

test("the mean of matrices, of one size only", () => {
  const of = (...data) => ({ data: Float32Array.from(data), rows: 2, columns: 2 });
  assert.deepEqual([...meanMatrix([of(1, 2, 3, 4), of(3, 2, 1, 0)]).data], [2, 2, 2, 2]);
  assert.equal(meanMatrix([of(1, 2, 3, 4), { data: new Float32Array(1), rows: 1, columns: 1 }]), null);
});
