// Requests to the service: JSON in, JSON out, problem details as errors; and the stream of events of several runs.

import { EVENT_TYPES } from "./constants.mjs";
import { findPart, sleep } from "./dom.mjs";
import { formatCount } from "./formatting.mjs";

const PREFIX = "/api/v1";
const RETRY_DEADLINE_MS = 600_000;
const RECONNECT_DELAY_MS = 1000;
const HIDDEN_PAGE_DELAY_MS = 250;
const CONNECTION_LABELS = { live: "Live", reconnecting: "Reconnecting…", deleted: "Run deleted" };

/** An answer of the service that is no success; its message is the problem's detail. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Describe a wait for the server's queue of long work. */
export function formatQueueWait(ahead, seconds) {
  return `Waiting for the server: ${formatCount(ahead, "request")} ahead; asking again in ${seconds} s`;
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
    await sleep(1000 * seconds, options.signal);
  }
}

/** Return the address of an API path with its query; null and empty values are left out. */
export function apiUrl(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `${PREFIX}${path}${text ? `?${text}` : ""}`;
}

const isJson = (response) => response.headers.get("content-type")?.includes("json");

async function fetchSuccessful(url, options) {
  const response = await fetch(url, options);
  if (response.ok) return response;
  const body = isJson(response) ? await response.json() : null;
  throw new ApiError(response.status, body?.detail ?? `The server answered with status ${response.status}.`);
}

/** Fetch an address and return its JSON, null for an answer of another type. Throws ApiError. */
export async function fetchJson(url, options) {
  const response = await fetchSuccessful(url, options);
  return isJson(response) ? response.json() : null;
}

/** Fetch an address and return its text. Throws ApiError. */
export async function fetchText(url, options) {
  return (await fetchSuccessful(url, options)).text();
}

/** GET a path of the API and return its JSON. Throws ApiError. */
export function getJson(path, query, { signal } = {}) {
  return fetchJson(apiUrl(path, query), { signal });
}

/** Send JSON to a path of the API and return the JSON of the answer. Throws ApiError. */
export function sendJson(method, path, body) {
  const headers = { "content-type": "application/json" };
  return fetchJson(apiUrl(path), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/**
 * Append an event to `pending` unless it is known. Only the newest capture of a run keeps its arrays.
 * @returns the last sequence number that is known now
 */
export function mergeEvent(pending, event, lastSeq) {
  if (event.seq <= lastSeq) return lastSeq;
  if (event.arrays) for (const earlier of pending) if (earlier.run === event.run) delete earlier.arrays;
  pending.push(event);
  return event.seq;
}

/** Show in the top bar whether the page is live: "live", "reconnecting", "deleted", or "" for nothing. */
export function showConnection(state) {
  const label = findPart(document, "connection");
  if (!label) return;
  label.dataset.state = state;
  label.textContent = CONNECTION_LABELS[state] ?? "";
}

/** Follows runs and passes their events to `onEvents`, in order, at most once per frame. */
export class RunStream {
  /**
   * @param {Map<string, number>} lastSeqs the last known sequence number by run
   * @param {(events: object[]) => void} onEvents
   */
  constructor(lastSeqs, onEvents) {
    Object.assign(this, { lastSeqs, onEvents });
    this.pending = [];
    this.isScheduled = false;
    this.isClosed = false;
    this.connect();
  }

  connect() {
    if (this.isClosed) return;
    const after = [...this.lastSeqs].map(([run, seq]) => `${run}:${seq}`);
    this.source = new EventSource(`${PREFIX}/stream?runs=${[...this.lastSeqs.keys()]}&after=${after}`);
    this.source.onopen = () => showConnection("live");
    this.source.onerror = () => {
      if (this.isClosed) return;
      showConnection("reconnecting");
      // The browser itself does not try again after a refused connection.
      if (this.source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.connect(), RECONNECT_DELAY_MS);
    };
    this.source.addEventListener("deleted", (message) => this.forget(JSON.parse(message.data).run));
    for (const type of EVENT_TYPES) this.source.addEventListener(type, (message) => this.receive(JSON.parse(message.data)));
  }

  /** Stop following a deleted run; the stream ends with the last one. */
  forget(run) {
    this.lastSeqs.delete(run);
    if (this.lastSeqs.size > 0) return;
    this.close();
    showConnection("deleted");
  }

  receive(event) {
    this.lastSeqs.set(event.run, mergeEvent(this.pending, event, this.lastSeqs.get(event.run)));
    if (this.isScheduled || this.pending.length === 0) return;
    this.isScheduled = true;
    // A hidden page gets no animation frames; a timer keeps its state up to date.
    if (document.hidden) setTimeout(() => this.flush(), HIDDEN_PAGE_DELAY_MS);
    else requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.isScheduled = false;
    const events = this.pending;
    this.pending = [];
    if (!this.isClosed && events.length) this.onEvents(events);
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.source.close();
  }
}
