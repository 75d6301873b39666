// What every page has: keyboard shortcuts, the banner of the server's problems, the guided tour.

import { getJson } from "../core/api.mjs";
import { createElement, isTyping, setText } from "../core/dom.mjs";
import { capitalize } from "../core/formatting.mjs";

const NAVIGATION_LINKS = { r: "nav-runs", n: "nav-new", c: "nav-compare", s: "nav-system" };
const PREFIX_TIMEOUT_MS = 1200;
const READINESS_INTERVAL_MS = 3000;
const TOUR_STORAGE_KEY = "collapse-lab toured";

/** Handles "?", "/" and "g" followed by a page's letter. */
export class KeyboardShortcuts {
  constructor() {
    this.prefixedAtMs = -Infinity;
    document.addEventListener("keydown", (event) => this.onKey(event));
    document.addEventListener("click", (event) => {
      if (event.target.closest("#help-open")) this.toggleDialog();
    });
  }

  toggleDialog() {
    const dialog = document.getElementById("help");
    if (!dialog) return;
    if (dialog.open) dialog.close();
    else dialog.showModal();
  }

  onKey(event) {
    if (event.key === "?" && document.getElementById("help")?.open) this.toggleDialog();
    if (isTyping(event)) return;
    if (event.key === "?") {
      event.preventDefault();
      this.toggleDialog();
    } else if (event.key === "/") {
      const filter = document.querySelector("[data-filter] input");
      if (!filter) return;
      event.preventDefault();
      filter.focus();
    } else if (event.key === "g") this.prefixedAtMs = performance.now();
    else if (performance.now() - this.prefixedAtMs < PREFIX_TIMEOUT_MS && NAVIGATION_LINKS[event.key]) {
      event.preventDefault();
      event.stopImmediatePropagation();
      this.prefixedAtMs = -Infinity;
      document.getElementById(NAVIGATION_LINKS[event.key])?.click();
    }
  }
}

/** Show a banner at the top of the page while the server cannot take runs: what happened and what to do. */
export function showServerProblems() {
  const banner = createElement("div", { className: "server-problem", role: "alert", hidden: true, "data-part": "server-problem" });
  const show = (text) => {
    setText(banner, text);
    banner.hidden = !text;
  };
  const check = async () => {
    if (document.hidden) return;
    try {
      const { ready, problems } = await getJson("/readiness");
      show(ready ? "" : problems.map((problem) => capitalize(problem).replace(/\.?$/, ".")).join(" "));
    } catch (error) {
      // Without any answer the live pages show that they reconnect; here only what the server says is shown.
      if (error.status === 503) show(error.message);
    }
  };
  document.body.prepend(banner);
  setInterval(check, READINESS_INTERVAL_MS);
  check();
}

/** The panel that explains the parts of a run's page. It opens on the demonstration's page until the tour was ended once. */
export class GuidedTour {
  constructor() {
    this.stepIndex = -1;
    const actions = { next: () => this.show(this.stepIndex + 1), back: () => this.show(this.stepIndex - 1), end: () => this.end(), begin: () => this.begin() };
    document.addEventListener("click", (event) => actions[event.target.closest("[data-tour]")?.dataset.tour]?.());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.stepIndex >= 0) this.end();
    });
  }

  get panel() {
    return document.getElementById("tour");
  }

  /** Start on the demonstration's page, unless the tour was ended before. */
  offer(root) {
    if (root.dataset.demonstration === "true" && !window.localStorage.getItem(TOUR_STORAGE_KEY)) this.show(0);
  }

  /** Start on request; nothing happens on other pages. */
  begin() {
    document.getElementById("help")?.close();
    if (document.getElementById("run-page")) this.show(0);
  }

  /** End the tour and do not start it by itself again. */
  end() {
    window.localStorage.setItem(TOUR_STORAGE_KEY, "yes");
    this.hide();
  }

  hide() {
    this.outline(null);
    this.stepIndex = -1;
    if (this.panel) this.panel.hidden = true;
  }

  show(index) {
    const steps = JSON.parse(this.panel.dataset.steps);
    if (index >= steps.length) {
      this.end();
      return;
    }
    this.stepIndex = Math.max(0, index);
    const { part, title, text } = steps[this.stepIndex];
    const find = (name) => this.panel.querySelector(`[data-tour="${name}"]`);
    find("title").textContent = title;
    find("text").textContent = text;
    find("position").textContent = `${this.stepIndex + 1} of ${steps.length}`;
    find("next").textContent = this.stepIndex + 1 === steps.length ? "Done" : "Next";
    find("back").disabled = this.stepIndex === 0;
    this.panel.hidden = false;
    const target = document.querySelector(`#run-page [data-part="${part}"]`);
    this.outline(target);
    if (this.stepIndex > 0) target?.scrollIntoView({ block: "nearest" });
  }

  outline(element) {
    this.outlined?.classList.remove("tour-target");
    this.outlined = element;
    element?.classList.add("tour-target");
  }
}
