// Work that is done at once, and then at most every so many milliseconds, the last wish always fulfilled.

export class Calm {
  constructor(milliseconds, work, now = () => performance.now()) {
    this.milliseconds = milliseconds;
    this.work = work;
    this.now = now;
    this.last = -Infinity;
    this.timer = null;
  }

  draw() {
    if (this.timer !== null) return;
    const wait = this.last + this.milliseconds - this.now();
    if (wait <= 0) this.run();
    else this.timer = setTimeout(() => this.run(), wait);
  }

  /** Do it now: what a person asked for does not wait. */
  run() {
    this.close();
    this.last = this.now();
    this.work();
  }

  close() {
    clearTimeout(this.timer);
    this.timer = null;
  }
}
