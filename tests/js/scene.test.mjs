// The renderer, hit tests, the address, tooltips and tables, without a browser.

import assert from "node:assert/strict";
import test from "node:test";
import { formatUrlState, parseUrlState } from "../../dashboard/assets/js/core/url-state.mjs";
import { highlightShapes, layerValues, nearestPointIndex } from "../../dashboard/assets/js/panels/charts.mjs";
import { classRows } from "../../dashboard/assets/js/panels/details.mjs";
import { imagePixels, tooltipLines } from "../../dashboard/assets/js/scene/tooltips.mjs";
import { canvasTransform, renderScene } from "../../dashboard/assets/js/scene/canvas-renderer.mjs";
import { hitTest, markScale } from "../../dashboard/assets/js/scene/marks.mjs";
import { captureIndexAt } from "../../dashboard/assets/js/model/playback.mjs";
import { chartDescription } from "../../dashboard/assets/js/panels/run-text.mjs";
import { DEFAULT_CAMERA } from "../../dashboard/assets/js/core/constants.mjs";

globalThis.OffscreenCanvas = class {
  constructor(width, height) {
    Object.assign(this, { width, height });
  }

  getContext() {
    return paper();
  }
};

/** A canvas that records what is drawn. */
function paper() {
  const done = [];
  const target = { globalAlpha: 1, done, getTransform: () => ({ a: 1 }), createRadialGradient: () => ({ addColorStop() {} }) };
  return new Proxy(target, {
    get: (held, name) => (name in held ? held[name] : (...given) => done.push([name, ...given, held.globalAlpha, held.fillStyle])),
    set: (held, name, value) => {
      held[name] = value;
      return true;
    },
  });
}

const picture = (more = {}) => ({
  vertices: [[1, -1], [0, 0], [0, 0]], means: [[0.9, -0.9], [0, 0], [0.1, 0]], weights: [[1.1, -1.1], [0, 0], [0, 0]],
  features: [[0.8, -0.8], [0.1, 0], [0, 0]], labels: [0, 1], trajectories: [], names: ["cat", "dog"], colours: ["#111111", "#222222"],
  layers: { features: true, trails: true, classifier: true, names: true, arrows: false }, highlighted: [], highlightColour: null, ...more,
});
const front = { eye: [0, 0, 2], up: [0, 1, 0], zoom: 1 };

test("every mark can be hovered where it is drawn, nearest to the eye first", () => {
  const pointed = renderScene(paper(), { width: 400, height: 300 }, picture(), front, () => "#000000");
  const { cx, scale } = canvasTransform(400, 300, 1);
  const mean = pointed.find((each) => each.kind === "means" && each.label === 0);
  assert.ok(Math.abs(mean.x - (cx + 0.9 * scale)) < 1e-3);
  assert.equal(mean.y, 150);
  assert.equal(pointed.length, 8);
  assert.equal(pointed[0].kind, "means", "it is nearer to the eye than its ring");
  assert.equal(hitTest(pointed, mean.x + 1, mean.y).label, 0);
  assert.equal(hitTest(pointed, 0, 0), null);
});

test("hidden layers are neither drawn nor hovered", () => {
  const layers = { features: false, trails: false, classifier: false, names: false, arrows: false };
  const held = paper();
  const pointed = renderScene(held, { width: 400, height: 300 }, picture({ layers }), front, () => "#000000");
  assert.deepEqual(new Set(pointed.map((each) => each.kind)), new Set(["vertices", "means"]));
  assert.equal(held.done.filter(([name]) => name === "fillText").length, 0);
  const named = paper();
  renderScene(named, { width: 400, height: 300 }, picture(), front, () => "#000000");
  assert.deepEqual(named.done.filter(([name]) => name === "fillText").map((call) => call[1]).sort(), ["cat", "dog"]);
});

test("other than highlighted classes are dimmed, and their samples cannot be hovered", () => {
  const held = paper();
  const pointed = renderScene(held, { width: 400, height: 300 }, picture({ highlighted: [1] }), front, () => "#000000");
  assert.deepEqual(pointed.filter((each) => each.kind === "features").map((each) => each.label), [1]);
  const fills = held.done.filter(([name]) => name === "fill");
  assert.ok(fills.some((call) => call.at(-1) === "#111111" && call.at(-2) < 0.2));
  assert.ok(fills.some((call) => call.at(-1) === "#222222" && call.at(-2) === 1));
});

test("with too many classes to name, the pair with the smallest angle is marked and named", () => {
  const many = 40;
  const axis = Array.from({ length: many }, (_, i) => Math.cos(i));
  const points = [axis, axis.map((v) => v / 2), axis.map(() => 0)];
  const names = axis.map((_, i) => `class ${i}`);
  const drawn = (more) => {
    const held = paper();
    const given = { vertices: points, means: points, weights: null, features: null, labels: [], names, colours: names.map(() => "#999999"), closestPair: [3, 17], ...more };
    renderScene(held, { width: 400, height: 300 }, picture(given), front, (name) => (name === "bad" ? "#ff0000" : "#000000"));
    return held.done;
  };
  const written = (done) => done.filter(([name]) => name === "fillText").map((call) => call[1]).sort();
  const red = (done) => done.filter((call) => call[0] === "fill" && call.at(-1) === "#ff0000").length;
  assert.deepEqual(written(drawn({})), ["class 17", "class 3"]);
  assert.equal(red(drawn({})), 2);
  assert.deepEqual(written(drawn({ highlighted: [5], highlightColour: "#0000ff" })), ["class 5"], "hovered classes take precedence");
  assert.equal(red(drawn({ highlighted: [5], highlightColour: "#0000ff" })), 0);
});

test("misclassified samples are crossed out in the predicted class's colour, and found first", () => {
  const layers = { ...picture().layers, mistakes: true };
  const draw = (more) => {
    const held = paper();
    const pointed = renderScene(held, { width: 400, height: 300 }, picture({ layers, ...more }), front, () => "#000000");
    return [held.done.filter(([name]) => name === "moveTo").length, pointed.filter((each) => each.kind === "features")];
  };
  const [none, right] = draw({ predictions: [0, 1] });
  const [crossed, [wrong, other]] = draw({ predictions: [1, 1] });
  assert.equal(crossed - none, 4, "two strokes, each with its rim");
  assert.deepEqual(right.map((each) => each.wrong), [false, false]);
  assert.deepEqual([wrong.wrong, other.wrong], [true, false]);
  const [beside] = [{ kind: "means", label: 9, x: wrong.x + 3, y: wrong.y }];
  assert.equal(hitTest([beside, wrong], wrong.x + 1, wrong.y), wrong);
  assert.equal(hitTest([beside, { ...wrong, wrong: false }], wrong.x + 1, wrong.y), beside);
  const [, seen] = draw({ predictions: [1, 1], highlighted: [1] });
  assert.deepEqual(seen.map((each) => each.index), [0, 1], "samples predicted as a highlighted class are hovered with it");
});

test("many classes are drawn as a density in which each can be hovered", () => {
  const n = 200;
  const at = (radius) => [Float32Array.from({ length: n }, (_, i) => radius * Math.cos(i)), Float32Array.from({ length: n }, (_, i) => radius * Math.sin(i)), new Float32Array(n)];
  const names = Array.from({ length: n }, (_, i) => `class ${i}`);
  const whole = { vertices: at(1), means: at(0.9), weights: at(1.1), features: at(0.8), labels: names.map((_, i) => i), names, colours: names.map(() => "#777777") };
  const draw = (more) => {
    const held = paper();
    const pointed = renderScene(held, { width: 400, height: 300 }, picture({ ...whole, ...more }), front, (name) => (name === "bad" ? "#ff0000" : "#123456"));
    const count = (wanted) => held.done.filter(([name]) => name === wanted).length;
    return { stamped: count("drawImage"), filled: count("fill"), pointed };
  };
  const plain = draw({});
  assert.deepEqual([plain.stamped, plain.filled], [2 * n, 0]);
  const found = hitTest(plain.pointed, plain.pointed.find((each) => each.kind === "means" && each.label === 17).x, plain.pointed.find((each) => each.kind === "means" && each.label === 17).y);
  assert.equal(found.kind, "means");
  assert.equal(draw({ closestPair: [3, 17] }).filled, 4, "the closest pair's means and weights are marked");
  assert.ok(draw({ highlighted: [5] }).filled >= 2);
});

test("the image of a sample is converted, grey or in colour", () => {
  const grey = { data: Uint8Array.from([0, 255, 7, 9]), rows: 2, columns: 2 };
  assert.deepEqual([...imagePixels(grey, 1, 1)], [7, 7, 7, 255, 9, 9, 9, 255]);
  const colour = { data: Uint8Array.from([1, 2, 3, 4, 5, 6]), rows: 1, columns: 6 };
  assert.deepEqual([...imagePixels(colour, 0, 3)], [1, 2, 3, 255, 4, 5, 6, 255]);
});

test("charts are described", () => {
  const chart = { x: [[1, 2, 3], [1, 2, 3]], y: [[0.5, 0.25, null], []], ideal: 0 };
  assert.equal(chartDescription(chart, { title: "NC1" }), "NC1: train from 0.5 to 0.25 at epoch 2, ideal 0.");
  assert.equal(chartDescription({ ...chart, ideal: null }, { title: "Top-1", percent: true }), "Top-1: train from 50.0 % to 25.0 % at epoch 2.");
  assert.equal(chartDescription({ x: [[], []], y: [[], []], ideal: null }, { title: "Loss" }), "Loss: no measurements yet.");
});

test("trails and arrows are drawn where they are on", () => {
  const count = (more) => {
    const held = paper();
    renderScene(held, { width: 400, height: 300 }, picture(more), front, () => "#000000");
    return held.done.filter(([name]) => name === "stroke").length;
  };
  const plain = count({});
  const trail = [[[0.5, -0.5], [0, 0], [0, 0]], [[0.9, -0.9], [0, 0], [0, 0]]];
  assert.equal(count({ trajectories: trail }), plain + 2);
  assert.ok(count({ layers: { ...picture().layers, arrows: true } }) > plain);
  assert.ok(markScale(1000) < markScale(100) && markScale(100) < markScale(10));
});

test("the address holds what differs from the defaults, and is parsed again", () => {
  const state = { view: "tetrahedron", classes: [0, 3, 5, 8], epoch: 12.5, camera: "1,1,1,0,0,1,2", layers: ["names"], class: [4], charts: "Angles", unit: "angle", tab: "log" };
  const text = formatUrlState("?other=1", state);
  assert.deepEqual(parseUrlState(text), state);
  assert.ok(text.includes("other=1"), "other parameters stay");
  assert.equal(formatUrlState(text, {}), "?other=1");
  assert.deepEqual(parseUrlState("?class=x&epoch=much&unit=feet"), { class: [], epoch: null, unit: "cos" });
});

test("the capture of an epoch is the last one at or before it", () => {
  const captures = [0, 0.5, 1, 2, 4].map((epoch) => ({ epoch }));
  assert.deepEqual([-1, 0, 0.7, 1, 3.9, 4, 99].map((epoch) => captureIndexAt(captures, epoch)), [0, 0, 1, 2, 3, 4, 4]);
  assert.equal(captureIndexAt([], 3), -1);
  assert.deepEqual([nearestPointIndex([1, 2, 4], 3.1), nearestPointIndex([1, 2, 4], 0), nearestPointIndex([], 1)], [2, 0, -1]);
});

test("tooltips and tables of classes", () => {
  const rows = (values) => ({ data: Float32Array.from(values.flat()), rows: values.length, columns: values[0].length });
  const h = Math.sqrt(3) / 2;
  const frame = {
    means: rows([[1, 0], [-0.5, h], [-0.5, -h]]), weights: rows([[0, 1], [-0.5, h], [-0.5, -h]]), features: rows([[0, 1]]),
    cosines: rows([[1, -0.5, -0.4], [-0.5, 1, -0.6], [-0.4, -0.6, 1]]), serverView: null,
  };
  const started = { class_names: ["a", "b", "c"], vertices: [[1, 0], [-0.5, h], [-0.5, -h]] };
  assert.deepEqual(tooltipLines({ kind: "means", index: 0, label: 0 }, frame, started), ["Class mean of a", "0.0° from its vertex", "Relative norm 1.00", "Nearest class: c, 113.6°"]);
  assert.deepEqual(tooltipLines({ kind: "weights", index: 0, label: 0 }, frame, started), ["Classifier weights of a", "90.0° from its class mean"]);
  assert.deepEqual(tooltipLines({ kind: "features", index: 0, label: 1 }, frame, started), ["Training sample of b", "30.0° from its class mean"]);
  assert.equal(tooltipLines({ kind: "vertices", index: 2, label: 2 }, frame, started)[0], "Vertex of c");
  assert.deepEqual(tooltipLines({ kind: "features", index: 0, label: 1 }, { ...frame, predictions: [2] }, started, { trueLabel: 0 }), ["Training sample of b", "predicted as c", "true class: a", "30.0° from its class mean"]);
  assert.equal(tooltipLines({ kind: "vertices", index: 2, label: 2 }, frame, started, { rotationDeg: 3.21 })[2], "rotated by 3.2° since the previous capture");
  const table = classRows(started.class_names, frame, {});
  assert.deepEqual(table.map((row) => [row.name, row.nearest]), [["a", "c"], ["c", "a"], ["b", "a"]]);
  assert.equal(highlightShapes([0, 2], 3, () => "#000").length, 4);
});

test("metrics of layers are in the order of the forward pass, the features last", () => {
  const run = { measuredEpochs: [1, 2], series: { "layer:b": { nc1: [4, 3] }, "layer:a": { nc1: [9, 8] }, train: { nc1: [2, 1] } } };
  assert.deepEqual(layerValues(run, "nc1", "train", 1.5), { names: ["b", "a", "penultimate"], values: [4, 9, 2] });
  assert.deepEqual(layerValues(run, "nc1", "train", null).values, [3, 8, 1]);
  assert.ok(DEFAULT_CAMERA.zoom === 1);
});
