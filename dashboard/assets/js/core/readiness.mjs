// A line at the top of every page while the server cannot take runs: what happened, and what to do.

import { ask } from "./api.mjs";

const INTERVAL_MS = 3000;

/** What the line says: a server's problems in sentences, or nothing. */
export function readinessText({ ready, problems }) {
  return ready ? "" : problems.map((each) => each[0].toUpperCase() + each.slice(1).replace(/\.?$/, ".")).join(" ");
}

export class ReadinessBanner {
  begin() {
    this.line = document.createElement("div");
    this.line.className = "server-problem";
    this.line.setAttribute("role", "alert");
    this.line.dataset.part = "server-problem";
    this.line.hidden = true;
    document.body.prepend(this.line);
    this.timer = setInterval(() => this.check(), INTERVAL_MS);
    this.check();
  }

  async check() {
    if (document.hidden) return;
    try {
      this.show(readinessText(await ask("/readiness")));
    } catch (error) {
      // Without an answer the live pages say that they reconnect; what the server says is shown.
      if (error.status === 503) this.show(error.message);
    }
  }

  show(text) {
    if (this.line.textContent !== text) this.line.textContent = text;
    this.line.hidden = !text;
  }

  close() {
    clearInterval(this.timer);
    this.line.remove();
  }
}
