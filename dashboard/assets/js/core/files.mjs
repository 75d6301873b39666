// Files: downloads and previews that take long to make, and exported figures that are dropped on a page.

import { ApiError, apiUrl, fetchJson, fetchWithRetry } from "./api.mjs";
import { createElement, showToast } from "./dom.mjs";
import { navigate } from "./url-state.mjs";

const LONG_WORK_PATHS = /^\/api\/v1\/(.*\/)?(figures\/|replay\.html|archive\.zip)/;
const REVOKE_URL_AFTER_MS = 60_000;

/** Return the file name of a Content-Disposition header. */
export function fileNameOf(disposition, fallback) {
  return disposition?.match(/filename="([^"]+)"/)?.[1] ?? fallback;
}

async function fetchFile(href) {
  const abort = new AbortController();
  const cancel = { label: "Cancel", onClick: () => abort.abort() };
  showToast("Preparing the file…", cancel);
  const response = await fetchWithRetry(href, { signal: abort.signal }, (text) => showToast(text, cancel));
  if (!response.ok) throw new ApiError(response.status, (await response.json()).detail);
  return response;
}

async function download(link) {
  try {
    const response = await fetchFile(link.href);
    const content = await response.blob();
    const name = fileNameOf(response.headers.get("content-disposition"), link.download || "download");
    const anchor = createElement("a", { href: URL.createObjectURL(content), download: name });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), REVOKE_URL_AFTER_MS);
    showToast(`Saved ${name}`);
  } catch (error) {
    showToast(error.name === "AbortError" ? "Download cancelled; nothing was saved" : `Download failed, nothing was saved: ${error.message}`);
  }
}

/** Load a picture that the server refused because it was busy, as soon as it is made. */
async function reloadPreview(image) {
  const source = image.getAttribute("src");
  try {
    const response = await fetchFile(source);
    if (image.getAttribute("src") !== source) return;
    if (response.ok) image.src = source;
    showToast("Preview loaded");
  } catch (error) {
    showToast(error.name === "AbortError" ? "Preview cancelled" : `Preview failed: ${error.message}`);
  }
}

/** Handle the page's download links and the export preview. */
export function listenForDownloads() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[download]");
    if (!link || event.defaultPrevented || !LONG_WORK_PATHS.test(new URL(link.href, location.href).pathname)) return;
    event.preventDefault();
    download(link);
  });
  const onError = (event) => {
    if (event.target.id === "export-preview" && event.target.getAttribute("src")) reloadPreview(event.target);
  };
  document.addEventListener("error", onError, true);
}

const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

async function openFigure(file) {
  showToast(`Reading ${file.name}…`);
  try {
    const headers = { "content-type": "application/octet-stream" };
    const origin = await fetchJson(apiUrl("/figures/origin"), { method: "POST", body: file, headers });
    showToast(`${file.name}: ${origin.figure} of ${origin.runs.map((run) => run.name).join(", ")}, made by ${origin.made_by}`);
    navigate(origin.address);
  } catch (error) {
    showToast(`Cannot open ${file.name}: ${error.message}`);
  }
}

/** Handle files that are dropped anywhere on the page. */
export function listenForFigureDrops() {
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault(); // otherwise the browser leaves the page and opens the file
  });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) openFigure(file);
  });
}
