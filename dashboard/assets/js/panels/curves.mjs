// The four charts that are looked at together, the groups that can be chosen, and what is pointed at in them.

import { drawChart, pointAt } from "./charts.mjs";
import { hasCharts } from "../model/run-model.mjs";
import { chartWords } from "./run-text.mjs";

export class Curves {
  /** `graphs` are the charts' Plotly divs; `heard` has point(epoch | null) and chosen(). */
  constructor(root, groups, run, { css, signal, heard }) {
    Object.assign(this, { root, groups, run, css, heard });
    this.group = 0;
    this.graphs = [];
    this.more = document.createElement("select");
    this.more.setAttribute("aria-label", "More metrics");
    this.more.append(new Option("more", ""));
    const place = root.querySelector('[data-part="more-metrics"]');
    for (let i = Number(place.dataset.first); i < groups.length; i += 1) this.more.append(new Option(groups[i].name, i));
    this.more.addEventListener("change", () => this.choose(Number(this.more.value), true), { signal });
    place.replaceChildren(this.more);
  }

  get name() {
    return this.groups[this.group].name;
  }

  begin(graphs) {
    this.graphs = graphs;
    for (const [i, graph] of graphs.entries()) {
      // Dash draws its graphs again when the theme changes, from a layout that knows nothing of our shapes.
      graph.on("plotly_react", () => requestAnimationFrame(() => this.drawOne(i)));
      graph.on("plotly_hover", ({ points }) => {
        if (points.length) this.point(points[0].x, i);
      });
      graph.on("plotly_unhover", () => this.point(null, i));
    }
  }

  /** An epoch is pointed at in chart `own`: the others, and whoever listens, show it too. */
  point(epoch, own = -1) {
    if (epoch === this.pointed) return;
    this.pointed = epoch;
    this.graphs.forEach((graph, i) => {
      if (i !== own && this.groups[this.group].charts[i]) pointAt(graph, epoch);
    });
    this.heard.point(epoch);
  }

  /** Offer only groups of which the run has something. */
  offer() {
    for (const option of this.more.options) {
      option.hidden = option.disabled = option.value !== "" && !hasCharts(this.run, this.groups[Number(option.value)]);
    }
  }

  choose(group, byHand = false) {
    this.group = group;
    for (const button of this.root.querySelectorAll("button[data-group]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.group) === group));
    }
    this.more.value = [...this.more.options].some((option) => option.value === String(group)) ? String(group) : "";
    this.root.querySelectorAll("[data-chart-title]").forEach((title, i) => {
      const chart = this.groups[group].charts[i];
      title.textContent = chart?.title ?? "";
      title.title = chart?.help ?? "";
      title.parentElement.style.visibility = chart ? "" : "hidden";
    });
    this.explain();
    this.draw();
    if (byHand) this.heard.chosen();
  }

  /** What the charts shown are: formula, source, how to read it. */
  explain() {
    const charts = this.groups[this.group].charts.filter((chart) => chart?.title);
    this.root.querySelector('[data-part="curves-why"]')?.replaceChildren(...charts.flatMap((chart) => [
      Object.assign(document.createElement("dt"), { textContent: chart.title }), Object.assign(document.createElement("dd"), { textContent: chart.help ?? "As the training steps report it." }),
    ]));
  }

  chooseByName(name) {
    const group = this.groups.findIndex((each) => each.name === name);
    this.choose(Math.max(0, group));
  }

  draw() {
    this.graphs.forEach((_, i) => this.drawOne(i));
  }

  drawOne(i) {
    const chart = this.groups[this.group].charts[i];
    if (!chart) return;
    const graph = this.graphs[i];
    const shown = drawChart(graph, this.run, chart, this.css);
    graph.setAttribute("role", "img");
    graph.setAttribute("aria-label", chartWords(shown, chart));
    this.mark();
  }

  /** Mark an epoch in all charts, or none. A line over them: Plotly would draw everything again for one of its own. */
  mark(epoch = this.epoch ?? null) {
    this.epoch = epoch;
    for (const graph of this.graphs) {
      let line = graph.querySelector(":scope > .epoch-mark");
      if (!line) graph.append((line = Object.assign(document.createElement("i"), { className: "epoch-mark" })));
      const { xaxis, yaxis } = graph._fullLayout;
      line.hidden = epoch === null;
      if (epoch !== null) Object.assign(line.style, { left: `${xaxis._offset + xaxis.d2p(epoch)}px`, top: `${yaxis._offset}px`, height: `${yaxis._length}px` });
    }
  }
}
