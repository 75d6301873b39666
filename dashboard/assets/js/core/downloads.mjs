// Files that take long to make: while the server has too much to do, the page says so, and asks again when it was told to.

import { Problem, patiently } from "./api.mjs";
import { toast } from "./toast.mjs";

const LONG = /^\/api\/v1\/(.*\/)?(figures\/|replay\.html|archive\.zip)/;

/** The name that an answer gives its file. */
export function fileName(disposition, fallback) {
  return disposition?.match(/filename="([^"]+)"/)?.[1] ?? fallback;
}

async function answered(href) {
  const leaving = new AbortController();
  const waiting = (line) => toast(line, { words: "Cancel", work: () => leaving.abort() });
  toast("Asking the server for the file…", { words: "Cancel", work: () => leaving.abort() });
  const response = await patiently(href, { signal: leaving.signal }, waiting);
  if (!response.ok) throw new Problem(response.status, (await response.json()).detail);
  return response;
}

async function save(link) {
  try {
    const response = await answered(link.href);
    const content = await response.blob();
    const name = fileName(response.headers.get("content-disposition"), link.download || "download");
    const made = Object.assign(document.createElement("a"), { href: URL.createObjectURL(content), download: name });
    made.click();
    setTimeout(() => URL.revokeObjectURL(made.href), 60000);
    toast(`Saved ${name}.`);
  } catch (error) {
    toast(error.name === "AbortError" ? "Cancelled; nothing was saved." : `Nothing was saved: ${error.message}`);
  }
}

/** A picture that the server refused is asked for again when there is room; it is made once, so then it is there. */
async function show(image) {
  const source = image.getAttribute("src");
  try {
    const response = await answered(source);
    if (image.getAttribute("src") !== source) return;
    if (response.ok) image.src = source;
    toast("The figure is there.");
  } catch (error) {
    toast(error.name === "AbortError" ? "Cancelled." : `The preview cannot be shown: ${error.message}`);
  }
}

export function listen() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[download]");
    if (!link || event.defaultPrevented || !LONG.test(new URL(link.href, location.href).pathname)) return;
    event.preventDefault();
    save(link);
  });
  const failing = (event) => {
    if (event.target.id === "export-preview" && event.target.getAttribute("src")) show(event.target);
  };
  document.addEventListener("error", failing, true);
}
