// Reordering of the queue by dragging: a run is moved before the one that it is dropped on.

import { sendJson } from "../core/api.mjs";
import { showToast } from "../core/toast.mjs";

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
