// The table's columns: their definitions for ag-grid, and the choice of columns, which the browser remembers.

import { createElement, findPart } from "../core/dom.mjs";
import { formatValue } from "../core/formatting.mjs";
import { CELLS, groupValue, runValue, sparklineKey } from "./cells.mjs";

const STORAGE_KEY = "collapse-lab columns";
const GROUPED_WIDTH_PX = 176; // of a column of numbers that shows a median with its range
const NUMERIC_KINDS = ["number", "share", "duration"];
const isMetric = (field) => /^(train|test)\./.test(field);

/**
 * Return ag-grid's definitions of columns.
 * @param {{field, title, help, kind, width, shown, sort}[]} columns as the server describes them
 * @param {{groupedBy: () => string, isOpen: (id: string) => boolean, fetchSparklines: (ids: string[]) => Promise}} table
 */
export function columnDefinitions(columns, table) {
  return columns.map((column) => ({
    colId: column.field, field: column.field, headerName: column.title, headerTooltip: column.help, width: column.width, hide: !column.shown,
    sortable: Boolean(column.sort), resizable: true, sortingOrder: ["asc", "desc", null],
    type: NUMERIC_KINDS.includes(column.kind) ? "rightAligned" : undefined,
    valueGetter: ({ data }) => (data ? cellValue(data, column, table.groupedBy()) : null),
    ...(CELLS[column.kind]
      ? { cellRenderer: CELLS[column.kind], cellRendererParams: { table } }
      : { valueFormatter: ({ value }) => formatValue(value, column.kind) }),
    tooltipValueGetter: ({ value }) => (column.kind === "spark" ? null : formatValue(value, column.kind)),
    ...(column.kind === "spark" ? { equals: () => false } : {}),
  }));
}

function cellValue(row, { field, kind }, groupedBy) {
  if (kind === "spark") return sparklineKey(row);
  return row.runs ? groupValue(row, field, groupedBy) : runValue(row, field);
}

/** The choice of columns, their order and widths. */
export class ColumnChooser {
  /** @param {() => void} onMetricsChange called when a metric's column is shown or hidden */
  constructor(root, columns, { signal, onMetricsChange }) {
    Object.assign(this, { root, columns, signal, onMetricsChange });
    this.byField = new Map(columns.map((column) => [column.field, column]));
  }

  column(field) {
    return this.byField.get(field);
  }

  begin(api) {
    this.api = api;
    this.defaultState = api.getColumnState();
    const stored = this.readStored();
    if (stored) api.applyColumnState({ state: stored, applyOrder: true });
    for (const event of ["columnMoved", "columnResized", "columnVisible", "sortChanged"]) api.addEventListener(event, () => this.store());
    this.createList();
  }

  shownFields() {
    return this.api.getColumnState().filter((column) => !column.hide).map((column) => column.colId);
  }

  shownMetrics() {
    return this.shownFields().filter(isMetric);
  }

  readStored() {
    try {
      return JSON.parse(window.localStorage.getItem(STORAGE_KEY));
    } catch {
      return null; // not written by this version
    }
  }

  store() {
    if (this.ungroupedState) return;
    const state = this.api.getColumnState().map(({ colId, hide, width, sort, sortIndex }) => ({ colId, hide, width, sort, sortIndex }));
    window.localStorage.setItem(STORAGE_KEY, JSON.stringify(state));
  }

  /** Widen columns of numbers while runs are grouped; the chosen widths are restored afterwards. */
  setGrouped(isGrouped) {
    if (!this.api || isGrouped === Boolean(this.ungroupedState)) return;
    if (!isGrouped) {
      this.api.applyColumnState({ state: this.ungroupedState });
      this.ungroupedState = null;
      return;
    }
    const isWide = ({ colId }) => NUMERIC_KINDS.includes(this.column(colId)?.kind) && colId !== "seed";
    this.ungroupedState = this.api.getColumnState();
    const state = this.ungroupedState.map((column) => (isWide(column) ? { ...column, width: Math.max(column.width, GROUPED_WIDTH_PX) } : column));
    this.api.applyColumnState({ state });
  }

  createList() {
    const { signal } = this;
    const list = findPart(this.root, "column-list");
    const search = createElement("input", { type: "search", placeholder: "Search columns", "aria-label": "Search columns" });
    findPart(this.root, "column-search").replaceChildren(search);
    const shown = new Set(this.shownFields());
    list.replaceChildren(...this.columns.map(({ field, title, help }) => {
      const box = createElement("input", { type: "checkbox", checked: shown.has(field), "data-field": field });
      return createElement("li", {}, [createElement("label", { title: help ?? "" }, [box, title])]);
    }));
    list.addEventListener("change", ({ target }) => {
      this.api.setColumnsVisible([target.dataset.field], target.checked);
      this.store();
      if (isMetric(target.dataset.field)) this.onMetricsChange();
    }, { signal });
    search.addEventListener("input", () => {
      const text = search.value.toLowerCase();
      for (const item of list.children) item.hidden = !item.textContent.toLowerCase().includes(text) && !item.querySelector("input").dataset.field.includes(text);
    }, { signal });
    findPart(this.root, "columns-reset").addEventListener("click", () => {
      this.api.applyColumnState({ state: this.defaultState, applyOrder: true });
      for (const box of list.querySelectorAll("input")) box.checked = Boolean(this.column(box.dataset.field).shown);
    }, { signal });
  }
}
