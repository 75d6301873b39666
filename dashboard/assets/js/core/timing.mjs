// Runs a callback at most once in an interval.

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
