import assert from "node:assert/strict";
import test from "node:test";
import { address } from "../../dashboard/assets/js/core/api.mjs";
import { complete } from "../../dashboard/assets/js/table/completions.mjs";
import { foldValue, sorted, sparkPoints, stateWords, statusWords, valueOf, words } from "../../dashboard/assets/js/table/run-rows.mjs";

const run = {
  id: "r1", name: "first", status: "running", want: "run", epoch: 11, error: null, tags: ["a", "b c"], group: null, started_at: "2026-01-01T00:00:00+00:00", ended_at: null,
  running_s: 3, last_seq: 9, summary: { train: { nc1: 0.25, vci: "NaN" }, test: {} },
  config: { epochs: 20, seed: 4, data: { name: "digits" }, head: { name: "nearest-etf" }, backbone: { name: "mlp" }, optimiser: { name: "sgd", lr: 0.1 } },
};

test("a run's columns are named as the filter names its fields", () => {
  const now = Date.parse("2026-01-01T00:01:10+00:00");
  const expected = {
    status: "running 55 %", name: "first", head: "nearest-ETF", dataset: "digits", backbone: "mlp", seed: 4, "train.nc1": 0.25, "test.nc1": null, tags: "a, b c",
    duration: 70, "optimiser.lr": 0.1, group: null, "optimiser.nothing": null,
  };
  for (const [field, value] of Object.entries(expected)) assert.equal(valueOf(run, field, now), value, field);
  assert.ok(Number.isNaN(valueOf(run, "train.vci", now)));
});

test("what is asked of a running run and why one failed is said", () => {
  assert.equal(statusWords({ ...run, want: "pause" }), "pausing");
  assert.equal(statusWords({ ...run, status: "failed", error: "out of memory" }), "failed: out of memory");
  assert.equal(stateWords({ finished: 2, running: 1 }), "2 finished, 1 running");
});

test("values read as their kind, folds as median and range", () => {
  assert.equal(words(0.98765, "share"), "98.8 %");
  assert.equal(words(70, "duration"), "1 min 10 s");
  assert.equal(words(0.012345, "number"), "0.0123");
  assert.equal(words("2026-01-01T10:20:30", "time"), "2026-01-01 10:20");
  assert.equal(words(null, "number"), "");
  assert.equal(words({ median: 0.5, least: 0.25, most: 1, runs: 3 }, "number"), "0.5 [0.25, 1]");
  assert.equal(words({ median: 0.5, least: 0.5, most: 0.5, runs: 1 }, "number"), "0.5");
});

const fold = (value, median) => ({ value, runs: ["a", "b"], states: { finished: 2 }, created_at: "2026", shared: { head: "linear", name: null }, spreads: median === null ? {} : { "train.nc1": { median, least: 0, most: 9, runs: 2 } } });

test("folds are ordered by medians, those without one last", () => {
  const folds = [fold("x", null), fold("y", 2), fold("z", 1)];
  assert.deepEqual(sorted(folds, "train.nc1", false, "group").map(({ value }) => value), ["z", "y", "x"]);
  assert.deepEqual(sorted(folds, "train.nc1", true, "group").map(({ value }) => value), ["y", "z", "x"]);
  assert.equal(foldValue(folds[1], "group", "group"), "y");
  assert.equal(foldValue(folds[1], "name", "group"), "");
  assert.equal(foldValue(folds[1], "status", "group"), "2 finished");
});

test("small curves fill their box, logarithmic where they span decades", () => {
  const curve = { epochs: [0, 1, 2], values: [100, 10, 1] };
  assert.deepEqual(sparkPoints([curve], 100, 22), ["0.0,1.0 50.0,11.0 100.0,21.0"]);
  assert.deepEqual(sparkPoints([{ epochs: [0, 1, 2], values: [2, "NaN", 1] }], 100, 22), ["0.0,1.0 100.0,21.0"]);
  assert.deepEqual(sparkPoints([{ epochs: [1], values: [2] }], 100, 22), []);
  assert.deepEqual(sparkPoints([], 100, 22), []);
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
  assert.equal(address("/runs", { q: "a b&c", sort: null, limit: 5 }), "/api/v1/runs?q=a+b%26c&limit=5");
  assert.equal(address("/runs"), "/api/v1/runs");
});
