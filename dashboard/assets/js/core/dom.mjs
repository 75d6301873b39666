// Elements of the page, messages at its bottom, keys, and waiting.

const SVG = "http://www.w3.org/2000/svg";
const TOAST_VISIBLE_MS = 7000;
const POLL_INTERVAL_MS = 30;
const TEXT_FIELDS = "input:not([type=range]), textarea, select, [contenteditable=true], [role=dialog], dialog, .ag-root";
let toastTimer = null;

/** Create an element with properties, attributes ("role" and names with a hyphen), and children (elements or text). */
export function createElement(tag, properties = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Create an SVG element with attributes and text. */
export function createSvg(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** Set an element's text, only if it differs: screen readers announce each change of a live region. */
export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** Find the element that is marked with `data-part`. */
export function findPart(root, name) {
  return root.querySelector(`[data-part="${name}"]`);
}

/** Mark the button whose `data-NAME` has a value as pressed, and all others of that name as not pressed. */
export function pressButton(root, name, value) {
  for (const button of root.querySelectorAll(`button[data-${name}]`)) {
    button.setAttribute("aria-pressed", String(button.dataset[name] === value));
  }
}

/** Return a function that reads a CSS variable of an element, such as "accent". */
export function cssReader(element) {
  return (name) => getComputedStyle(element).getPropertyValue(`--${name}`).trim();
}

/** Call `onChange` whenever the page's theme changes; returns the observer, to disconnect. */
export function observeTheme(onChange) {
  const observer = new MutationObserver(onChange);
  observer.observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });
  return observer;
}


/**
 * Show a message. With an action it stays until it is used or closed, otherwise it disappears after seven seconds.
 * @param {string} text
 * @param {{label: string, onClick: () => void} | null} action a button beside the text
 */
export function showToast(text, action = null) {
  const toast = document.getElementById("toast");
  if (!toast) return;
  clearTimeout(toastTimer);
  const hide = () => (toast.hidden = true);
  const children = [createElement("span", { textContent: text })];
  if (action) {
    const onclick = () => {
      hide();
      action.onClick();
    };
    children.push(createElement("button", { type: "button", textContent: action.label, onclick }));
  }
  const close = createElement("button", { type: "button", textContent: "×", "aria-label": "Close", onclick: hide });
  toast.replaceChildren(...children, close);
  toast.hidden = false;
  if (!action) toastTimer = setTimeout(hide, TOAST_VISIBLE_MS);
}

/** Whether a key press belongs to a text field, a dialog, the table or the browser, and is no shortcut. */
export function isTyping(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return true;
  return Boolean(event.target.closest?.(TEXT_FIELDS));
}

/** Run the action of a pressed key; space on a button or link is left to the browser. */
export function runShortcut(event, actions) {
  const action = actions[event.key];
  if (!action || (event.key === " " && event.target.closest("button, a"))) return;
  event.preventDefault();
  action();
}

/** Resolve after some milliseconds; rejects when the signal aborts. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** Return the first value of `find` that is true, looking again and again; undefined once the signal has aborted. */
export async function waitFor(find, signal) {
  while (!signal.aborted) {
    const value = find();
    if (value) return value;
    await sleep(POLL_INTERVAL_MS);
  }
  return undefined;
}

/** Calls `callback` at once for the first request, and once more at the end of the interval for all that follow. */
export class Throttle {
  /**
   * @param {number} intervalMs the shortest time between two calls
   * @param {() => void} callback
   * @param {() => number} now the clock, in milliseconds
   */
  constructor(intervalMs, callback, now = () => performance.now()) {
    Object.assign(this, { intervalMs, callback, now });
    this.lastCallMs = -Infinity;
    this.timer = null;
  }

  /** Ask for a call, now or when the interval is over. */
  request() {
    if (this.timer !== null) return;
    const waitMs = this.lastCallMs + this.intervalMs - this.now();
    if (waitMs <= 0) this.flush();
    else this.timer = setTimeout(() => this.flush(), waitMs);
  }

  /** Call now, whatever the interval, and drop a pending call. */
  flush() {
    this.cancel();
    this.lastCallMs = this.now();
    this.callback();
  }

  /** Drop a pending call. */
  cancel() {
    clearTimeout(this.timer);
    this.timer = null;
  }
}
