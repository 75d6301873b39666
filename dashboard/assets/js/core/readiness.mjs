// A banner at the top of every page while the server cannot take runs: what happened and what to do.

import { getJson } from "./api.mjs";
import { createElement, setText } from "./dom.mjs";

const CHECK_INTERVAL_MS = 3000;

/** Return the banner's text: the server's problems as sentences, or an empty text. */
function readinessText({ ready, problems }) {
  return ready ? "" : problems.map((each) => each[0].toUpperCase() + each.slice(1).replace(/\.?$/, ".")).join(" ");
}

/** Asks the server every three seconds whether it is ready. */
export class ReadinessBanner {
  begin() {
    this.banner = createElement("div", { className: "server-problem", role: "alert", hidden: true, "data-part": "server-problem" });
    document.body.prepend(this.banner);
    this.timer = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    this.check();
  }

  async check() {
    if (document.hidden) return;
    try {
      this.show(readinessText(await getJson("/readiness")));
    } catch (error) {
      // Without any answer the live pages show that they reconnect; here only what the server says is shown.
      if (error.status === 503) this.show(error.message);
    }
  }

  show(text) {
    setText(this.banner, text);
    this.banner.hidden = !text;
  }

  close() {
    clearInterval(this.timer);
    this.banner.remove();
  }
}
