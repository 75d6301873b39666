// A figure's file dropped anywhere on a page opens the view that it was made of: its run, epoch, view and camera.

import { go } from "./url-state.mjs";
import { toast } from "./toast.mjs";

const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/** Ask the service where a file comes from, and go there. */
async function follow(file) {
  toast(`Reading ${file.name} …`);
  try {
    const answer = await fetch("/api/v1/figures/origin", { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.detail);
    toast(`${file.name}: ${told.figure} of ${told.runs.map((run) => run.name).join(", ")}, made by ${told.made_by}`);
    go(told.address);
  } catch (error) {
    toast(`${file.name} cannot be opened: ${error.message}`);
  }
}

export function listen() {
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault(); // or the browser would leave the page for the file
  });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) follow(file);
  });
}
