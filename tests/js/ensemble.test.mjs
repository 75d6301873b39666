import assert from "node:assert/strict";
import test from "node:test";
import { band, median, PLACES, timeTo } from "../../dashboard/assets/modules/ensemble.mjs";

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
