// Waiting: for some time, for a condition, and between two calls of a callback.

const POLL_INTERVAL_MS = 30;

/** Resolve after some milliseconds; rejects when the signal aborts. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** Return the first value of `find` that is true, looking again and again; undefined once the signal has aborted. */
export async function waitFor(find, signal) {
  while (!signal.aborted) {
    const value = find();
    if (value) return value;
    await sleep(POLL_INTERVAL_MS);
  }
  return undefined;
}

/** Calls `callback` at once for the first request, and once more at the end of the interval for all that follow. */
export class Throttle {
  /**
   * @param {number} intervalMs the shortest time between two calls
   * @param {() => void} callback
   * @param {() => number} now the clock, in milliseconds
   */
  constructor(intervalMs, callback, now = () => performance.now()) {
    Object.assign(this, { intervalMs, callback, now });
    this.lastCallMs = -Infinity;
    this.timer = null;
  }

  /** Ask for a call, now or when the interval is over. */
  request() {
    if (this.timer !== null) return;
    const waitMs = this.lastCallMs + this.intervalMs - this.now();
    if (waitMs <= 0) this.flush();
    else this.timer = setTimeout(() => this.flush(), waitMs);
  }

  /** Call now, whatever the interval, and drop a pending call. */
  flush() {
    this.cancel();
    this.lastCallMs = this.now();
    this.callback();
  }

  /** Drop a pending call. */
  cancel() {
    clearTimeout(this.timer);
    this.timer = null;
  }
}
