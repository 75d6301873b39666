// One EventSource a page: follows runs, each from an event on, at most one hand-over a paint.

export const TYPES = [
  "RunQueued", "RunStarted", "Resumed", "StepMeasured", "EpochMeasured", "GeometryCaptured", "CheckpointSaved",
  "AttemptFailed", "Paused", "DataProgressed", "SamplesPictured", "RunFinished", "RunCancelled", "RunFailed", "LogLine",
];

/** Drop what was seen, keep order, and let only the newest capture of a run carry arrays: newest wins. */
export function merge(pending, event, lastSeq) {
  if (event.seq <= lastSeq) return lastSeq;
  if (event.arrays) for (const held of pending) if (held.run === event.run) delete held.arrays;
  pending.push(event);
  return event.seq;
}

/** Say in the top bar whether what is shown is live. */
export function connection(state) {
  const dot = document.querySelector('[data-part="connection"]');
  if (!dot) return;
  dot.dataset.state = state;
  dot.textContent = { live: "live", reconnecting: "reconnecting, nothing is lost", deleted: "this run was deleted" }[state] ?? "";
}

export class RunStream {
  /** `seen` is a map from each run's id to the last of its events that is known. */
  constructor(seen, onEvents) {
    this.seen = seen;
    this.onEvents = onEvents;
    this.pending = [];
    this.scheduled = false;
    this.closed = false;
    this.connect();
  }

  connect() {
    if (this.closed) return;
    const after = [...this.seen].map(([run, seq]) => `${run}:${seq}`);
    this.source = new EventSource(`/api/v1/stream?runs=${[...this.seen.keys()]}&after=${after}`);
    this.source.onopen = () => connection("live");
    this.source.onerror = () => {
      if (this.closed) return;
      connection("reconnecting");
      // A refused connection is not tried again by the browser itself.
      if (this.source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.connect(), 1000);
    };
    this.source.addEventListener("deleted", (message) => this.forget(JSON.parse(message.data).run));
    for (const type of TYPES) this.source.addEventListener(type, (message) => this.take(JSON.parse(message.data)));
  }

  /** A run that was deleted is followed no longer; with the last one the stream ends. */
  forget(run) {
    this.seen.delete(run);
    if (this.seen.size > 0) return;
    this.close();
    connection("deleted");
  }

  take(event) {
    this.seen.set(event.run, merge(this.pending, event, this.seen.get(event.run)));
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
