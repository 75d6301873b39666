// Cells of the table of runs that are more than text: name, status, sparkline.

import { createElement, createSvg } from "../core/dom.mjs";
import { formatValue } from "../core/formatting.mjs";
import { rowStatusText, sparklinePoints, statusCountsText } from "./run-rows.mjs";

const SPARKLINE = { width: 96, height: 24, maxRuns: 8 };
const CACHED_SPARKLINES = 2000;
const BATCH_DELAY_MS = 30; // cells that are drawn together ask for their curves together
const BATCH_SIZE = 100; // runs of one request

/** What a sparkline depends on: the table draws its cell again when this changes. */
export function sparklineKey(row) {
  return row.runs ? row.runs.slice(0, SPARKLINE.maxRuns).join(",") : `${row.id} ${row.last_seq}`;
}

/** A cell renderer of ag-grid: `draw` fills `element` from the cell's parameters. */
class Cell {
  init(params) {
    this.element = createElement("span", { className: "cell" });
    this.refresh(params);
  }

  getGui() {
    return this.element;
  }

  refresh(params) {
    if (params.data) this.draw(params);
    else this.element.replaceChildren();
    return true;
  }
}

class NameCell extends Cell {
  draw({ data, value, table }) {
    const { runs } = data;
    if (runs && runs.length > 1) {
      const isOpen = table.isOpen(data.id);
      const title = `${isOpen ? "▾" : "▸"} ${groupTitle(data, table.groupedBy())}`;
      const button = createElement("button", { type: "button", className: "group-toggle", textContent: title, "data-group-id": data.id, "aria-expanded": String(isOpen) });
      this.element.replaceChildren(button, createElement("small", { textContent: ` ${runs.length} runs` }));
      return;
    }
    const link = createElement("a", { className: data.isMember ? "row-link member" : "row-link", textContent: value || data.value || "run" });
    link.setAttribute("href", `/runs/${runs ? runs[0] : data.id}`);
    this.element.replaceChildren(link);
  }
}

function groupTitle(group, groupedBy) {
  if (groupedBy !== "seeds") return group.value ?? "none";
  return group.shared.name ?? [group.shared.data, group.shared.head].filter(Boolean).join(", ");
}

class StatusCell extends Cell {
  draw({ data }) {
    const text = data.runs ? statusCountsText(data.states) : rowStatusText(data);
    if (this.element.textContent !== text) this.element.textContent = text;
    this.element.title = text;
    this.element.className = `cell ${data.status === "running" ? "active" : data.status === "failed" ? "error-text" : "ink"}`;
  }
}

const sparklineCache = new Map();

class SparklineCell extends Cell {
  async draw({ data, table }) {
    const ids = (data.runs ?? [data.id]).slice(0, SPARKLINE.maxRuns);
    const key = data.runs ? `${ids.join()} ${JSON.stringify(data.states)}` : sparklineKey(data);
    this.wantedKey = key;
    if (!sparklineCache.has(key)) {
      if (sparklineCache.size > CACHED_SPARKLINES) sparklineCache.clear();
      sparklineCache.set(key, fetchBatched(ids, table.fetchSparklines));
    }
    const curves = await sparklineCache.get(key).catch(() => {
      sparklineCache.delete(key);
      return [];
    });
    if (this.wantedKey !== key || this.drawnKey === key) return;
    this.drawnKey = key;
    this.element.replaceChildren(createSparkline(curves));
  }
}

function createSparkline(curves) {
  const { width, height } = SPARKLINE;
  const values = curves[0]?.values ?? [];
  const label = values.length === 0 ? "No epochs measured yet" : `NC1 from ${formatValue(values[0], "number")} to ${formatValue(values.at(-1), "number")}`;
  const svg = createSvg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "spark", role: "img", "aria-label": label });
  svg.append(...sparklinePoints(curves, width, height).map((points) => createSvg("polyline", { points })));
  return svg;
}

let batch = null;

/** Fetch the curves of runs together with those that other cells ask for within the next milliseconds. */
function fetchBatched(ids, fetchSparklines) {
  if (!batch) {
    const current = { ids: new Set() };
    current.answer = new Promise((resolve, reject) => {
      setTimeout(() => {
        batch = null;
        const all = [...current.ids];
        const requests = [];
        for (let i = 0; i < all.length; i += BATCH_SIZE) requests.push(fetchSparklines(all.slice(i, i + BATCH_SIZE)));
        Promise.all(requests).then((curves) => resolve(new Map(curves.flat().map((each) => [each.run, each]))), reject);
      }, BATCH_DELAY_MS);
    });
    batch = current;
  }
  for (const id of ids) batch.ids.add(id);
  return batch.answer.then((curves) => ids.map((id) => curves.get(id)).filter(Boolean));
}

/** Cell renderers by the kind of a column. */
export const CELLS = { name: NameCell, status: StatusCell, spark: SparklineCell };
