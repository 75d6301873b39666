// The four charts over epochs, the groups of metrics to choose from, and linked hovering.

import { createElement, findPart, pressButton } from "../core/dom.mjs";
import { hasCharts } from "../model/run-model.mjs";
import { drawChart, setChartTitles, showHover } from "./charts.mjs";
import { chartDescription } from "./run-text.mjs";

/** A group of up to four charts of a run. */
export class Curves {
  /**
   * @param {HTMLElement} root the run's page
   * @param {{name: string, title: string, charts: object[]}[]} groups `name` is that in addresses
   * @param {object} run the run's model
   * @param {{css: (name: string) => string, signal: AbortSignal,
   *          callbacks: {onHover: (epoch: number | null) => void, onGroupChange: () => void}}} options
   */
  constructor(root, groups, run, { css, signal, callbacks }) {
    Object.assign(this, { root, groups, run, css, callbacks });
    this.groupIndex = 0;
    this.graphs = [];
    this.hoveredEpoch = null;
    this.markedEpoch = null;
    const place = findPart(root, "more-metrics");
    const options = groups.map(({ title }, i) => new Option(title, i)).slice(Number(place.dataset.first));
    this.select = createElement("select", { "aria-label": "More metrics" }, [new Option("More metrics", ""), ...options]);
    this.select.addEventListener("change", () => this.chooseGroup(Number(this.select.value), { byUser: true }), { signal });
    place.replaceChildren(this.select);
  }

  get group() {
    return this.groups[this.groupIndex];
  }

  /** Take the charts' Plotly elements once Dash has mounted them. */
  begin(graphs) {
    this.graphs = graphs;
    for (const [i, graph] of graphs.entries()) {
      // Dash draws its graphs again when the theme changes, from a layout without our shapes.
      graph.on("plotly_react", () => requestAnimationFrame(() => this.drawOne(i)));
      graph.on("plotly_hover", ({ points }) => {
        if (points.length) this.hover(points[0].x, i);
      });
      graph.on("plotly_unhover", () => this.hover(null, i));
    }
  }

  /** An epoch is hovered in one chart: show it in the others too. */
  hover(epoch, source) {
    if (epoch === this.hoveredEpoch) return;
    this.hoveredEpoch = epoch;
    this.graphs.forEach((graph, i) => {
      if (i !== source && this.group.charts[i]) showHover(graph, epoch);
    });
    this.callbacks.onHover(epoch);
  }

  /** Hide groups of which the run has no metric. */
  updateOptions() {
    for (const option of this.select.options) {
      option.hidden = option.disabled = option.value !== "" && !hasCharts(this.run, this.groups[Number(option.value)]);
    }
  }

  chooseGroup(index, { byUser = false } = {}) {
    this.groupIndex = index;
    pressButton(this.root, "group", String(index));
    const isListed = [...this.select.options].some((option) => option.value === String(index));
    this.select.value = isListed ? String(index) : "";
    setChartTitles(this.root, this.group.charts);
    this.updateExplanations();
    this.draw();
    if (byUser) this.callbacks.onGroupChange();
  }

  chooseGroupByName(name) {
    this.chooseGroup(Math.max(0, this.groups.findIndex((group) => group.name === name)));
  }

  /** Explain the charts that are shown: formula, source, how to read them. */
  updateExplanations() {
    const charts = this.group.charts.filter((chart) => chart?.title);
    findPart(this.root, "curves-explanation")?.replaceChildren(...charts.flatMap((chart) => [
      createElement("dt", { textContent: chart.title }),
      createElement("dd", { textContent: chart.help ?? "As reported by the training steps." }),
    ]));
  }

  draw() {
    this.graphs.forEach((_, i) => this.drawOne(i));
  }

  drawOne(i) {
    const chart = this.group.charts[i];
    if (!chart) return;
    const graph = this.graphs[i];
    const data = drawChart(graph, this.run, chart, this.css);
    graph.setAttribute("role", "img");
    graph.setAttribute("aria-label", chartDescription(data, chart));
    this.markEpoch();
  }

  /** Mark an epoch in all charts, null for none. An element above each chart: Plotly would redraw all for a shape. */
  markEpoch(epoch = this.markedEpoch) {
    this.markedEpoch = epoch;
    for (const graph of this.graphs) {
      let line = graph.querySelector(":scope > .epoch-mark");
      if (!line) graph.append((line = createElement("i", { className: "epoch-mark" })));
      const { xaxis, yaxis } = graph._fullLayout;
      line.hidden = epoch === null;
      if (epoch !== null) Object.assign(line.style, { left: `${xaxis._offset + xaxis.d2p(epoch)}px`, top: `${yaxis._offset}px`, height: `${yaxis._length}px` });
    }
  }
}
