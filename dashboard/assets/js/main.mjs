// Starts and closes the scripts of pages as Dash mounts and removes their elements.

import { listenForDownloads, listenForFigureDrops } from "./core/files.mjs";
import { ComparePage } from "./pages/compare-page.mjs";
import { listenForQueueDrags } from "./pages/run-actions.mjs";
import { RunPage } from "./pages/run-page.mjs";
import { RunsPage } from "./pages/runs-page.mjs";
import { GuidedTour, KeyboardShortcuts, showServerProblems } from "./pages/shell.mjs";

const PAGE_CLASSES = { "run-page": RunPage, "compare-page": ComparePage, "runs-page": RunsPage };
const tour = new GuidedTour();
let page = null;

function updatePage() {
  const id = Object.keys(PAGE_CLASSES).find((each) => document.getElementById(each));
  const root = id ? document.getElementById(id) : null;
  if (page && page.root !== root) {
    page.close();
    tour.hide();
    page = null;
  }
  if (!root || page) return;
  page = new PAGE_CLASSES[id](root);
  if (page instanceof RunPage) tour.offer(root);
}

new MutationObserver(updatePage).observe(document.body, { childList: true, subtree: true });
updatePage();
new KeyboardShortcuts();
showServerProblems();
listenForQueueDrags();
listenForFigureDrops();
listenForDownloads();

/** What the export dialog's callback and tests read, and the numbers behind the picture. */
window.collapseLab = {
  viewState: () => page?.viewState?.() ?? null,
  /** What the scene shows: [x, y, z] of vertices, means, weights and features, before the camera. */
  projection: () => page?.scene?.projection ?? null,
  /** The marks that can be hovered, with their places on the canvas. */
  marks: () => page?.scene?.marks ?? [],
  /** The projections of a comparison's scenes. */
  projections: () => page?.configurations?.map(({ scene }) => scene.projection ?? null) ?? null,
  camera: () => page?.scene?.cameraText ?? null,
  paintCount: () => page?.scene?.paintCount ?? 0,
};
