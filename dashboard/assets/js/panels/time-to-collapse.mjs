// The bars of a comparison that show when each configuration reaches a threshold for good.

import { createElement, findPart } from "../core/dom.mjs";
import { thresholdCrossings } from "../model/seed-statistics.mjs";

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
      const found = thresholdCrossings(runs.map(({ model }) => model), key, Number(this.input.value), direction, page.toX);
      const bar = page.root.querySelector(`[data-time="${i}"]`);
      const marks = found.runs > 1 ? found.crossings.map((x) => createStyled("u", { left: toPercent(x) })) : [];
      bar.replaceChildren(...(found.median === null ? [] : [createStyled("i", { width: toPercent(found.median) }), ...marks]));
      page.root.querySelector(`[data-time-words="${i}"]`).textContent = this.resultText(found);
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
