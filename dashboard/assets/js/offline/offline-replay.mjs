// Runs as one file that works offline: scenes, a slider, cosines and curves, from data inside the page.

import { COLOURS, LIMITS } from "../core/constants.mjs";
import { createElement, createSvg, cssReader, findPart, pressButton, runShortcut } from "../core/dom.mjs";
import { formatAngle, formatEpoch } from "../core/formatting.mjs";
import { captureIndexAt, LARGE_STEP, TRAIL_CAPTURES } from "../model/playback.mjs";
import { heatmapValues } from "../panels/charts.mjs";
import { Scene } from "../scene/scene.mjs";
import { OfflineChart } from "./offline-chart.mjs";

const SPEEDS = [1, 2, 4, 8];
const PLAYBACK_INTERVAL_MS = 250; // between two captures at speed 1
const MARK_LABELS = { means: "class mean", weights: "classifier weights", features: "sample", vertices: "vertex" };

/** Decode numbers that are rounded to 16-bit multiples of `scale`. */
export function dequantise(encoded, scale) {
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value * scale);
}

/** Split one array of all captures into {data, rows, columns} for each. */
export function splitCaptures({ data, scale, rows, columns }, count) {
  const values = dequantise(data, scale);
  const size = rows * columns;
  return Array.from({ length: count }, (_, i) => ({ data: values.subarray(i * size, (i + 1) * size), rows, columns }));
}

/** The epochs that any of the runs captured, ascending. */
export function capturedEpochs(runs) {
  return [...new Set(runs.flatMap((run) => run.captures.map((capture) => capture.epoch)))].sort((a, b) => a - b);
}

/** One run: its scene, the statistics of its angles, and its cosines. */
class RunView {
  constructor(replay, run, { isLabelled }) {
    this.run = run;
    this.css = replay.css;
    const article = createElement("article", {}, isLabelled ? [createElement("h2", { textContent: run.label })] : []);
    const host = createElement("div", { className: "scene", "data-part": "scene" });
    this.statistics = createElement("p", { "data-part": "angle-statistics" });
    article.append(host, this.statistics);
    replay.part("scenes").append(article);
    this.heatmap = createElement("canvas", { className: "heatmap", width: 300, height: 300, role: "img", "data-part": "heatmap" });
    const caption = isLabelled ? [createElement("figcaption", { textContent: run.label })] : [];
    replay.part("heatmaps").append(createElement("figure", {}, [this.heatmap, ...caption]));
    this.frames = this.decodeFrames();
    const callbacks = { onCameraMove: () => replay.syncCamera(this), onClick: (label) => replay.highlight(label), onHover: (mark) => replay.showMark(run, mark) };
    this.scene = new Scene(host, { colours: run.colours, css: this.css, callbacks });
    this.scene.begin(run);
    this.scene.setLayer("names", run.class_names.length <= LIMITS.named_classes);
  }

  decodeFrames() {
    const { arrays, labels, captures } = this.run;
    const split = Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, splitCaptures(array, captures.length)]));
    return captures.map((_, i) => ({
      means: split.means[i], weights: split.weights[i], features: split.features[i], cosines: split.cosines[i], pca: split.pca?.[i] ?? null,
      labels: Int32Array.from(labels), serverView: null, predictions: null, etfFrame: null, projections: new Map(),
    }));
  }

  /** Show the last capture at or before an epoch. */
  show(epoch) {
    const index = captureIndexAt(this.run.captures, epoch);
    const [capture, names] = [this.run.captures[index], this.run.class_names];
    this.scene.show(this.frames[index], this.frames.slice(Math.max(0, index - TRAIL_CAPTURES), index), capture.smallest_pair);
    const [smallest, ideal, error] = [capture.smallest_angle_deg, this.run.ideal_deg, capture.mean_angle_error_deg].map(formatAngle);
    const text = `Smallest angle ${smallest}, ${names[capture.smallest_pair[0]]} and ${names[capture.smallest_pair[1]]}. Ideal ${ideal}. Mean angle error ${error}.`;
    const captured = formatEpoch(capture.epoch);
    const isEarlier = Math.abs(capture.epoch - epoch) > 1e-6;
    this.statistics.textContent = isEarlier ? `At ${captured}: ${text}` : text;
    this.scene.canvas.setAttribute("aria-label", `${this.run.label}: class means and the nearest ETF at ${captured}. ${text}`);
    this.heatmap.setAttribute("aria-label", `${this.run.label}: cosines between class means. ${text}`);
    this.drawHeatmap(this.frames[index].cosines);
  }

  /** Draw the cosines between class means; the colours are centred on −1/(K−1). */
  drawHeatmap(cosines) {
    const { width } = this.heatmap;
    const context = this.heatmap.getContext("2d");
    const { z, centre, range } = heatmapValues(cosines, "cos", this.run.class_names.length);
    const cell = width / z.length;
    const fill = (i, j, colour, opacity) => {
      context.globalAlpha = opacity;
      context.fillStyle = colour;
      context.fillRect(j * cell + 0.5, i * cell + 0.5, cell - 1, cell - 1);
    };
    context.clearRect(0, 0, width, width);
    const neutral = this.css("neutral");
    z.forEach((row, i) => row.forEach((value, j) => {
      if (value === null) return;
      const share = (value - centre) / range;
      fill(i, j, neutral, 1);
      fill(i, j, share < 0 ? COLOURS.cosine_low : COLOURS.cosine_high, Math.min(1, Math.abs(share)));
    }));
    context.globalAlpha = 1;
  }
}

/** The page of an offline replay. */
class OfflineReplay {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.css = cssReader(root);
    const isLabelled = data.runs.length > 1;
    root.classList.toggle("several", isLabelled);
    this.views = data.runs.map((run) => new RunView(this, run, { isLabelled }));
    this.epochs = capturedEpochs(data.runs);
    this.index = this.epochs.length - 1;
    this.speedIndex = 0;
    this.createLegend();
    this.charts = data.first.map((key, i) => new OfflineChart(this.part("charts"), data, key, i));
    this.bindControls();
    this.show(this.index);
  }

  part(name) {
    return findPart(this.root, name);
  }

  get epoch() {
    return this.epochs[this.index];
  }

  show(index) {
    this.index = Math.max(0, Math.min(this.epochs.length - 1, index));
    this.slider.value = String(this.index);
    const text = formatEpoch(this.epoch);
    this.part("epoch").textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
    for (const view of this.views) view.show(this.epoch);
    for (const chart of this.charts) chart.markEpoch(this.epoch);
  }

  setView(name) {
    pressButton(this.root, "view", name);
    for (const view of this.views) view.scene.setView(name);
  }

  /** Give all scenes the camera of one. */
  syncCamera(source) {
    for (const view of this.views) {
      if (view === source) continue;
      view.scene.camera = source.scene.camera;
      view.scene.invalidate();
    }
  }

  highlight(label) {
    for (const view of this.views) view.scene.highlight(label === null || label === undefined ? [] : [label]);
  }

  showMark(run, mark) {
    this.part("hovered-mark").textContent = mark ? `${run.class_names[mark.label]}, ${MARK_LABELS[mark.kind] ?? mark.kind}` : "";
  }

  togglePlay() {
    const last = this.epochs.length - 1;
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = null;
    } else {
      if (this.index === last) this.show(0);
      const step = () => (this.index < last ? this.show(this.index + 1) : this.togglePlay());
      this.timer = setInterval(step, PLAYBACK_INTERVAL_MS / SPEEDS[this.speedIndex]);
    }
    this.part("play").textContent = this.timer ? "❚❚" : "▶";
    this.part("play").setAttribute("aria-label", this.timer ? "Pause" : "Play");
  }

  nextSpeed() {
    this.speedIndex = (this.speedIndex + 1) % SPEEDS.length;
    this.part("speed").textContent = `${SPEEDS[this.speedIndex]}×`;
    if (!this.timer) return;
    this.togglePlay(); // restart with the new interval
    this.togglePlay();
  }

  bindControls() {
    this.slider = this.part("slider");
    this.slider.max = String(this.index);
    this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
    for (const button of this.root.querySelectorAll("[data-view]")) button.addEventListener("click", () => this.setView(button.dataset.view));
    this.part("play").addEventListener("click", () => this.togglePlay());
    this.part("speed").addEventListener("click", () => this.nextSpeed());
    this.part("charts").addEventListener("change", () => this.show(this.index));
    document.addEventListener("keydown", (event) => this.onKey(event));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const view of this.views) view.scene.updateColours();
      this.show(this.index);
    });
  }

  onKey(event) {
    if (event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey) return;
    const distance = event.shiftKey ? LARGE_STEP : 1;
    if (this.views.some((view) => view.scene.canvas === event.target)) return;
    runShortcut(event, {
      " ": () => this.togglePlay(), ArrowLeft: () => this.show(this.index - distance), ArrowRight: () => this.show(this.index + distance),
      Home: () => this.show(0), End: () => this.show(this.epochs.length - 1),
    });
  }

  /** The legend of the charts' lines. */
  createLegend() {
    for (const line of this.data.lines) {
      const sample = createSvg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" });
      sample.append(createSvg("path", { d: "M0 4H26", class: `line ${line.dash}`, style: `stroke:var(--${line.colour})` }));
      this.part("legend").append(createElement("span", {}, [sample, line.label]));
    }
  }
}

const embedded = globalThis.document?.getElementById("replay-data");
if (embedded) globalThis.replay = new OfflineReplay(document.body, JSON.parse(embedded.textContent));
