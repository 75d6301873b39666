// What the pages' scripts ask of the service: JSON in, JSON out, problems as errors with the server's words.

const PREFIX = "/api/v1";

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const PATIENCE_MS = 600000;

/** How many requests are ahead, in words. */
export function waitingLine(ahead, seconds) {
  return `Waiting for the server: ${ahead} ${ahead === 1 ? "request" : "requests"} ahead; asking again in ${seconds} s`;
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** Fetch; where the server has too much long work to do (429 that says how much is ahead), say so with `waiting`, wait
 * as long as it was told, and ask again, for ten minutes in all. */
export async function patiently(url, options = {}, waiting = () => {}) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const response = await fetch(url, options);
    if (response.status !== 429) return response;
    const seconds = Number(response.headers.get("retry-after"));
    const { ahead } = await response.clone().json();
    if (ahead === undefined || !(seconds > 0) || Date.now() + 1000 * seconds > deadline) return response;
    waiting(waitingLine(ahead, seconds));
    await pause(1000 * seconds, options.signal);
  }
}

async function answered(response) {
  const held = response.headers.get("content-type")?.includes("json") ? await response.json() : null;
  if (!response.ok) throw new Problem(response.status, held?.detail ?? `the server answered ${response.status}`);
  return held;
}

/** An address with its query; what is null or empty is left out. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `${PREFIX}${path}${text ? `?${text}` : ""}`;
}

export async function ask(path, query, { signal } = {}) {
  return answered(await fetch(address(path, query), { signal }));
}

export async function send(method, path, body) {
  const headers = { "content-type": "application/json" };
  return answered(await fetch(address(path), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }));
}
