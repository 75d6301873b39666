// One EventSource a page: follows a run from an event on, at most one hand-over a paint.

export const TYPES = [
  "RunQueued", "RunStarted", "Resumed", "StepMeasured", "EpochMeasured", "GeometryCaptured", "CheckpointSaved",
  "AttemptFailed", "Paused", "DataProgressed", "RunFinished", "RunCancelled", "RunFailed", "LogLine",
];

/** Drop what was seen, keep order, and let only the newest capture carry arrays: newest wins. */
export function merge(pending, event, lastSeq) {
  if (event.seq <= lastSeq) return lastSeq;
  if (event.arrays) for (const held of pending) delete held.arrays;
  pending.push(event);
  return event.seq;
}

export class RunStream {
  constructor(runId, after, onEvents, onConnection) {
    this.runId = runId;
    this.onEvents = onEvents;
    this.onConnection = onConnection;
    this.lastSeq = after;
    this.pending = [];
    this.scheduled = false;
    this.closed = false;
    this.connect();
  }

  connect() {
    if (this.closed) return;
    this.source = new EventSource(`/api/v1/stream?runs=${this.runId}&after=${this.lastSeq}`);
    this.source.onopen = () => this.onConnection("live");
    this.source.onerror = () => {
      if (this.closed) return;
      this.onConnection("reconnecting");
      // A refused connection is not tried again by the browser itself.
      if (this.source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.connect(), 1000);
    };
    for (const type of TYPES) this.source.addEventListener(type, (message) => this.take(JSON.parse(message.data)));
  }

  take(event) {
    this.lastSeq = merge(this.pending, event, this.lastSeq);
    if (this.scheduled || this.pending.length === 0) return;
    this.scheduled = true;
    // A hidden page paints nothing; a timer then keeps what it knows up to date.
    if (document.hidden) setTimeout(() => this.hand(), 250);
    else requestAnimationFrame(() => this.hand());
  }

  hand() {
    this.scheduled = false;
    const events = this.pending;
    this.pending = [];
    if (!this.closed && events.length) this.onEvents(events);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.source.close();
  }
}
