// Requests to the service: JSON in, JSON out, problem details as errors.

const PREFIX = "/api/v1";
const RETRY_DEADLINE_MS = 600_000;

/** An answer of the service that is no success; its message is the problem's detail. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Describe a wait for the server's queue of long work. */
export function formatQueueWait(ahead, seconds) {
  return `Waiting for the server: ${ahead} ${ahead === 1 ? "request" : "requests"} ahead; asking again in ${seconds} s`;
}

function abortableSleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/**
 * Fetch, and ask again after each answer 429 that says how many requests are ahead, for ten minutes in all.
 * @param {(text: string) => void} onWait receives a line for each wait
 */
export async function fetchWithRetry(url, options = {}, onWait = () => {}) {
  const deadlineMs = Date.now() + RETRY_DEADLINE_MS;
  for (;;) {
    const response = await fetch(url, options);
    if (response.status !== 429) return response;
    const seconds = Number(response.headers.get("retry-after"));
    const { ahead } = await response.clone().json();
    if (ahead === undefined || !(seconds > 0) || Date.now() + 1000 * seconds > deadlineMs) return response;
    onWait(formatQueueWait(ahead, seconds));
    await abortableSleep(1000 * seconds, options.signal);
  }
}

async function readJson(response) {
  const body = response.headers.get("content-type")?.includes("json") ? await response.json() : null;
  if (!response.ok) throw new ApiError(response.status, body?.detail ?? `The server answered with status ${response.status}.`);
  return body;
}

/** Return the address of an API path with its query; null and empty values are left out. */
export function apiUrl(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `${PREFIX}${path}${text ? `?${text}` : ""}`;
}

/** GET a path of the API and return its JSON. Throws ApiError. */
export async function getJson(path, query, { signal } = {}) {
  return readJson(await fetch(apiUrl(path, query), { signal }));
}

/** Send JSON to a path of the API and return the JSON of the answer. Throws ApiError. */
export async function sendJson(method, path, body) {
  const headers = { "content-type": "application/json" };
  return readJson(await fetch(apiUrl(path), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }));
}
