import assert from "node:assert/strict";
import test from "node:test";
import { band, meanMatrix, median, PLACES, seconds, timesTo, timeTo } from "../../dashboard/assets/js/model/seed-statistics.mjs";

const run = (epochs, nc1, perEpoch = 10) => ({ measuredEpochs: epochs, series: { train: { nc1 } }, started: { steps_per_epoch: perEpoch } });

test("medians of odd and even numbers", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test("a band has the median and the range of whoever was measured there", () => {
  const runs = [run([1, 2], [4, 2]), run([1, 2, 3], [6, 1, 0.5]), run([2], [null])];
  assert.deepEqual(band(runs, "train", "nc1", PLACES.epoch), { x: [1, 2, 3], middle: [5, 1.5, 0.5], least: [4, 1, 0.5], most: [6, 2, 0.5] });
  assert.deepEqual(band([run([1], [NaN])], "train", "nc1", PLACES.epoch).x, []);
  assert.deepEqual(band(runs, "test", "nc1", PLACES.epoch).x, []);
});

test("the axis is of epochs or of steps", () => {
  assert.deepEqual(band([run([1, 2], [4, 2], 7)], "train", "nc1", PLACES.step).x, [7, 14]);
});

test("the time to collapse is the first place from which on the threshold holds", () => {
  const curve = { x: [1, 2, 3, 4], middle: [0.5, 0.04, 0.2, 0.03] };
  assert.equal(timeTo(curve, 0.05, "low"), 4);
  assert.equal(timeTo(curve, 0.01, "low"), null);
  assert.equal(timeTo({ x: [1, 2], middle: [0.9, 1] }, 0.95, "high"), 2);
});

test("seconds of training follow the speed that the steps report", () => {
  // 10 steps of 8 samples an epoch; 40 samples/s in the first epoch, 80 in the second.
  const timed = { started: { steps_per_epoch: 10 }, batch: 8, steps: { epoch: [0.5, 1, 2], speed: [40, 40, 80] } };
  assert.equal(seconds(timed, 0.5), 1);
  assert.equal(seconds(timed, 1), 2);
  assert.equal(seconds(timed, 2), 3);
  assert.equal(seconds(timed, 3), 4, "beyond the last report at its speed");
  assert.equal(seconds({ ...timed, steps: { epoch: [], speed: [] } }, 1), null);
  assert.equal(seconds({ ...timed, steps: { epoch: [1], speed: [null] } }, 1), null);
});

test("of several runs each has its own time to collapse, and some have none", () => {
  const runs = [run([1, 2, 3], [0.5, 0.04, 0.03]), run([1, 2, 3], [0.5, 0.2, 0.04]), run([1, 2, 3], [0.5, 0.2, 0.2])];
  assert.deepEqual(timesTo(runs, "nc1", 0.05, "low", PLACES.step), { median: 25, places: [20, 30], runs: 3 });
  assert.deepEqual(timesTo(runs, "nc1", 0.001, "low", PLACES.epoch), { median: null, places: [], runs: 3 });
  assert.deepEqual(timesTo(runs, "none", 0.001, "low", PLACES.epoch).places, []);
});

test("runs that share no places are read at those of a grid, each as it was measured last", () => {
  const runs = [run([1, 2], [4, 2], 10), run([1, 2], [8, 6], 15)]; // at 10 and 20, at 15 and 30
  const found = band(runs, "train", "nc1", PLACES.step, [0, 10, 15, 20, 25, 30]);
  assert.deepEqual(found, { x: [10, 15, 20, 25, 30], middle: [4, 6, 5, 8, 6], least: [4, 4, 2, 8, 6], most: [4, 8, 8, 8, 6] });
});

test("the mean of matrices, of one size only", () => {
  const of = (...data) => ({ data: Float32Array.from(data), rows: 2, columns: 2 });
  assert.deepEqual([...meanMatrix([of(1, 2, 3, 4), of(3, 2, 1, 0)]).data], [2, 2, 2, 2]);
  assert.equal(meanMatrix([of(1, 2, 3, 4), { data: new Float32Array(1), rows: 1, columns: 1 }]), null);
});
