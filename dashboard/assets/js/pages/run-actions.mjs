// Actions on runs: on several of the list at once, and moves in the queue.

import { sendJson } from "../core/api.mjs";
import { createElement, setText, showToast } from "../core/dom.mjs";
import { formatCount } from "../core/formatting.mjs";

/** The bulk actions of the list of runs. */
export class BulkActions {
  /** @param {import("./runs-page.mjs").RunsPage} page */
  constructor(page) {
    this.page = page;
    /** The actions as the server describes them: the message when they are done, and what is asked before. */
    this.actions = JSON.parse(page.root.dataset.actions);
  }

  /** Run an action on the selected runs: "pause", "resume", "cancel", "retry", "tag", "untag", "group" or "delete". */
  async run(name) {
    const { page } = this;
    const { question, done: doneText } = this.actions[name];
    const selection = page.selection();
    const asks = question && (question.field || this.mayBeActive());
    const value = asks ? await this.ask(question) : null;
    if (asks && !value) return;
    if (asks && name === "delete") await this.request("cancel", selection, null);
    const result = await this.request(name, selection, question?.field ? value : null);
    if (!result) return;
    const { done, failure } = result;
    const canUndo = name === "delete" && done.length > 0;
    const text = done.length ? `${doneText} ${formatCount(done.length, "run")}.` : "No runs were changed.";
    showToast(`${text}${failure}`, canUndo ? { label: "Undo", onClick: () => this.undoDelete(done.map(({ id }) => id)) } : null);
    if (name === "delete") page.api.deselectAll();
  }

  mayBeActive() {
    const { page } = this;
    return page.areAllSelected || page.selectedRows().some((row) => (row.runs ? (row.states.running ?? 0) > 0 : row.status === "running"));
  }

  async undoDelete(runs) {
    const result = await this.request("restore", { runs }, null);
    if (result) showToast(`Restored ${formatCount(result.done.length, "run")}.${result.failure}`);
  }

  /**
   * Ask the service for an action.
   * @returns {Promise<{done: {id: string}[], failure: string} | null>} the changed runs and why others were not
   */
  async request(action, selection, value) {
    try {
      const { items } = await sendJson("POST", "/runs/bulk", { action, ...selection, value });
      const failed = items.filter((item) => !item.done);
      this.page.refresh();
      const failure = failed.length ? ` ${formatCount(failed.length, "run")} failed: ${failed[0].detail}` : "";
      return { done: items.filter((item) => item.done), failure };
    } catch (error) {
      showToast(error.message);
      return null;
    }
  }

  /** Show the confirmation dialog; returns the value typed, true where none is asked for, or null if cancelled. */
  ask({ title, text, field, max_length: maxLength, confirm }) {
    const { page } = this;
    const dialog = page.part("confirm");
    setText(page.part("confirm-title"), title);
    setText(page.part("confirm-text"), text);
    setText(page.part("confirm-yes"), confirm);
    const input = field ? createElement("input", { type: "text", maxLength, required: true, className: "field-input", placeholder: field, "aria-label": field }) : null;
    page.part("confirm-field").replaceChildren(...(input ? [input] : []));
    dialog.querySelector('[value="no"]').formNoValidate = true;
    dialog.returnValue = "no";
    dialog.showModal();
    input?.focus();
    const answer = () => (dialog.returnValue === "yes" ? (input ? input.value.trim() : true) : null);
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(answer()), { once: true });
    });
  }
}

const runAt = (event) => event.target.closest?.("[data-queued]")?.dataset.queued ?? null;

/** Handle dragged rows of the queue. */
export function listenForQueueDrags(target = document) {
  let dragged = null;
  target.addEventListener("dragstart", (event) => {
    dragged = runAt(event);
    if (dragged) event.dataTransfer.effectAllowed = "move";
  });
  target.addEventListener("dragover", (event) => {
    if (dragged && event.target.closest?.(".queue")) event.preventDefault();
  });
  target.addEventListener("drop", async (event) => {
    const [run, before] = [dragged, runAt(event)];
    dragged = null;
    if (!run || !event.target.closest?.(".queue") || before === run) return;
    event.preventDefault();
    try {
      await sendJson("POST", `/runs/${run}/move`, { before });
      showToast("Run moved");
    } catch (error) {
      showToast(error.message);
    }
  });
}
