// Cells of the table of runs: the value of each column for a run or a group of runs, and the renderers of cells that are more
// than text. Columns have the names of the filter language's fields, so that what is shown can be sorted and filtered by.

import { toNumber } from "../core/arrays.mjs";
import { createElement, createSvg } from "../core/dom.mjs";
import { formatRunning, formatValue } from "../core/formatting.mjs";

const REQUESTED_STATUS = { cancel: "stopping", pause: "pausing" };
const CONFIG_PARTS = { head: "head", dataset: "data", backbone: "backbone", optimiser: "optimiser" };
const SHARED_FIELDS = { head: "head", dataset: "data", backbone: "backbone", name: "name", group: "group", seed: "seed" };
const SPARKLINE = { width: 96, height: 24, maxRuns: 8 };
const CACHED_SPARKLINES = 2000;
const BATCH_DELAY_MS = 30; // cells that are drawn together ask for their curves together
const BATCH_SIZE = 100; // runs of one request
const SPARKLINE_LOG_RATIO = 10; // of the largest to the smallest value, for a logarithmic sparkline

/** "running 55 %", "failed: out of memory". */
export function rowStatusText(run) {
  if (run.status === "running") return REQUESTED_STATUS[run.want] ?? formatRunning(run.epoch, run.config.epochs);
  return run.status === "failed" && run.error ? `failed: ${run.error}` : run.status;
}

/** "2 finished, 1 running". */
export function statusCountsText(counts) {
  return Object.entries(counts).map(([status, count]) => `${count} ${status}`).join(", ");
}

/** A run's value in a column: text, a number, or null. */
export function runValue(run, field, nowMs = Date.now()) {
  if (field === "status") return rowStatusText(run);
  if (field === "tags") return run.tags.join(", ");
  if (field === "duration") return run.started_at ? runningSeconds(run, nowMs) : null;
  if (CONFIG_PARTS[field]) return run.config[CONFIG_PARTS[field]].name;
  if (field in run && field !== "config") return run[field];
  const [split, ...rest] = field.split(".");
  if ((split === "train" || split === "test") && rest.length === 1) return toNumber(run.summary[split]?.[rest[0]] ?? null);
  const setting = field.split(".").reduce((part, name) => part?.[name], run.config);
  return setting === undefined || setting === null ? null : typeof setting === "object" ? JSON.stringify(setting) : setting;
}

function runningSeconds(run, nowMs) {
  const endMs = run.ended_at ? Date.parse(run.ended_at) : nowMs;
  return Math.max(run.running_s, run.status === "running" ? (endMs - Date.parse(run.started_at)) / 1000 : 0);
}

/** A group's value in a column: text, {median, least, most, runs} of a metric as the service sends it, or null. */
export function groupValue(group, field, groupedBy) {
  if (field === "status") return statusCountsText(group.states);
  if (field === "created_at") return group.created_at;
  if (field === groupedBy) return group.value ?? "none";
  if (SHARED_FIELDS[field]) return group.shared[SHARED_FIELDS[field]] ?? "";
  return group.spreads[field] ?? null;
}

/** Sort groups by a column; those without a value are last in either direction. */
export function sortGroups(groups, field, isDescending, groupedBy) {
  const key = (group) => {
    const value = groupValue(group, field, groupedBy);
    return value !== null && typeof value === "object" ? value.median : value;
  };
  const sign = isDescending ? -1 : 1;
  return [...groups].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === y) return 0;
    if (x === null || x === "") return 1;
    if (y === null || y === "") return -1;
    return (x < y ? -1 : 1) * sign;
  });
}

/**
 * The polylines of sparklines that share one scale, which is logarithmic where values span more than a factor of ten.
 * @param {{epochs: number[], values: (number | string | null)[]}[]} curves
 * @returns {string[]} "x,y x,y …" in pixels, for each curve of at least two finite values
 */
export function sparklinePoints(curves, width, height) {
  const finite = curves.map(({ epochs, values }) => values.flatMap((value, i) => {
    const y = toNumber(value);
    return y !== null && Number.isFinite(y) ? [[epochs[i], y]] : [];
  }));
  const all = finite.flat();
  if (all.length === 0) return [];
  const min = Math.min(...all.map(([, y]) => y));
  const max = Math.max(...all.map(([, y]) => y));
  const scale = min > 0 && max / min > SPARKLINE_LOG_RATIO ? Math.log : (y) => y;
  const [low, high, lastEpoch] = [scale(min), scale(max), Math.max(...all.map(([x]) => x))];
  const toPixels = ([x, y]) => {
    const share = high > low ? (scale(y) - low) / (high - low) : 0.5;
    return `${((width * x) / Math.max(1, lastEpoch)).toFixed(1)},${(1 + (height - 2) * (1 - share)).toFixed(1)}`;
  };
  return finite.filter((points) => points.length > 1).map((points) => points.map(toPixels).join(" "));
}

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
