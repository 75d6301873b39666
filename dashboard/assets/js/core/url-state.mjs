// The state of a page in its address: a link, a reload, back and forward show the same view again.

const toText = (text) => text;
const toNumber = (text) => (Number.isFinite(Number(text)) ? Number(text) : null);
const toList = (text) => text.split(",").filter(Boolean);

function toLabels(text) {
  const labels = text.split(",").map(Number);
  return text !== "" && labels.every((label) => Number.isInteger(label) && label >= 0) ? labels : [];
}

/** Every parameter of every page, with the function that parses it. */
const PARSERS = {
  view: toText,
  classes: toLabels,
  epoch: toNumber,
  camera: toText,
  layers: toList,
  class: toLabels,
  charts: toText,
  unit: (text) => (text === "angle" ? "angle" : "cos"),
  tab: toText,
  q: toText,
  by: toText,
  at: toNumber,
  metric: toText,
  threshold: toNumber,
};

/** Parse an address's query; parameters that it does not have are absent from the result. */
export function parseUrlState(search) {
  const state = {};
  for (const [key, value] of new URLSearchParams(search)) if (PARSERS[key]) state[key] = PARSERS[key](value);
  return state;
}

/** Return the query for a state. Null and empty values are left out; parameters of others stay. */
export function formatUrlState(search, state) {
  const query = new URLSearchParams(search);
  for (const key of Object.keys(PARSERS)) {
    const value = state[key];
    const text = Array.isArray(value) ? value.join(",") : String(value ?? "");
    if (text === "") query.delete(key);
    else query.set(key, text);
  }
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `?${text}` : "";
}

/** Read the state of the page's address. */
export const readUrlState = () => parseUrlState(window.location.search);

/**
 * Write a state into the page's address.
 * @param {object} state values by parameter
 * @param {{addEntry: boolean}} options whether back returns to the address before: for choices, not for movement
 */
export function writeUrlState(state, { addEntry = false } = {}) {
  const search = formatUrlState(window.location.search, state);
  if (search === window.location.search) return;
  const url = window.location.pathname + search + window.location.hash;
  if (addEntry) window.history.pushState(null, "", url);
  else window.history.replaceState(null, "", url);
  notifyDash();
}

/** Go to another page without reloading the application, like Dash's own links. */
export function navigate(href) {
  window.history.pushState({}, "", href);
  notifyDash();
  window.scrollTo(0, 0);
}

/** Notify Dash's Location of a change; otherwise it restores its own address. */
function notifyDash() {
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
}
