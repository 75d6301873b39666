import assert from "node:assert/strict";
import test from "node:test";

import { captureIndexAt } from "../../dashboard/assets/js/model/playback.mjs";
import { axisRange, curvePath, rangePath } from "../../dashboard/assets/js/offline/offline-chart.mjs";
import { capturedEpochs, dequantise, splitCaptures } from "../../dashboard/assets/js/offline/offline-replay.mjs";

const encoded = (values) => Buffer.from(Int16Array.from(values).buffer).toString("base64");

test("quantised numbers are multiples of the scale", () => {
  const found = dequantise(encoded([0, 1, -32767, 32767]), 0.5);
  assert.deepEqual([...found], [0, 0.5, -16383.5, 16383.5]);
});

test("one array of all captures is cut into one for each", () => {
  const [first, second] = splitCaptures({ data: encoded([1, 2, 3, 4, 5, 6, 7, 8]), scale: 1, rows: 2, columns: 2 }, 2);
  assert.deepEqual([...first.data, first.rows, first.columns], [1, 2, 3, 4, 2, 2]);
  assert.deepEqual([...second.data], [5, 6, 7, 8]);
});

const BOX = { width: 100, height: 100, left: 0, right: 0, top: 0, bottom: 0 };

test("a curve is a path from corner to corner, interrupted where there is no number", () => {
  assert.equal(curvePath([0, 1, 2], [0, 5, 10], { xRange: [0, 2], yRange: [0, 10], isLog: false }, BOX), "M0.0 100.0L50.0 50.0L100.0 0.0");
  assert.equal(curvePath([0, 1, 2], [0, null, 10], { xRange: [0, 2], yRange: [0, 10], isLog: false }, BOX), "M0.0 100.0M100.0 0.0");
});

test("on a logarithmic axis equal factors are equal ways, and what is not positive has no place", () => {
  assert.equal(curvePath([0, 1, 2], [1, 10, 100], { xRange: [0, 2], yRange: [1, 100], isLog: true }, BOX), "M0.0 100.0L50.0 50.0L100.0 0.0");
  assert.equal(curvePath([0, 1], [0, 100], { xRange: [0, 1], yRange: [1, 100], isLog: true }, BOX), "M100.0 0.0");
});

test("an axis is logarithmic where positive values span more than a factor of twenty", () => {
  assert.deepEqual(axisRange([1, 100]), { range: [1, 100], isLog: true });
  assert.equal(axisRange([0, 100]).isLog, false);
  assert.deepEqual(axisRange([]), { range: [0, 1], isLog: false });
  const { range } = axisRange([1, 1]);
  assert.ok(range[0] < 1 && range[1] > 1);
});

test("a range is an outline, along its top and back along its foot, split where a value is missing", () => {
  assert.equal(rangePath([0, 1], [0, 0], [10, 5], { xRange: [0, 1], yRange: [0, 10], isLog: false }, BOX), "M0.0 0.0L100.0 50.0L100.0 100.0L0.0 100.0Z");
  const split = rangePath([0, 1, 2, 3, 4], [0, 0, null, 0, 0], [1, 1, null, 1, 1], { xRange: [0, 4], yRange: [0, 1], isLog: false }, BOX);
  assert.equal(split.split("Z").length, 3);
  assert.equal(rangePath([0], [0], [1], { xRange: [0, 1], yRange: [0, 1], isLog: false }, BOX), "", "one point has no area");
});

test("runs that were captured at other epochs share one slider, each at its newest capture by then", () => {
  const [one, two] = [[0, 1, 2], [0, 2, 4]].map((epochs) => ({ captures: epochs.map((epoch) => ({ epoch })) }));
  assert.deepEqual(capturedEpochs([one, two]), [0, 1, 2, 4]);
  assert.deepEqual([0, 1, 2, 4].map((epoch) => captureIndexAt(two.captures, epoch)), [0, 0, 1, 2]);
  assert.equal(captureIndexAt([{ epoch: 3 }], 1), 0, "before its first capture, that one");
});
