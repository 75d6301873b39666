// Opens the view of an exported figure that is dropped on a page: its run, epoch, view and camera.

import { showToast } from "./toast.mjs";
import { navigate } from "./url-state.mjs";

const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

async function openFigure(file) {
  showToast(`Reading ${file.name}…`);
  try {
    const headers = { "content-type": "application/octet-stream" };
    const response = await fetch("/api/v1/figures/origin", { method: "POST", body: file, headers });
    const origin = await response.json();
    if (!response.ok) throw new Error(origin.detail);
    showToast(`${file.name}: ${origin.figure} of ${origin.runs.map((run) => run.name).join(", ")}, made by ${origin.made_by}`);
    navigate(origin.address);
  } catch (error) {
    showToast(`Cannot open ${file.name}: ${error.message}`);
  }
}

/** Handle files that are dropped anywhere on the page. */
export function listenForFigureDrops() {
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault(); // otherwise the browser leaves the page and opens the file
  });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) openFigure(file);
  });
}
