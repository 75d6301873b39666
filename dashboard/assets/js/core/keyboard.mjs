// Keyboard shortcuts that work on every page, and the dialog that lists all of them.

const NAVIGATION_LINKS = { r: "nav-runs", n: "nav-new", c: "nav-compare", s: "nav-system" };
const PREFIX_TIMEOUT_MS = 1200;
const TEXT_FIELDS = "input:not([type=range]), textarea, select, [contenteditable=true], [role=dialog], dialog, .ag-root";

/** Whether a key press belongs to a text field, a dialog, the table or the browser, and is no shortcut. */
export function isTyping(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return true;
  return Boolean(event.target.closest?.(TEXT_FIELDS));
}

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
