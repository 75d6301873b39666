// The tabs below the scene: what a capture has class by class, and the run's log, attempts and files. A tab is filled
// when it is opened, and again when another capture is shown or an event concerns it.

import { ApiError, apiUrl, fetchJson, fetchText } from "../core/api.mjs";
import { decodeArray } from "../core/arrays.mjs";
import { STATUS_AFTER_EVENT } from "../core/constants.mjs";
import { createElement, pressButton, Throttle } from "../core/dom.mjs";
import { angleDegrees, capitalize, formatAngle, formatBytes, formatDuration, formatNumber, formatPercent, formatTime } from "../core/formatting.mjs";
import { nearestClass } from "../scene/tooltips.mjs";
import { axesTheme } from "./charts.mjs";

const REFRESH_INTERVAL_MS = 900;
const MAX_ROWS = 200;
const SHA256_DIGITS = 16;

/** Rows of the table of classes, the smallest angle to another class first. */
export function classRows(names, frame, arrays) {
  const accuracy = arrays.accuracy && decodeArray(arrays.accuracy).data;
  const variance = arrays.within_variance && decodeArray(arrays.within_variance).data;
  return names.map((name, label) => {
    const nearest = nearestClass(frame.cosines, label, names.length);
    return {
      label, name, accuracy: accuracy ? accuracy[label] : null, variance: variance ? variance[label] : null,
      nearest: nearest ? names[nearest.label] : null, angleDeg: nearest ? angleDegrees(nearest.cosine) : null,
    };
  }).sort((a, b) => (a.angleDeg ?? 0) - (b.angleDeg ?? 0));
}

function createTable(headings, rows) {
  const table = createElement("table");
  table.createTHead().insertRow().append(...headings.map((text) => createElement("th", { textContent: text, scope: "col" })));
  const body = table.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const cell of cells) row.insertCell().append(cell ?? "");
  }
  return table;
}

const paragraph = (text, className = "ink-2") => createElement("p", { textContent: text, className });
const tableOr = (items, headings, toRow, emptyText) => [items.length ? createTable(headings, items.map(toRow)) : paragraph(emptyText)];

function drawClasses(page, { arrays }) {
  const rows = classRows(page.names, page.frame, arrays);
  const headings = ["Class", "Train accuracy", "Within-class variance", "Nearest class", "Angle"];
  const table = createTable(headings, rows.slice(0, MAX_ROWS).map((row) => {
    const button = createElement("button", { type: "button", className: "class-name", textContent: row.name, title: "Highlight class", "data-class": row.label });
    button.style.setProperty("--class", page.scene.colours[row.label]);
    return [button, formatPercent(row.accuracy), formatNumber(row.variance), row.nearest, row.angleDeg === null ? "" : formatAngle(row.angleDeg)];
  }));
  return rows.length > MAX_ROWS ? [paragraph(`The ${MAX_ROWS} classes with the smallest angles, of ${rows.length}.`), table] : [table];
}

function confusionData({ arrays }) {
  const { data, rows, columns } = decodeArray(arrays.confusion);
  const z = Array.from({ length: rows }, (_, i) => Array.from(data.subarray(i * columns, (i + 1) * columns)));
  // Correct predictions would hide all others: the colour scale ends at the largest confusion.
  const max = Math.max(1, ...z.flatMap((row, i) => row.filter((_, j) => j !== i)));
  return [{ z: [z], zmax: max }, {}];
}

function marginsData({ arrays }) {
  const curves = ["margins", "margins_test"].map((name) => (arrays[name] ? Array.from(decodeArray(arrays[name]).data) : []));
  return [{ x: curves.map((curve) => curve.map((_, i) => i / Math.max(1, curve.length - 1))), y: curves }, {}, [0, 1]];
}

function spectraData({ arrays }) {
  const curves = ["spectrum_between", "spectrum_within"].map((name) => Array.from(decodeArray(arrays[name]).data).map((v) => (v > 0 ? v : null)));
  return [{ x: curves.map((curve) => curve.map((_, i) => i + 1)), y: curves }, {}, [0, 1]];
}

function drawAttempts(page, { items }) {
  const toRow = (attempt) => {
    const { claimed_at: start, ended_at: end } = attempt;
    const duration = end ? formatDuration((Date.parse(end) - Date.parse(start)) / 1000) : "";
    return [attempt.number, attempt.device, attempt.pid, formatTime(start, { seconds: true }), duration, outcomeText(attempt.outcome)];
  };
  return tableOr(items, ["Attempt", "Device", "Process", "Started, UTC", "Duration", "Outcome"], toRow, "Queued: no attempt yet");
}

/** An attempt's outcome: the reason why it failed, or the event that ended it, of which "RunFinished" reads "Finished". */
function outcomeText(outcome) {
  const status = STATUS_AFTER_EVENT[outcome];
  return status ? capitalize(status) : (outcome ?? "Running");
}

function drawFiles(page, { items }) {
  const toRow = (file) => [
    file.kind, file.step, formatBytes(file.size_bytes), file.sha256.slice(0, SHA256_DIGITS),
    createElement("a", { textContent: "Download", href: file.href, className: "link", download: "" }),
  ];
  return tableOr(items.slice(-MAX_ROWS).reverse(), ["Kind", "Step", "Size", "SHA-256", ""], toRow, "No files yet");
}

const drawLog = (page, text) => [text ? createElement("pre", { textContent: text, className: "log" }) : paragraph("Log is empty")];

/** Each tab: the arrays of a capture that it needs or the path that it reads, how it is drawn, and the events it follows. */
const TABS = {
  classes: { arrays: ["accuracy", "within_variance"], draw: drawClasses },
  confusion: { arrays: ["confusion"], figure: "confusion", toData: confusionData },
  margins: { arrays: ["margins"], testArrays: ["margins_test"], figure: "margins", toData: marginsData },
  spectra: { arrays: ["spectrum_within", "spectrum_between"], figure: "spectra", toData: spectraData },
  log: { path: "/log?tail=20000", isText: true, draw: drawLog, events: ["LogLine", "AttemptFailed", "RunFailed"] },
  attempts: { path: "/attempts", draw: drawAttempts, events: ["Resumed", "AttemptFailed", "Paused", "RunFinished", "RunCancelled", "RunFailed"] },
  files: { path: "/artifacts", draw: drawFiles, events: ["CheckpointSaved", "FeaturesKept"] },
};

/** The panel of tabs of a run's page. */
export class Details {
  /** @param {import("../pages/run-page.mjs").RunPage} page */
  constructor(page) {
    this.page = page;
    this.tab = ""; // as in the address: empty for the first one
    this.panel = page.part("details");
    this.refresh = new Throttle(REFRESH_INTERVAL_MS, () => this.fill());
  }

  open(tab) {
    this.tab = TABS[tab] || this.panel?.querySelector(`[data-static="${tab}"]`) ? tab : "";
    this.openTab = this.tab || (this.panel?.dataset.first ?? "");
    pressButton(this.page.root, "tab", this.openTab);
    for (const each of this.panel?.querySelectorAll("[data-static]") ?? []) each.hidden = each.dataset.static !== this.openTab;
    for (const each of this.panel?.querySelectorAll("[data-explains]") ?? []) each.hidden = each.dataset.explains !== this.openTab;
    this.refresh.flush();
  }

  /** Another capture is shown. */
  onCapture() {
    if (TABS[this.openTab]?.arrays) this.refresh.request();
  }

  onEvents(events) {
    const types = TABS[this.openTab]?.events;
    if (types && events.some((event) => types.includes(event.type))) this.refresh.request();
  }

  async fill() {
    const { page, openTab } = this;
    const tab = TABS[openTab];
    const body = page.part("details-body");
    if (!body) return;
    body.hidden = !tab;
    if (!tab) return;
    const { capture } = page.playback;
    if (tab.arrays && (!capture || !page.frame || !window.Plotly)) {
      if (page.run.captures.length === 0) body.replaceChildren(paragraph(page.isRestored ? "No captures yet" : ""));
      return; // filled when the capture is there
    }
    try {
      const content = await this.load(tab, capture);
      if (this.openTab !== openTab) return;
      if (tab.figure) this.drawFigure(body, tab, content);
      else body.replaceChildren(...tab.draw(page, content));
    } catch (error) {
      if (error.name !== "AbortError" && this.openTab === openTab) body.replaceChildren(paragraph(error.message, "error-text"));
    }
  }

  async load(tab, capture) {
    const { page } = this;
    const { signal } = page.abort;
    if (tab.path) return (tab.isText ? fetchText : fetchJson)(apiUrl(`/runs/${page.runId}${tab.path}`), { signal });
    const fetchArrays = (names) => fetchJson(`${capture.href}&arrays=${names}`, { signal });
    const content = await fetchArrays(tab.arrays);
    if (tab.testArrays && Object.keys(page.run.series.test ?? {}).length) {
      const test = await fetchArrays(tab.testArrays).catch((error) => {
        if (!(error instanceof ApiError)) throw error; // the capture has none
      });
      Object.assign(content.arrays, test?.arrays);
    }
    return content;
  }

  drawFigure(body, tab, content) {
    const [traces, layout, indices] = tab.toData(content);
    if (body.firstChild?.dataset?.figure === tab.figure) {
      window.Plotly.update(body.firstChild, traces, layout, indices);
      return;
    }
    const graph = createElement("div", { className: "detail-graph", "data-figure": tab.figure });
    body.replaceChildren(graph);
    // The data is set from the start: Plotly cannot lay out an empty axis that is tied to another one.
    const figure = structuredClone(this.page.figures[tab.figure]);
    figure.data.forEach((trace, i) => {
      const at = (indices ?? figure.data.map((_, j) => j)).indexOf(i);
      if (at < 0) return;
      for (const [key, value] of Object.entries(traces)) trace[key] = Array.isArray(value) ? value[at] : value;
    });
    window.Plotly.newPlot(graph, figure.data, figure.layout, { displayModeBar: false, responsive: true });
    this.updateTheme();
  }

  updateTheme() {
    const graph = this.page.part("details-body")?.querySelector(".detail-graph");
    if (graph?._fullLayout) window.Plotly.relayout(graph, axesTheme(this.page.css));
  }

  highlight(labels) {
    for (const each of this.panel?.querySelectorAll(".class-name") ?? []) {
      each.closest("tr").classList.toggle("highlighted", labels.includes(Number(each.dataset.class)));
    }
  }

  close() {
    this.refresh.cancel();
  }
}
