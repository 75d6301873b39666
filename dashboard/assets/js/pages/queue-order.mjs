// The queue's order by dragging: a row goes before the one that it is dropped on.

import { send } from "../core/api.mjs";
import { toast } from "../core/toast.mjs";

const row = (event) => event.target.closest?.("[data-queued]");

/** Listen for as long as the page is open: the rows come and go with the queue. */
export function listen(target = document) {
  let dragged = null;
  target.addEventListener("dragstart", (event) => {
    dragged = row(event)?.dataset.queued ?? null;
    if (dragged) event.dataTransfer.effectAllowed = "move";
  });
  target.addEventListener("dragover", (event) => {
    if (dragged && event.target.closest?.(".queue")) event.preventDefault();
  });
  target.addEventListener("drop", async (event) => {
    const before = row(event)?.dataset.queued ?? null;
    const run = dragged;
    dragged = null;
    if (!run || !event.target.closest?.(".queue") || before === run) return;
    event.preventDefault();
    try {
      await send("POST", `/runs/${run}/move`, { before });
      toast("Moved.");
    } catch (error) {
      toast(error.message);
    }
  });
}
