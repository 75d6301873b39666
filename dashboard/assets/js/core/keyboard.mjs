// Keys that work on every page, and the sheet that lists all of them.

const PLACES = { r: "nav-runs", n: "nav-new", c: "nav-compare", s: "nav-system" };
const PREFIX_MS = 1200;

/** Whether a key belongs to what is typed, to a dialog, or to the browser. */
export function typing(event) {
  const { target } = event;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return true;
  return Boolean(target.closest?.("input:not([type=range]), textarea, select, [contenteditable=true], [role=dialog], dialog, .ag-root"));
}

export class Keys {
  constructor() {
    this.prefix = -Infinity;
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("click", (event) => {
      if (event.target.closest("#help-open")) this.help();
    });
  }

  help() {
    const sheet = document.getElementById("help");
    if (!sheet) return;
    if (sheet.open) sheet.close();
    else sheet.showModal();
  }

  key(event) {
    if (event.key === "?" && document.getElementById("help")?.open) this.help();
    if (typing(event)) return;
    if (event.key === "?") {
      event.preventDefault();
      this.help();
    } else if (event.key === "/") {
      const filter = document.querySelector("[data-filter] input");
      if (!filter) return;
      event.preventDefault();
      filter.focus();
    } else if (event.key === "g") this.prefix = performance.now();
    else if (performance.now() - this.prefix < PREFIX_MS && PLACES[event.key]) {
      event.preventDefault();
      event.stopImmediatePropagation();
      this.prefix = -Infinity;
      document.getElementById(PLACES[event.key])?.click();
    }
  }
}
