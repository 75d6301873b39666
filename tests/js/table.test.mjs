import assert from "node:assert/strict";
import test from "node:test";
import { apiUrl } from "../../dashboard/assets/js/core/api.mjs";
import { complete } from "../../dashboard/assets/js/table/completions.mjs";
import { groupValue, rowStatusText, runValue, sortGroups, sparklinePoints, statusCountsText } from "../../dashboard/assets/js/table/cells.mjs";

const run = {
  id: "r1", name: "first", status: "running", want: "run", epoch: 11, error: null, tags: ["a", "b c"], group: null, started_at: "2026-01-01T00:00:00+00:00", ended_at: null,
  running_s: 3, last_seq: 9, summary: { train: { nc1: 0.25, vci: "NaN" }, test: {} },
  config: { epochs: 20, seed: 4, data: { name: "digits" }, head: { name: "nearest-etf" }, backbone: { name: "mlp" }, optimiser: { name: "sgd", lr: 0.1 } },
};

test("a run's columns are named as the filter names its fields", () => {
  const now = Date.parse("2026-01-01T00:01:10+00:00");
  const expected = {
    status: "running 55 %", name: "first", head: "nearest-etf", dataset: "digits", backbone: "mlp", seed: 4, "train.nc1": 0.25, "test.nc1": null, tags: "a, b c",
    duration: 70, "optimiser.lr": 0.1, group: null, "optimiser.nothing": null,
  };
  for (const [field, value] of Object.entries(expected)) assert.equal(runValue(run, field, now), value, field);
  assert.ok(Number.isNaN(runValue(run, "train.vci", now)));
});

test("a status has what is requested of a run and why it failed", () => {
  assert.equal(rowStatusText({ ...run, want: "pause" }), "pausing");
  assert.equal(rowStatusText({ ...run, status: "failed", error: "out of memory" }), "failed: out of memory");
  assert.equal(statusCountsText({ finished: 2, running: 1 }), "2 finished, 1 running");
});

const group = (value, median) => ({ value, runs: ["a", "b"], states: { finished: 2 }, created_at: "2026", shared: { head: "linear", name: null }, spreads: median === null ? {} : { "train.nc1": { median, least: 0, most: 9, runs: 2 } } });

test("groups are sorted by medians, those without one last", () => {
  const groups = [group("x", null), group("y", 2), group("z", 1)];
  assert.deepEqual(sortGroups(groups, "train.nc1", false, "group").map(({ value }) => value), ["z", "y", "x"]);
  assert.deepEqual(sortGroups(groups, "train.nc1", true, "group").map(({ value }) => value), ["y", "z", "x"]);
  assert.equal(groupValue(groups[1], "group", "group"), "y");
  assert.equal(groupValue(groups[1], "name", "group"), "");
  assert.equal(groupValue(groups[1], "status", "group"), "2 finished");
});

test("sparklines fill their box, logarithmic where they span decades", () => {
  const curve = { epochs: [0, 1, 2], values: [100, 10, 1] };
  assert.deepEqual(sparklinePoints([curve], 100, 22), ["0.0,1.0 50.0,11.0 100.0,21.0"]);
  assert.deepEqual(sparklinePoints([{ epochs: [0, 1, 2], values: [2, "NaN", 1] }], 100, 22), ["0.0,1.0 100.0,21.0"]);
  assert.deepEqual(sparklinePoints([{ epochs: [1], values: [2] }], 100, 22), []);
  assert.deepEqual(sparklinePoints([], 100, 22), []);
});

const vocabulary = {
  fields: [{ name: "head", help: "the classifier", sign: ":" }, { name: "nc1", help: "", sign: "<" }, { name: "test.nc1", help: "", sign: "<" }],
  values: { head: ["linear", "nearest-etf"], group: ["two words"] },
};
const texts = (text, caret = text.length) => complete(text, caret, vocabulary).options.map((option) => option.text);

test("the filter is completed with fields, then with their values", () => {
  assert.deepEqual(texts("he"), ["head:"]);
  assert.deepEqual(texts("nc1"), ["nc1<", "test.nc1<"]);
  assert.deepEqual(texts("-he"), ["-head:"]);
  assert.deepEqual(texts("nc1<1 head:n"), ["head:nearest-etf ", "head:linear "]);
  assert.deepEqual(texts("head:neare"), ["head:nearest-etf "]);
  assert.deepEqual(texts("group:"), ['group:"two words" ']);
  assert.deepEqual(texts("he nc1<1", 2), ["head:"]);
  assert.equal(complete("nc1<1 he", 8, vocabulary).from, 6);
  assert.deepEqual(texts("nc1<"), []);
});

test("addresses leave out what is not asked", () => {
  assert.equal(apiUrl("/runs", { q: "a b&c", sort: null, limit: 5 }), "/api/v1/runs?q=a+b%26c&limit=5");
  assert.equal(apiUrl("/runs"), "/api/v1/runs");
});
