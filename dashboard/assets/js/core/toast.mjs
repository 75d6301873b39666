// A message at the bottom of the page. It does not move the page's content.

import { createElement } from "./dom.mjs";

const VISIBLE_MS = 7000;
let timer = null;

/**
 * Show a message. With an action it stays until it is used or closed, otherwise it disappears after seven seconds.
 * @param {string} text
 * @param {{label: string, onClick: () => void} | null} action a button beside the text
 */
export function showToast(text, action = null) {
  const toast = document.getElementById("toast");
  if (!toast) return;
  clearTimeout(timer);
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
  if (!action) timer = setTimeout(hide, VISIBLE_MS);
}
