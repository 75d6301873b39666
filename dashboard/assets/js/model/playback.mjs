// Which capture is shown: the newest while the run is followed, or one that the slider, a key, or a chart points at.

import { prepare, TRAIL } from "../scene/scene.mjs";

const CACHE = 600;
const WARMED = 300; // captures of a run that are fetched before anybody asks
const AHEAD = 8; // captures fetched before they are wanted while playing
export const SPEEDS = [0.5, 1, 2, 4];
const PLAY_MS = 90; // a capture, at speed one

/** The last capture at or before an epoch; the first where all are later; -1 where there is none. */
export function captureAt(captures, epoch) {
  if (captures.length === 0) return -1;
  let [low, high] = [0, captures.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (captures[middle].epoch <= epoch + 1e-5) low = middle;
    else high = middle;
  }
  return low;
}

export class Replay {
  /** `run` is the run's model; `seen()` names the view that the server must cut, or null; `turns()` whether frames are wanted too; `heard` has show, words, failed. */
  constructor(run, { signal, seen, turns = () => false, heard }) {
    Object.assign(this, { run, signal, seen, turns, heard });
    this.frames = new Map();
    this.wanted = new Map();
    this.index = -1; // the capture chosen
    this.peeked = null; // the capture pointed at, for as long as it is
    this.follows = true;
    this.speed = 1;
    this.loop = false;
    this.player = null;
  }

  close() {
    cancelAnimationFrame(this.player);
    this.player = null;
  }

  get last() {
    return this.run.captures.length - 1;
  }

  get at() {
    return this.peeked ?? this.index;
  }

  get capture() {
    return this.run.captures[this.at];
  }

  get playing() {
    return this.player !== null;
  }

  key(step) {
    return `${step} ${this.seen()?.key ?? ""}`;
  }

  frame(capture) {
    const held = this.frames.get(this.key(capture.step));
    return held && this.turns() && !held.axes ? undefined : held;
  }

  /** Keep a capture's arrays, given as they travel in the run's own view, or cut by the server. */
  keep(step, arrays, cut = null) {
    const frame = prepare(arrays, cut);
    this.frames.set(cut ? `${step} ${cut.key}` : `${step} `, frame);
    if (this.frames.size > CACHE) this.frames.delete(this.frames.keys().next().value);
    return frame;
  }

  /** Choose a capture; beyond the last one of a running run the run is followed. */
  scrub(index, ended) {
    this.follows = index >= this.last && !ended;
    return this.choose(Math.max(0, Math.min(index, this.last)));
  }

  choose(index) {
    this.index = index;
    this.peeked = null;
    return this.refresh();
  }

  /** Show a capture for as long as it is pointed at; null goes back. */
  peek(index) {
    const next = index === null || index === this.index || index < 0 ? null : index;
    if (next === this.peeked) return;
    this.peeked = next;
    this.refresh();
  }

  /** Show the capture chosen or pointed at, fetching it if it is not here; the newest wish wins. */
  async refresh() {
    const { at, capture } = this;
    this.heard.words();
    if (!capture) return;
    const frame = this.frame(capture) ?? (await this.fetch(capture));
    if (!frame || this.at !== at) return;
    this.heard.show(frame, at, this.trailTo(at));
    // Trails run through the captures before. While the run goes on they are of those that were drawn; else what of
    // them is missing is fetched behind the picture.
    if (this.follows && this.peeked === null && this.run.status === "running") return;
    const missing = this.run.captures.slice(Math.max(0, at - TRAIL), at).filter((each) => !this.frame(each));
    if (missing.length === 0) return;
    await Promise.all(missing.map((each) => this.fetch(each)));
    if (this.at === at) this.heard.show(frame, at, this.trailTo(at));
  }

  trailTo(at) {
    return this.run.captures.slice(Math.max(0, at - TRAIL), at).map((each) => this.frame(each)).filter(Boolean);
  }

  /** Fetch a capture once, however many ask. */
  fetch(capture) {
    const key = `${this.key(capture.step)} ${this.turns()}`;
    if (!this.wanted.has(key)) this.wanted.set(key, this.load(capture).finally(() => this.wanted.delete(key)));
    return this.wanted.get(key);
  }

  async load(capture) {
    const cut = this.seen();
    try {
      const answer = await fetch(capture.href + (cut?.query ?? "") + (this.turns() ? "&arrays=frame" : ""), { signal: this.signal });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const { arrays, facts, vertices } = await answer.json();
      Object.assign(capture, facts);
      return this.keep(capture.step, arrays, cut && { key: cut.key, vertices: columns(vertices) });
    } catch (error) {
      if (error.name !== "AbortError") this.heard.failed(error.message);
      return null;
    }
  }

  /** Fetch the captures of a run that is not long, two at a time, while nothing else is wanted: then it plays at once. */
  async warm() {
    const wanted = this.run.captures.length <= WARMED ? [...this.run.captures] : [];
    const next = async () => {
      for (let capture = wanted.shift(); capture && !this.signal.aborted; capture = wanted.shift()) {
        await new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(resolve));
        if (!this.frame(capture) && !this.seen()) await this.fetch(capture);
      }
    };
    await Promise.all([next(), next()]);
  }

  play(ended) {
    if (this.playing) {
      this.close();
      this.heard.words();
      return;
    }
    if (this.index >= this.last) this.scrub(0, ended);
    let due = performance.now() + PLAY_MS / this.speed;
    const turn = (now) => {
      this.player = requestAnimationFrame(turn);
      for (const each of this.run.captures.slice(this.index + 1, this.index + 1 + AHEAD)) if (!this.frame(each)) this.fetch(each);
      if (now < due || !this.capture || !this.frame(this.capture)) return;
      due = Math.max(due + PLAY_MS / this.speed, now);
      if (this.index < this.last) this.scrub(this.index + 1, ended);
      else if (this.loop) this.scrub(0, ended);
      else this.play(ended);
    };
    this.player = requestAnimationFrame(turn);
    this.heard.words();
  }
}

/** Rows of three numbers as [x, y, z]. */
function columns(rows) {
  return [0, 1, 2].map((axis) => Float32Array.from(rows, (row) => row[axis]));
}
