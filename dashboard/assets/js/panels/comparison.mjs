// The panels of a comparison: time to collapse, and the difference of two configurations' cosines.

import { meanMatrix } from "../core/arrays.mjs";
import { LIMITS } from "../core/constants.mjs";
import { createElement, findPart } from "../core/dom.mjs";
import { formatNumber } from "../core/formatting.mjs";
import { captureIndexAt } from "../model/playback.mjs";
import { thresholdCrossings } from "../model/seed-statistics.mjs";
import { axesTheme, divergingScale } from "./charts.mjs";

/** The panel "Time to collapse" of a comparison. */
export class TimeToCollapse {
  /** @param {import("../pages/compare-page.mjs").ComparePage} page */
  constructor(page, { metric, threshold }) {
    this.page = page;
    this.metrics = JSON.parse(findPart(page.root, "times").dataset.metrics);
    this.select = createElement("select", { "aria-label": "Metric" }, this.metrics.map(({ key, label }) => new Option(label, key)));
    if (this.metrics.some(({ key }) => key === metric)) this.select.value = metric;
    this.input = createElement("input", { type: "number", step: "any", value: threshold ?? this.metric.threshold, "aria-label": "Threshold" });
    this.select.addEventListener("change", () => {
      this.input.value = this.metric.threshold;
      this.onChange();
    });
    this.input.addEventListener("input", () => this.onChange());
    this.sign = createElement("span");
    findPart(page.root, "time-options").replaceChildren(this.select, this.sign, this.input);
  }

  get metric() {
    return this.metrics.find(({ key }) => key === this.select.value);
  }

  onChange() {
    this.draw();
    this.page.writeUrl();
  }

  urlState() {
    const threshold = Number(this.input.value);
    return {
      metric: this.select.value === this.metrics[0].key ? null : this.select.value,
      threshold: threshold === this.metric.threshold ? null : threshold,
    };
  }

  draw() {
    const { page, metric: { key, direction } } = this;
    this.sign.textContent = direction === "high" ? "≥" : "≤";
    const toPercent = (x) => `${Math.min(100, (100 * x) / page.axisEnd).toFixed(2)}%`;
    page.configurations.forEach(({ runs }, i) => {
      const result = thresholdCrossings(runs.map(({ model }) => model), key, Number(this.input.value), direction, page.toX);
      const bar = page.root.querySelector(`[data-time="${i}"]`);
      const marks = result.runs > 1 ? result.crossings.map((x) => createStyled("u", { left: toPercent(x) })) : [];
      bar.replaceChildren(...(result.median === null ? [] : [createStyled("i", { width: toPercent(result.median) }), ...marks]));
      page.root.querySelector(`[data-time-text="${i}"]`).textContent = this.resultText(result);
    });
  }

  resultText({ median, crossings, runs }) {
    if (median === null) return "Not reached";
    const missing = runs - crossings.length;
    return this.page.formatX(median) + (missing ? `, ${missing}/${runs} not reached` : "");
  }
}

function createStyled(tag, style) {
  const element = createElement(tag);
  Object.assign(element.style, style);
  return element;
}

const MIN_COLOUR_BOUND = 0.05;

/** The elementwise difference of two square matrices as nested rows, null on the diagonal. */
function differenceRows(a, b) {
  const row = (i) => Array.from({ length: a.rows }, (_, j) => (i === j ? null : a.data[i * a.rows + j] - b.data[i * a.rows + j]));
  return Array.from({ length: a.rows }, (_, i) => row(i));
}

/** The entry of largest absolute value and its indices. */
function largestEntry(rows) {
  let largest = { value: 0, i: 0, j: 1 };
  rows.forEach((row, i) => row.forEach((value, j) => {
    if (value !== null && Math.abs(value) > Math.abs(largest.value)) largest = { value, i, j };
  }));
  return largest;
}

/** The panel "Difference of cosines" of a comparison. */
export class AngleDifference {
  /** @param {import("../pages/compare-page.mjs").ComparePage} page */
  constructor(page) {
    this.page = page;
    this.graph = findPart(page.root, "difference");
    this.selects = [0, 1].map((i) => {
      const options = page.configurations.map(({ label }, j) => new Option(label, j));
      const select = createElement("select", { "aria-label": i ? "Second configuration" : "First configuration" }, options);
      select.value = String(i);
      select.addEventListener("change", () => page.panelsThrottle.flush());
      return select;
    });
    findPart(page.root, "difference-options").replaceChildren(this.selects[0], "−", this.selects[1]);
  }

  /** The mean cosines of a configuration's runs at the position shown; null where one of them has no capture. */
  async fetchCosines({ runs }) {
    const { page } = this;
    const frames = await Promise.all(runs.map(({ model, playback }) => {
      const capture = model.captures[captureIndexAt(model.captures, page.epochAt(model, page.shownX))];
      return capture && (playback.getFrame(capture) ?? playback.fetch(capture));
    }));
    return frames.every(Boolean) ? meanMatrix(frames.map(({ cosines }) => cosines)) : null;
  }

  async draw() {
    if (!window.Plotly) return;
    const { page } = this;
    const pair = this.selects.map(({ value }) => page.configurations[Number(value)]);
    const request = (this.request = {});
    const [a, b] = await Promise.all(pair.map((configuration) => this.fetchCosines(configuration)));
    if (request !== this.request || page.abort.signal.aborted) return;
    const text = findPart(page.root, "difference-text");
    this.graph.hidden = !a || !b || a.rows !== b.rows;
    if (this.graph.hidden) {
      text.textContent = !a || !b ? "Waiting for captures of both configurations" : "Class counts differ";
      return;
    }
    const rows = differenceRows(a, b);
    const { value, i, j } = largestEntry(rows);
    const names = JSON.parse(page.root.dataset.names)[page.configurations.indexOf(pair[0])];
    const labels = a.rows === names.length ? names : null; // none where rows are blocks of classes
    this.drawHeatmap(rows, Math.max(MIN_COLOUR_BOUND, Math.abs(value)), labels);
    text.textContent = `Largest difference ${formatNumber(value)}${labels ? `, ${labels[i]} and ${labels[j]}` : ""}.`;
  }

  drawHeatmap(rows, bound, labels) {
    const { graph, page } = this;
    const axes = labels && labels.length <= LIMITS.named_classes ? { x: labels, y: labels } : {};
    const trace = { z: rows, zmin: -bound, zmax: bound, colorscale: divergingScale(page.css), ...axes };
    if (graph._fullLayout) {
      const change = Object.fromEntries(Object.entries(trace).map(([name, value]) => [name, Array.isArray(value) ? [value] : value]));
      window.Plotly.update(graph, change, axesTheme(page.css), [0]);
      return;
    }
    const { data, layout } = JSON.parse(page.root.dataset.difference);
    window.Plotly.newPlot(graph, [{ ...data[0], ...trace }], layout, { displayModeBar: false, responsive: true });
    window.Plotly.relayout(graph, axesTheme(page.css));
  }
}
