// Watches for the live page to come and go: Dash mounts pages when it likes.

import { RunPage } from "./modules/run-page.mjs";

let page = null;

function look() {
  const root = document.getElementById("run-page");
  if (page && page.root !== root) {
    page.close();
    page = null;
  }
  if (root && !page) page = new RunPage(root);
}

new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
look();

// Asked by the export dialog's clientside callback.
window.collapseLab = { moment: () => page?.moment() ?? null };
