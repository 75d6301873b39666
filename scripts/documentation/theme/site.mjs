/** Search over the index that MkDocs writes, scrolling by keyboard, and the link back to the dashboard where there is one. */

const MAX_RESULTS = 12;
const SNIPPET_BEFORE = 60, SNIPPET_LENGTH = 180;
const base = document.documentElement.dataset.base;
const query = document.getElementById("query");
const results = document.getElementById("results");
let index = null;

/** Load the sections of all pages once; entries without an anchor are whole pages, which repeat their sections.
 * @returns {Promise<{location: string, title: string, text: string}[]>} */
async function loadIndex() {
  index ??= (await (await fetch(`${base}/search/search_index.json`)).json()).docs.filter(({ location }) => location.includes("#"));
  return index;
}

/** Return a text without spaces and signs, so that "nearest ETF" and `nearest_etf` are the same. */
const letters = (text) => text.toLowerCase().replace(/[\s_\-.]/g, "");

/** Score a section: words in its title count most, and a title that is or begins with the query above all; 0 if a word is missing. */
function score({ title, text }, words) {
  const [name, body, whole] = [letters(title), text.toLowerCase(), letters(words.join(""))];
  let sum = (name === whole ? 40 : 0) + (name.startsWith(whole) ? 20 : 0);
  for (const word of words) {
    const inTitle = name.includes(letters(word)), count = body.split(word).length - 1;
    if (!inTitle && count === 0) return 0;
    sum += (inTitle ? 20 : 0) + Math.min(count, 5);
  }
  return sum;
}

/** Return the part of a section's text around the first word that was found. */
function snippet(text, words) {
  const lower = text.toLowerCase();
  const at = Math.max(0, Math.min(...words.map((word) => lower.indexOf(word)).filter((place) => place >= 0), text.length) - SNIPPET_BEFORE);
  const from = at >= text.length - SNIPPET_BEFORE ? 0 : at;
  return (from > 0 ? "…" : "") + text.slice(from, from + SNIPPET_LENGTH);
}

/** Show the best sections for what is typed. */
async function showResults() {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  results.hidden = words.length === 0;
  if (words.length === 0) return;
  let found;
  try {
    found = (await loadIndex()).map((section) => [score(section, words), section]).filter(([points]) => points > 0);
  } catch {
    results.replaceChildren(Object.assign(document.createElement("li"), { textContent: "Search needs a server: open the documentation at /docs." }));
    return;
  }
  found.sort(([a], [b]) => b - a);
  results.replaceChildren(...found.slice(0, MAX_RESULTS).map(([, { location, title, text }]) => {
    const link = Object.assign(document.createElement("a"), { href: `${base}/${location}` });
    const name = Object.assign(document.createElement("b"), { textContent: title });
    link.append(name, Object.assign(document.createElement("span"), { textContent: snippet(text, words) }));
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  if (found.length === 0) results.append(Object.assign(document.createElement("li"), { textContent: "Nothing found" }));
}

query.addEventListener("input", showResults);
query.form.addEventListener("submit", (event) => {
  event.preventDefault();
  results.querySelector("a")?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !(event.target instanceof HTMLInputElement) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    query.focus();
  } else if (event.key === "Escape") {
    results.hidden = true;
  }
});
document.addEventListener("click", (event) => { results.hidden ||= !query.form.contains(event.target); });
for (const wide of document.querySelectorAll("main pre, main table")) {
  if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;  // so that arrow keys scroll it
}
document.getElementById("application").hidden = !location.pathname.startsWith("/docs/");
