// The state of a view in the page's address, so that a link, a reload, back and forward show the same again.

const READ = {
  view: (text) => text,
  classes: (text) => numbers(text),
  epoch: (text) => (Number.isFinite(Number(text)) ? Number(text) : null),
  camera: (text) => text,
  layers: (text) => text.split(",").filter(Boolean),
  class: (text) => numbers(text),
  charts: (text) => text,
  unit: (text) => (text === "angle" ? "angle" : "cos"),
  tab: (text) => text,
  by: (text) => text,
  at: (text) => (Number.isFinite(Number(text)) ? Number(text) : null),
  metric: (text) => text,
  threshold: (text) => (Number.isFinite(Number(text)) ? Number(text) : null),
};

function numbers(text) {
  const found = text.split(",").map(Number);
  return text !== "" && found.every((n) => Number.isInteger(n) && n >= 0) ? found : [];
}

/** Read what an address says of a view; what it does not say is absent. */
export function read(search) {
  const found = {};
  for (const [key, value] of new URLSearchParams(search)) if (READ[key]) found[key] = READ[key](value);
  return found;
}

/** Write a view's state into an address; what is null, empty or as it is by default is left out. */
export function write(search, state) {
  const query = new URLSearchParams(search);
  for (const key of Object.keys(READ)) {
    const value = state[key];
    const text = Array.isArray(value) ? value.join(",") : String(value ?? "");
    if (text === "") query.delete(key);
    else query.set(key, text);
  }
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `?${text}` : "";
}

/**
 * Put a state into the address: as a new entry of the history where a person chose something, in its place where
 * something moved. Dash's own Location is told, or it would bring back the address that it knows.
 */
export function put(state, { entry = false } = {}) {
  const search = write(window.location.search, state);
  if (search === window.location.search) return;
  const url = window.location.pathname + search + window.location.hash;
  if (entry) window.history.pushState(null, "", url);
  else window.history.replaceState(null, "", url);
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
}

/** Go to another page without loading everything anew, as Dash's own links do it. */
export function go(href) {
  window.history.pushState({}, "", href);
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  window.scrollTo(0, 0);
}
