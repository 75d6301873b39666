// The table's columns: how cells are drawn, which columns are shown, and that the choice is remembered.

import { foldValue, sparkPoints, statusWords, stateWords, valueOf, words } from "./run-rows.mjs";

const KEPT = "collapse-lab columns";
const [SPARK_WIDTH, SPARK_HEIGHT, SPARKS] = [96, 24, 8];
const FOLDED_WIDTH = 176;
const SVG = "http://www.w3.org/2000/svg";

/** The grid's own definitions of columns from their specs. `shared` tells what is folded, and fetches small curves. */
export function definitions(specs, shared) {
  return specs.map((spec) => ({
    colId: spec.field, field: spec.field, headerName: spec.title, headerTooltip: spec.help, width: spec.width, hide: !spec.shown,
    sortable: Boolean(spec.sort), resizable: true, sortingOrder: ["asc", "desc", null],
    type: ["number", "share", "duration"].includes(spec.kind) ? "rightAligned" : undefined,
    valueGetter: ({ data }) => (data ? valueIn(data, spec, shared.by()) : null),
    ...(DRAWN[spec.kind] ? { cellRenderer: DRAWN[spec.kind], cellRendererParams: { shared } } : { valueFormatter: ({ value }) => words(value, spec.kind) }),
    tooltipValueGetter: ({ value }) => (spec.kind === "spark" ? null : words(value, spec.kind)),
    ...(spec.kind === "spark" ? { equals: () => false } : {}),
  }));
}

/** The value of a cell; of a small curve what it depends on, so that the grid draws it again when that changes. */
function valueIn(data, spec, by) {
  if (spec.kind === "spark") return data.runs ? data.runs.slice(0, SPARKS).join(",") : `${data.id} ${data.last_seq}`;
  return data.runs ? foldValue(data, spec.field, by) : valueOf(data, spec.field);
}

class Cell {
  init(params) {
    this.gui = document.createElement("span");
    this.gui.className = "cell";
    this.refresh(params);
  }

  getGui() {
    return this.gui;
  }

  refresh(params) {
    if (params.data) this.draw(params);
    else this.gui.replaceChildren();
    return true;
  }
}

class NameCell extends Cell {
  draw({ data, value, shared }) {
    const { runs } = data;
    if (runs && runs.length > 1) {
      const open = shared.isOpen(data.id);
      const button = Object.assign(document.createElement("button"), { type: "button", className: "fold", textContent: `${open ? "▾" : "▸"} ${foldTitle(data, shared.by())}` });
      button.dataset.fold = data.id;
      button.setAttribute("aria-expanded", String(open));
      this.gui.replaceChildren(button, Object.assign(document.createElement("small"), { textContent: ` ${runs.length} runs` }));
      return;
    }
    const link = Object.assign(document.createElement("a"), { className: data.inside ? "row-link inside" : "row-link", textContent: value || data.value || "run" });
    link.setAttribute("href", `/runs/${runs ? runs[0] : data.id}`);
    this.gui.replaceChildren(link);
  }
}

function foldTitle(fold, by) {
  if (by !== "seeds") return fold.value ?? "none";
  return fold.shared.name ?? [fold.shared.data, fold.shared.head].filter(Boolean).join(", ");
}

class StatusCell extends Cell {
  draw({ data }) {
    const text = data.runs ? stateWords(data.states) : statusWords(data);
    if (this.gui.textContent !== text) this.gui.textContent = text;
    this.gui.title = text;
    this.gui.className = `cell ${data.status === "running" ? "active" : data.status === "failed" ? "bad-words" : "ink"}`;
  }
}

const held = new Map(); // small curves by run and last event

class SparkCell extends Cell {
  async draw({ data, shared }) {
    const ids = (data.runs ?? [data.id]).slice(0, SPARKS);
    this.wanted = data.runs ? `${ids.join()} ${JSON.stringify(data.states)}` : `${data.id} ${data.last_seq}`;
    const { wanted } = this;
    if (!held.has(wanted)) {
      if (held.size > 2000) held.clear();
      held.set(wanted, asked(ids, shared.spark));
    }
    const curves = await held.get(wanted).catch(() => {
      held.delete(wanted);
      return [];
    });
    if (this.wanted !== wanted || this.drawn === wanted) return;
    this.drawn = wanted;
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`, width: SPARK_WIDTH, height: SPARK_HEIGHT, class: "spark", role: "img" })) svg.setAttribute(name, value);
    const last = curves[0]?.values.at(-1);
    svg.setAttribute("aria-label", last === undefined ? "no epoch measured yet" : `NC1 from ${words(curves[0].values[0], "number")} to ${words(last, "number")}`);
    svg.append(...sparkPoints(curves, SPARK_WIDTH, SPARK_HEIGHT).map((points) => {
      const line = document.createElementNS(SVG, "polyline");
      line.setAttribute("points", points);
      return line;
    }));
    this.gui.replaceChildren(svg);
  }
}

// Cells that are drawn in one go ask for their curves together.
let waiting = null;
function asked(ids, fetched) {
  if (!waiting) {
    const round = { ids: new Set() };
    round.answer = new Promise((resolve, reject) => {
      setTimeout(() => {
        waiting = null;
        const all = [...round.ids];
        const parts = [];
        for (let i = 0; i < all.length; i += 100) parts.push(fetched(all.slice(i, i + 100)));
        Promise.all(parts).then((found) => resolve(new Map(found.flat().map((each) => [each.run, each]))), reject);
      }, 30);
    });
    waiting = round;
  }
  for (const id of ids) waiting.ids.add(id);
  return waiting.answer.then((found) => ids.map((id) => found.get(id)).filter(Boolean));
}

const DRAWN = { name: NameCell, status: StatusCell, spark: SparkCell };

/** The choice of columns, their order and widths: kept in the browser. */
export class Columns {
  constructor(root, specs, signal) {
    Object.assign(this, { root, specs, signal });
    this.byField = new Map(specs.map((spec) => [spec.field, spec]));
  }

  spec(field) {
    return this.byField.get(field);
  }

  begin(api) {
    this.api = api;
    this.first = api.getColumnState();
    const kept = this.read();
    if (kept) api.applyColumnState({ state: kept, applyOrder: true });
    for (const event of ["columnMoved", "columnResized", "columnVisible", "sortChanged"]) api.addEventListener(event, () => this.keep());
    this.build();
  }

  shown() {
    return this.api.getColumnState().filter((column) => !column.hide).map((column) => column.colId);
  }

  read() {
    try {
      return JSON.parse(window.localStorage.getItem(KEPT));
    } catch {
      return null; // not ours, or from long ago
    }
  }

  /** Medians with their range need more room than numbers; what a person had chosen comes back afterwards. */
  fold(on) {
    if (!this.api || on === Boolean(this.unfolded)) return;
    const state = this.api.getColumnState();
    if (on) {
      const wide = (field) => ["number", "share", "duration"].includes(this.spec(field)?.kind) && this.spec(field).field !== "seed";
      this.unfolded = state;
      this.api.applyColumnState({ state: state.map((column) => (wide(column.colId) ? { ...column, width: Math.max(column.width, FOLDED_WIDTH) } : column)) });
    } else {
      const before = this.unfolded;
      this.unfolded = null;
      this.api.applyColumnState({ state: before });
    }
  }

  keep() {
    if (this.unfolded) return;
    const state = this.api.getColumnState().map(({ colId, hide, width, sort, sortIndex }) => ({ colId, hide, width, sort, sortIndex }));
    window.localStorage.setItem(KEPT, JSON.stringify(state));
  }

  build() {
    const list = this.root.querySelector('[data-part="column-list"]');
    const search = Object.assign(document.createElement("input"), { type: "search", placeholder: "find a column" });
    search.setAttribute("aria-label", "Find a column");
    this.root.querySelector('[data-part="column-search"]').replaceChildren(search);
    const shown = new Set(this.shown());
    list.replaceChildren(...this.specs.map((spec) => {
      const item = document.createElement("li");
      const label = Object.assign(document.createElement("label"), { title: spec.help ?? "" });
      const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: shown.has(spec.field) });
      box.dataset.field = spec.field;
      label.append(box, spec.title);
      item.append(label);
      return item;
    }));
    list.addEventListener("change", ({ target }) => {
      this.api.setColumnsVisible([target.dataset.field], target.checked);
      this.keep();
      if (/^(train|test)\./.test(target.dataset.field)) this.changed?.();
    }, { signal: this.signal });
    search.addEventListener("input", () => {
      const word = search.value.toLowerCase();
      for (const item of list.children) item.hidden = !item.textContent.toLowerCase().includes(word) && !item.querySelector("input").dataset.field.includes(word);
    }, { signal: this.signal });
    this.root.querySelector('[data-part="columns-reset"]').addEventListener("click", () => {
      this.api.applyColumnState({ state: this.first, applyOrder: true });
      for (const box of list.querySelectorAll("input")) box.checked = Boolean(this.spec(box.dataset.field).shown);
    }, { signal: this.signal });
  }
}
