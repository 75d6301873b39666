// Number formats: the table of inputs and texts that Python is tested with too, and those of the scripts alone.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as formatting from "../../dashboard/assets/js/core/formatting.mjs";

const { formatAngle, formatEpoch, formatPosition, formatSpeed, formatTime, formatValue } = formatting;
const TABLE = JSON.parse(readFileSync(new URL("../number_formats.json", import.meta.url), "utf8"));
const NOT_JSON = ["NaN", "Infinity", "-Infinity"];

for (const [name, cases] of Object.entries(TABLE)) {
  test(`${name} gives the texts of the table`, () => {
    const format = formatting[name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())];
    for (const [given, text] of cases) {
      const values = given.map((each) => (NOT_JSON.includes(each) ? Number(each) : each));
      assert.equal(format(...values), text, JSON.stringify(given));
    }
  });
}

test("formats of epochs, positions, angles, speeds and times", () => {
  assert.deepEqual([formatEpoch(12), formatEpoch(12.25), formatEpoch(0.123456)], ["epoch 12", "epoch 12.25", "epoch 0.12"]);
  assert.deepEqual([formatPosition("epoch", 2.55), formatPosition("step", 340.4), formatPosition("time", 4.2), formatPosition("time", 61)], ["epoch 2.5", "step 340", "4.20 s", "1 min 1 s"]);
  assert.equal(formatAngle(96.379), "96.4°");
  assert.equal(formatSpeed(5234), "5,200 samples/s");
  assert.equal(formatTime("2026-01-01T10:20:30.5", { seconds: true }), "2026-01-01 10:20:30");
});

test("values are formatted by their kind, metrics of several runs as median and range", () => {
  assert.equal(formatValue(0.98765, "share"), "98.8 %");
  assert.equal(formatValue(70, "duration"), "1 min 10 s");
  assert.equal(formatValue(0.012345, "number"), "0.0123");
  assert.equal(formatValue("2026-01-01T10:20:30", "time"), "2026-01-01 10:20");
  assert.equal(formatValue(null, "number"), "");
  assert.equal(formatValue({ median: 0.5, least: 0.25, most: 1, runs: 3 }, "number"), "0.5 [0.25, 1]");
  assert.equal(formatValue({ median: 0.5, least: 0.25, most: 1, runs: 3 }, "share"), "50.0 % [25.0 %, 100.0 %]");
  assert.equal(formatValue({ median: 0.5, least: 0.5, most: 0.5, runs: 1 }, "number"), "0.5");
});
