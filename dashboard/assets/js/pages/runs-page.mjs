// The list of runs: rows fetched while one scrolls, kept up to date, folded, chosen from, and acted on.

import { ask, send } from "../core/api.mjs";
import { Columns, definitions } from "../table/columns.mjs";
import { Completed } from "../table/completions.mjs";
import { go } from "../core/url-state.mjs";
import { sorted } from "../table/run-rows.mjs";
import { toast } from "../core/toast.mjs";

const AGAIN_MS = 2000;
const MOST_COMPARED = 8;
const ASKED = {
  tag: { title: "Tag the runs", words: "A word that you will filter by.", field: "tag", yes: "Tag" },
  untag: { title: "Remove a tag", words: "From those of the runs that have it.", field: "tag", yes: "Remove" },
  group: { title: "Put the runs into a group", words: "Runs of one group are compared and folded together.", field: "group", yes: "Group" },
};
const SAID = {
  pause: "Pausing", resume: "Queued again", cancel: "Cancelling", retry: "Queued again", delete: "Deleted", restore: "Brought back", tag: "Tagged",
  untag: "Tag removed", group: "Grouped",
};

const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

export class RunsPage {
  constructor(root) {
    this.root = root;
    this.abort = new AbortController();
    const { signal } = this.abort;
    const address = new URLSearchParams(window.location.search);
    this.q = address.get("q") ?? "";
    this.by = address.get("by") ?? "";
    this.folds = null; // what is held of the folds, and which of them are open
    this.open = new Map();
    this.total = 0;
    this.input = Object.assign(document.createElement("input"), { type: "text", value: this.q, autocomplete: "off", spellcheck: false });
    for (const [name, value] of Object.entries({
      "aria-label": "Filter runs", role: "combobox", "aria-controls": "runs-completions", "aria-expanded": "false", "aria-autocomplete": "list",
      placeholder: this.part("filter").dataset.placeholder,
    })) this.input.setAttribute(name, value);
    this.part("filter").replaceChildren(this.input);
    new Completed(this.input, root.querySelector("#runs-completions"), JSON.parse(root.dataset.vocabulary), (text) => this.filter(text));
    this.buildFolds();
    this.columns = new Columns(root, JSON.parse(root.dataset.columns), signal);
    root.addEventListener("click", (event) => this.click(event), { signal });
    window.addEventListener("popstate", () => this.restore(), { signal });
    this.begin();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  async begin() {
    const { signal } = this.abort;
    let api = null;
    while (!signal.aborted && !api) {
      try {
        const found = window.dash_ag_grid?.getApi("runs-grid");
        api = found?.getGridOption("datasource") ? found : null; // its own one, which asks Python, gives way to ours
      } catch {
        api = null; // the grid is not there yet
      }
      if (!api) await new Promise((resolve) => setTimeout(resolve, 30));
    }
    if (signal.aborted) return;
    this.api = api;
    this.press();
    const shared = { by: () => this.by, isOpen: (key) => this.open.has(key), spark: (ids) => this.sparks(ids) };
    api.setGridOption("columnDefs", definitions(this.columns.specs, shared));
    this.columns.begin(api);
    this.columns.changed = () => this.again(); // folds know of the metrics that are shown
    this.columns.fold(this.by !== "");
    api.setGridOption("datasource", { getRows: (wanted) => this.rows(wanted) });
    api.addEventListener("selectionChanged", () => this.selected());
    api.addEventListener("cellKeyDown", ({ event, data }) => {
      if (event.key === "Enter" && data) this.enter(data);
    });
    this.selected();
    this.clock = setInterval(() => this.again(), AGAIN_MS);
  }

  close() {
    this.abort.abort();
    clearInterval(this.clock);
  }

  // ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Give the grid the rows that it asks for. */
  async rows({ startRow, endRow, sortModel, successCallback, failCallback }) {
    const order = sortModel[0];
    const spec = order && this.columns.spec(order.colId);
    try {
      const held = this.by
        ? await this.foldedRows(spec, order?.sort === "desc")
        : await this.plainRows(startRow, endRow - startRow, spec ? `${order.sort === "desc" ? "-" : ""}${spec.sort}` : null);
      if (this.abort.signal.aborted) return;
      this.say("filter-problem", "");
      this.total = held.total;
      successCallback(this.by ? held.rows.slice(startRow, endRow) : held.rows, held.total);
      this.counted();
    } catch (error) {
      if (error.name === "AbortError") return;
      failCallback();
      this.say("filter-problem", error.message);
      if (error.status === 422) successCallback([], 0);
    }
  }

  async plainRows(offset, limit, sort) {
    const page = await ask("/runs", { q: this.q, sort, offset: offset || null, limit }, { signal: this.abort.signal });
    return { rows: page.items, total: page.total };
  }

  async foldedRows(spec, descending) {
    if (!this.folds) {
      const keys = this.columns.shown().filter((field) => /^(train|test)\./.test(field)).join(",");
      this.folds = await ask("/folds", { by: this.by, q: this.q, keys, limit: 2000 }, { signal: this.abort.signal });
      for (const fold of this.folds.items) fold.id = `fold ${fold.value ?? fold.runs[0]}`;
    }
    const ordered = spec ? sorted(this.folds.items, spec.field, descending, this.by) : this.folds.items;
    const rows = ordered.flatMap((fold) => (this.open.has(fold.id) ? [fold, ...this.open.get(fold.id).map((run) => ({ ...run, inside: true }))] : [fold]));
    return { rows, total: rows.length };
  }

  again() {
    if (document.hidden) return;
    this.folds = null;
    for (const [key, runs] of this.open) this.members(runs.map(({ id }) => id)).then((found) => this.open.has(key) && this.open.set(key, found));
    this.api.refreshInfiniteCache();
  }

  /** Begin anew: another filter, order or folding. */
  reload(entry) {
    this.folds = null;
    this.open.clear();
    this.api?.deselectAll();
    this.api?.purgeInfiniteCache();
    this.api?.ensureIndexVisible?.(0);
    const query = new URLSearchParams(window.location.search);
    for (const [key, value] of [["q", this.q], ["by", this.by]]) {
      if (value) query.set(key, value);
      else query.delete(key);
    }
    const text = query.toString();
    const url = window.location.pathname + (text ? `?${text}` : "");
    if (url !== window.location.pathname + window.location.search) {
      window.history[entry ? "pushState" : "replaceState"](null, "", url);
      window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    }
  }

  restore() {
    if (!window.location.pathname.startsWith("/runs")) return;
    const address = new URLSearchParams(window.location.search);
    [this.q, this.by] = [address.get("q") ?? "", address.get("by") ?? ""];
    this.input.value = this.q;
    this.press();
    this.columns.fold(this.by !== "");
    this.reload(false);
  }

  filter(text) {
    if (text.trim() === this.q) return;
    this.q = text.trim();
    this.reload(true);
  }

  members(ids) {
    return ask("/runs", { runs: ids.slice(0, 500).join(","), limit: 500 }, { signal: this.abort.signal }).then((page) => page.items);
  }

  async sparks(ids) {
    const found = await ask("/sparklines", { runs: ids.join(",") }, { signal: this.abort.signal });
    return found.items;
  }

  // ── what a row does ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Open a run's page, or a fold's runs below it. */
  async enter(row) {
    if (!row.runs) {
      go(`/runs/${row.id}`);
      return;
    }
    if (this.open.has(row.id)) this.open.delete(row.id);
    else this.open.set(row.id, await this.members(row.runs));
    this.api.refreshInfiniteCache();
    this.api.redrawRows();
  }

  buildFolds() {
    const place = this.part("more-folds");
    const select = document.createElement("select");
    select.setAttribute("aria-label", "Fold by a field");
    select.append(new Option("fold by …", ""), ...JSON.parse(place.dataset.fields).map((field) => new Option(field, field)));
    select.addEventListener("change", () => this.fold(select.value));
    place.replaceChildren(select);
    this.more = select;
  }

  fold(by) {
    this.by = by;
    this.press();
    this.columns.fold(by !== "");
    this.reload(true);
  }

  press() {
    for (const button of this.root.querySelectorAll("button[data-by]")) button.setAttribute("aria-pressed", String(button.dataset.by === this.by));
    this.more.value = ["", "seeds"].includes(this.by) ? "" : this.by;
  }

  // ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  say(name, text) {
    const place = this.part(name);
    if (place.textContent !== text) place.textContent = text;
  }

  async counted() {
    const system = await ask("/system", {}, { signal: this.abort.signal }).catch(() => null);
    if (!system || this.abort.signal.aborted) return;
    const words = [this.by ? count(this.folds?.total ?? 0, "row") : count(this.total, "run")];
    if (this.q) words[0] += " that match";
    for (const state of ["running", "queued"]) if (system[state]) words.push(`${system[state]} ${state}`);
    this.say("count", words.join(", "));
    const empty = this.total === 0;
    this.part("empty").hidden = !empty || this.q !== "";
    if (empty && this.q && !this.part("filter-problem").textContent) this.say("filter-problem", "No run matches this filter.");
  }

  // ── what is done with several ─────────────────────────────────────────────────────────────────────────────────────

  chosen() {
    return this.api.getSelectedNodes().map((node) => node.data).filter(Boolean);
  }

  /** The runs that are selected: ids, or the filter where all that match are meant. */
  meant() {
    if (this.all) return { q: this.q || "epoch>=0" };
    return { runs: [...new Set(this.chosen().flatMap((row) => row.runs ?? [row.id]))] };
  }

  selected() {
    const rows = this.chosen();
    if (rows.length === 0) this.all = false;
    const runs = this.all ? this.total : this.meant().runs.length;
    this.say("selected", rows.length ? `${count(runs, "run")} selected` : "Select rows to compare them or to do something with all of them.");
    const offer = this.part("select-all");
    offer.hidden = rows.length === 0 || this.all || this.by !== "" || this.total <= rows.length;
    offer.textContent = `all ${this.total.toLocaleString("en")} that match`;
    for (const button of this.root.querySelectorAll("button[data-bulk]")) button.disabled = rows.length === 0;
    const compare = this.part("compare");
    compare.disabled = rows.length === 0 || this.all || rows.length > MOST_COMPARED * 25;
    compare.textContent = rows.length ? `Compare ${rows.length}` : "Compare";
    const remove = this.root.querySelector('[data-bulk="delete"]');
    if (remove) remove.textContent = rows.length ? `Delete ${runs}` : "Delete";
  }

  async bulk(action) {
    const meant = this.meant();
    let value = null;
    if (ASKED[action]) {
      value = await this.ask(ASKED[action]);
      if (!value) return;
    }
    const active = this.all || this.chosen().some((row) => (row.runs ? (row.states.running ?? 0) > 0 : row.status === "running"));
    if (action === "delete" && active) {
      const words = "Some of these runs may still be running; they are cancelled first. What was measured so far can be brought back with Undo for a week.";
      if (!(await this.ask({ title: "Delete running work?", words, yes: "Delete" }))) return;
      await this.acted("cancel", meant, null);
    }
    const done = await this.acted(action, meant, value);
    if (!done) return;
    const undo = { words: "Undo", work: () => this.undo(done.map(({ id }) => id)) };
    const refused = this.refused ? ` ${this.refused}` : "";
    toast(`${SAID[action]}${done.length ? ` ${count(done.length, "run")}` : ": nothing was changed"}.${refused}`, action === "delete" && done.length ? undo : null);
    if (action === "delete") this.api.deselectAll();
  }

  async undo(runs) {
    const back = await this.acted("restore", { runs }, null);
    if (back) toast(`Brought back ${count(back.length, "run")}.`);
  }

  /** Ask the service for it; what it did not do is said with its reason. Returns what was done. */
  async acted(action, meant, value) {
    try {
      const { items } = await send("POST", "/runs/bulk", { action, ...meant, value });
      const failed = items.filter((item) => !item.done);
      this.refused = failed.length ? `${count(failed.length, "run")} not: ${failed[0].detail}` : "";
      this.again();
      return items.filter((item) => item.done);
    } catch (error) {
      toast(error.message);
      return null;
    }
  }

  /** A question in a dialog; returns what was typed, true, or null. */
  ask({ title, words, field, yes }) {
    const dialog = this.part("ask");
    this.say("ask-title", title);
    this.say("ask-words", words);
    this.say("ask-yes", yes);
    const input = field ? Object.assign(document.createElement("input"), { type: "text", maxLength: field === "tag" ? 50 : 200, required: true, className: "field-input" }) : null;
    input?.setAttribute("aria-label", field);
    this.part("ask-field").replaceChildren(...(input ? [input] : []));
    dialog.querySelector('[value="no"]').formNoValidate = true;
    dialog.returnValue = "no";
    dialog.showModal();
    input?.focus();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? (input ? input.value.trim() : true) : null), { once: true });
    });
  }

  compare() {
    const rows = this.chosen();
    go(`/compare?runs=${rows.flatMap((row) => row.runs ?? [row.id]).join(",")}`);
  }

  async demonstrate() {
    try {
      const { items } = await ask("/presets");
      const { config } = items.find(({ name }) => name === "first-light");
      go(`/runs/${(await send("POST", "/runs", { config, name: "first-light" })).id}`);
    } catch (error) {
      toast(error.message);
    }
  }

  click(event) {
    if (!event.target.closest(".columns")) this.root.querySelector(".columns").open = false;
    const link = event.target.closest("a.row-link");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      go(link.getAttribute("href"));
      return;
    }
    const button = event.target.closest("button");
    if (!button) return;
    const { by, bulk, part, fold } = button.dataset;
    if (by !== undefined) this.fold(by);
    else if (bulk) this.bulk(bulk);
    else if (fold) this.enter(this.folds?.items.find(({ id }) => id === fold) ?? { id: fold, runs: [] });
    else if (part === "compare") this.compare();
    else if (part === "demonstrate") this.demonstrate();
    else if (part === "select-all") {
      this.all = true;
      this.selected();
    }
  }
}
