// Server-sent events: one EventSource follows several runs, each from an event on, and hands over once per frame.

import { EVENT_TYPES } from "./constants.mjs";
import { findPart } from "./dom.mjs";

const RECONNECT_DELAY_MS = 1000;
const HIDDEN_PAGE_DELAY_MS = 250;
const CONNECTION_LABELS = { live: "Live", reconnecting: "Reconnecting…", deleted: "Run deleted" };

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
    this.source = new EventSource(`/api/v1/stream?runs=${[...this.lastSeqs.keys()]}&after=${after}`);
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
