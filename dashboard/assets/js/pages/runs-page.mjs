// The list of runs: rows that are fetched on scrolling and kept up to date, a filter, groups, and bulk actions.

import { getJson, sendJson } from "../core/api.mjs";
import { LIMITS } from "../core/constants.mjs";
import { createElement, findPart, pressButton, setText, showToast, waitFor } from "../core/dom.mjs";
import { formatCount, formatInteger } from "../core/formatting.mjs";
import { navigate, readUrlState, writeUrlState } from "../core/url-state.mjs";
import { sortGroups } from "../table/cells.mjs";
import { ColumnChooser, columnDefinitions } from "../table/columns.mjs";
import { CompletionInput } from "../table/completions.mjs";
import { BulkActions } from "./run-actions.mjs";

const REFRESH_INTERVAL_MS = 2000;

/** The page of the list of runs. */
export class RunsPage {
  /** @param {HTMLElement} root the element that the server's layout marks as the list's page */
  constructor(root) {
    this.root = root;
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.readUrl();
    this.groups = null; // as last fetched
    this.openGroups = new Map(); // the member runs of open groups, by group
    this.total = 0;
    this.createFilter();
    this.createGroupSelect();
    this.columns = new ColumnChooser(root, JSON.parse(root.dataset.columns), { signal, onMetricsChange: () => this.refresh() });
    this.bulkActions = new BulkActions(this);
    root.addEventListener("click", (event) => this.onClick(event), { signal });
    window.addEventListener("popstate", () => this.restore(), { signal });
    this.begin();
  }

  part(name) {
    return findPart(this.root, name);
  }

  async begin() {
    this.api = await this.gridMounted();
    if (!this.api) return;
    const { api } = this;
    this.updateGroupButtons();
    const fetchSparklines = (ids) => getJson("/sparklines", { runs: ids.join(",") }, { signal: this.abort.signal }).then(({ items }) => items);
    const table = { groupedBy: () => this.groupBy, isOpen: (id) => this.openGroups.has(id), fetchSparklines };
    api.setGridOption("columnDefs", columnDefinitions(this.columns.columns, table));
    this.columns.begin(api);
    this.columns.setGrouped(this.groupBy !== "");
    api.setGridOption("datasource", { getRows: (request) => this.loadRows(request) });
    api.addEventListener("selectionChanged", () => this.updateSelection());
    api.addEventListener("cellKeyDown", ({ event, data }) => {
      if (event.key === "Enter" && data) this.open(data);
    });
    this.updateSelection();
    this.timer = setInterval(() => this.refresh(), REFRESH_INTERVAL_MS);
  }

  /** Wait for the grid, until it has its own data source, which asks Python; ours replaces it. */
  async gridMounted() {
    return waitFor(() => {
      try {
        const api = window.dash_ag_grid?.getApi("runs-grid");
        return api?.getGridOption("datasource") ? api : null;
      } catch {
        return null; // not mounted yet
      }
    }, this.abort.signal);
  }

  close() {
    this.abort.abort();
    clearInterval(this.timer);
  }

  // ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Give the grid the rows that it asks for. */
  async loadRows({ startRow, endRow, sortModel, successCallback, failCallback }) {
    const [order] = sortModel;
    const column = order && this.columns.column(order.colId);
    const isDescending = order?.sort === "desc";
    try {
      const page = this.groupBy
        ? await this.fetchGroupRows(column, isDescending)
        : await this.fetchRuns(startRow, endRow - startRow, column ? `${isDescending ? "-" : ""}${column.sort}` : null);
      if (this.abort.signal.aborted) return;
      setText(this.part("filter-problem"), "");
      this.total = page.total;
      successCallback(this.groupBy ? page.rows.slice(startRow, endRow) : page.rows, page.total);
      this.updateCount();
    } catch (error) {
      if (error.name === "AbortError") return;
      failCallback();
      setText(this.part("filter-problem"), error.message);
      if (error.status === 422) successCallback([], 0);
    }
  }

  async fetchRuns(offset, limit, sort) {
    const page = await getJson("/runs", { q: this.query, sort, offset: offset || null, limit }, { signal: this.abort.signal });
    return { rows: page.items, total: page.total };
  }

  async fetchGroupRows(column, isDescending) {
    if (!this.groups) {
      const query = { by: this.groupBy, q: this.query, keys: this.columns.shownMetrics().join(","), limit: LIMITS.page_groups };
      this.groups = await getJson("/folds", query, { signal: this.abort.signal });
      for (const group of this.groups.items) group.id = `group ${group.value ?? group.runs[0]}`;
    }
    const sorted = column ? sortGroups(this.groups.items, column.field, isDescending, this.groupBy) : this.groups.items;
    const rows = sorted.flatMap((group) => [group, ...(this.openGroups.get(group.id) ?? []).map((run) => ({ ...run, isMember: true }))]);
    return { rows, total: rows.length };
  }

  fetchMembers(ids) {
    const query = { runs: ids.slice(0, LIMITS.page_runs).join(","), limit: LIMITS.page_runs };
    return getJson("/runs", query, { signal: this.abort.signal }).then((page) => page.items);
  }

  /** Fetch the rows that are shown again. */
  refresh() {
    if (document.hidden) return;
    this.groups = null;
    for (const [id, runs] of this.openGroups) {
      this.fetchMembers(runs.map((run) => run.id)).then((members) => this.openGroups.has(id) && this.openGroups.set(id, members));
    }
    this.api.refreshInfiniteCache();
  }

  /** Start again from the first row, after a change of filter or grouping. */
  reload({ addEntry }) {
    this.groups = null;
    this.openGroups.clear();
    this.api?.deselectAll();
    this.api?.purgeInfiniteCache();
    this.api?.ensureIndexVisible?.(0);
    writeUrlState({ q: this.query, by: this.groupBy }, { addEntry });
  }

  readUrl() {
    const { q, by } = readUrlState();
    [this.query, this.groupBy] = [q ?? "", by ?? ""];
  }

  /** Show what the address says after the history moved back or forward. */
  restore() {
    if (!window.location.pathname.startsWith("/runs")) return;
    this.readUrl();
    this.filterInput.value = this.query;
    this.updateGroupButtons();
    this.columns.setGrouped(this.groupBy !== "");
    this.reload({ addEntry: false });
  }

  // ── filter and groups ─────────────────────────────────────────────────────────────────────────────────────────────

  createFilter() {
    const place = this.part("filter");
    this.filterInput = createElement("input", {
      type: "text", value: this.query, autocomplete: "off", spellcheck: false, placeholder: place.dataset.placeholder,
      role: "combobox", "aria-label": "Filter runs", "aria-controls": "runs-completions", "aria-expanded": "false", "aria-autocomplete": "list",
    });
    place.replaceChildren(this.filterInput);
    const vocabulary = JSON.parse(this.root.dataset.vocabulary);
    new CompletionInput(this.filterInput, this.root.querySelector("#runs-completions"), vocabulary, (text) => this.setFilter(text));
  }

  setFilter(text) {
    if (text.trim() === this.query) return;
    this.query = text.trim();
    this.reload({ addEntry: true });
  }

  createGroupSelect() {
    const place = this.part("more-groupings");
    const options = JSON.parse(place.dataset.fields).map((field) => new Option(`Group by ${field}`, field));
    this.groupSelect = createElement("select", { "aria-label": "Group by a field" }, [new Option("Group by …", ""), ...options]);
    this.groupSelect.addEventListener("change", () => this.setGroupBy(this.groupSelect.value));
    place.replaceChildren(this.groupSelect);
  }

  setGroupBy(field) {
    this.groupBy = field;
    this.updateGroupButtons();
    this.columns.setGrouped(field !== "");
    this.reload({ addEntry: true });
  }

  updateGroupButtons() {
    pressButton(this.root, "by", this.groupBy);
    const hasButton = this.root.querySelector(`button[data-by="${CSS.escape(this.groupBy)}"]`) !== null;
    this.groupSelect.value = hasButton ? "" : this.groupBy;
  }

  /** Open a run's page, or show and hide a group's runs below it. */
  async open(row) {
    if (!row.runs) {
      navigate(`/runs/${row.id}`);
      return;
    }
    if (this.openGroups.has(row.id)) this.openGroups.delete(row.id);
    else this.openGroups.set(row.id, await this.fetchMembers(row.runs));
    this.api.refreshInfiniteCache();
    this.api.redrawRows();
  }

  // ── texts and selection ───────────────────────────────────────────────────────────────────────────────────────────

  /** Update the number of runs, and what is shown where there are none. */
  async updateCount() {
    const system = await getJson("/system", {}, { signal: this.abort.signal }).catch(() => null);
    if (!system || this.abort.signal.aborted) return;
    const parts = [this.groupBy ? formatCount(this.groups?.total ?? 0, "group") : formatCount(this.total, "run")];
    if (this.query) parts[0] += " matching";
    for (const status of ["running", "queued"]) if (system[status]) parts.push(`${system[status]} ${status}`);
    setText(this.part("count"), parts.join(", "));
    const isEmpty = this.total === 0;
    this.part("empty").hidden = !isEmpty || this.query !== "";
    if (isEmpty && this.query && !this.part("filter-problem").textContent) setText(this.part("filter-problem"), "No runs match this filter");
  }

  selectedRows() {
    return this.api.getSelectedNodes().map((node) => node.data).filter(Boolean);
  }

  /** What bulk actions apply to: the ids of selected runs, or the filter where all matching runs are selected. */
  selection() {
    if (this.areAllSelected) return { q: this.query || "epoch>=0" };
    return { runs: [...new Set(this.selectedRows().flatMap((row) => row.runs ?? [row.id]))] };
  }

  updateSelection() {
    const rows = this.selectedRows();
    if (rows.length === 0) this.areAllSelected = false;
    const runCount = this.areAllSelected ? this.total : this.selection().runs.length;
    setText(this.part("selected"), rows.length ? `${formatCount(runCount, "run")} selected` : "Select runs for bulk actions");
    const selectAll = this.part("select-all");
    selectAll.hidden = rows.length === 0 || this.areAllSelected || this.groupBy !== "" || this.total <= rows.length;
    selectAll.textContent = `Select all ${formatInteger(this.total)}`;
    for (const button of this.root.querySelectorAll("button[data-bulk]")) button.disabled = rows.length === 0;
    const compare = this.part("compare");
    compare.disabled = rows.length === 0 || this.areAllSelected || rows.length > LIMITS.compared_runs;
    compare.textContent = rows.length ? `Compare ${rows.length}` : "Compare";
    const remove = this.root.querySelector('[data-bulk="delete"]');
    if (remove) remove.textContent = rows.length ? `Delete ${runCount}` : "Delete";
  }

  // ── actions ───────────────────────────────────────────────────────────────────────────────────────────────────────

  compare() {
    navigate(`/compare?runs=${this.selectedRows().flatMap((row) => row.runs ?? [row.id]).join(",")}`);
  }

  async startDemonstration() {
    try {
      const { items } = await getJson("/presets");
      const { config } = items.find(({ name }) => name === "first-light");
      navigate(`/runs/${(await sendJson("POST", "/runs", { config, name: "first-light" })).id}`);
    } catch (error) {
      showToast(error.message);
    }
  }

  onClick(event) {
    if (!event.target.closest(".columns")) this.root.querySelector(".columns").open = false;
    const link = event.target.closest("a.row-link");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      navigate(link.getAttribute("href"));
      return;
    }
    const button = event.target.closest("button");
    if (!button) return;
    const { by, bulk, part, groupId } = button.dataset;
    if (by !== undefined) this.setGroupBy(by);
    else if (bulk) this.bulkActions.run(bulk);
    else if (groupId) this.open(this.groups?.items.find(({ id }) => id === groupId) ?? { id: groupId, runs: [] });
    else if (part === "compare") this.compare();
    else if (part === "demonstrate") this.startDemonstration();
    else if (part === "select-all") {
      this.areAllSelected = true;
      this.updateSelection();
    }
  }
}
