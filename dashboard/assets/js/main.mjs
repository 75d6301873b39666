// Watches for live pages to come and go: Dash mounts pages when it likes.

import { ComparePage } from "./pages/compare-page.mjs";
import { listen as listenToDrops } from "./core/figure-drop.mjs";
import { Keys } from "./core/keyboard.mjs";
import { listen as listenToQueue } from "./pages/queue-order.mjs";
import { ReadinessBanner } from "./core/readiness.mjs";
import { RunPage } from "./pages/run-page.mjs";
import { RunsPage } from "./pages/runs-page.mjs";
import { GuidedTour } from "./pages/guided-tour.mjs";
import { listen as listenToDownloads } from "./core/downloads.mjs";

const KINDS = { "run-page": RunPage, "compare-page": ComparePage, "runs-page": RunsPage };
const tour = new GuidedTour();
let page = null;

function look() {
  const id = Object.keys(KINDS).find((each) => document.getElementById(each));
  const root = id ? document.getElementById(id) : null;
  if (page && page.root !== root) {
    page.close();
    tour.leave();
    page = null;
  }
  if (!root || page) return;
  page = new KINDS[id](root);
  if (page instanceof RunPage) tour.offer(root);
}

new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
look();
new Keys();
new ReadinessBanner().begin();
listenToQueue();
listenToDrops();
listenToDownloads();

// Asked by the export dialog's clientside callback, and by whoever wants the numbers behind the picture.
window.collapseLab = {
  moment: () => page?.moment?.() ?? null,
  /** What the scene draws now: [x, y, z] of vertices, means, weights, features, in the frame's units before the camera. */
  picture: () => page?.scene?.drawn ?? null,
  /** The marks that can be pointed at, with their places on the canvas. */
  marks: () => page?.scene?.pointed ?? [],
  pictures: () => page?.entries?.map(({ scene }) => scene.drawn ?? null) ?? null,
  camera: () => page?.scene?.cameraText() ?? null,
  turn: (text) => page?.scene?.setCamera(page.scene.parse(text)),
  painted: () => page?.scene?.painted ?? 0,
};
