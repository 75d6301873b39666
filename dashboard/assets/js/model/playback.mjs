// Playback of a run's captures: which one is shown, and their arrays, fetched on demand and cached.

import { fetchJson } from "../core/api.mjs";
import { axesFromRows, decodeArray } from "../core/arrays.mjs";

const CACHED_FRAMES = 600;
const PREFETCH_INITIAL = 300; // a run with at most so many captures is fetched whole once its page is idle
const PREFETCH_AHEAD = 8; // captures fetched in advance during playback
const PLAYBACK_INTERVAL_MS = 90; // between two captures at speed 1
export const TRAIL_CAPTURES = 8; // captures before the one shown whose class means make the trajectories
export const SPEEDS = [0.5, 1, 2, 4];
export const LARGE_STEP = 10; // captures that shift and an arrow key move by

/** Index of the last capture at or before an epoch; the first where all are later; -1 where there is none. */
export function captureIndexAt(captures, epoch) {
  if (captures.length === 0) return -1;
  let [low, high] = [0, captures.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (captures[middle].epoch <= epoch + 1e-5) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * Decode a capture's arrays to a frame that the scene shows.
 * @param {{key: string, vertices: Float32Array[]} | null} serverView the view that the server has projected them to
 */
function decodeFrame(arrays, serverView = null) {
  const [means, weights, features] = ["means", "weights", "features"].map((name) => decodeArray(arrays[name]));
  return {
    means, weights, features, serverView, labels: decodeArray(arrays.labels).data, cosines: decodeArray(arrays.cosines_means),
    pca: arrays.pca ? decodeArray(arrays.pca) : null, predictions: arrays.predictions ? decodeArray(arrays.predictions).data : null,
    etfFrame: arrays.frame ? decodeArray(arrays.frame) : null, projections: new Map(),
  };
}

/** Follows the latest capture, or shows the one that is selected, played, or hovered in a chart. */
export class Playback {
  /**
   * @param {object} run the run's model
   * @param {{signal: AbortSignal, getServerView: () => {key: string, query: string} | null, needsFrames: () => boolean,
   *          callbacks: {onShow: (frame, index: number, trail: object[]) => void, onChange: () => void,
   *                      onError: (text: string) => void}}} options `getServerView` names the view that the server must
   *   project captures to; `needsFrames` says whether the ETF's frames are fetched too
   */
  constructor(run, { signal, getServerView, needsFrames = () => false, callbacks }) {
    Object.assign(this, { run, signal, getServerView, needsFrames, callbacks });
    this.frames = new Map();
    this.requests = new Map();
    this.selectedIndex = -1;
    this.hoveredIndex = null;
    this.isLive = true;
    this.speed = 1;
    this.isLooping = false;
    this.animation = null;
  }

  close() {
    cancelAnimationFrame(this.animation);
    this.animation = null;
  }

  get lastIndex() {
    return this.run.captures.length - 1;
  }

  get shownIndex() {
    return this.hoveredIndex ?? this.selectedIndex;
  }

  /** The capture that is shown. */
  get capture() {
    return this.run.captures[this.shownIndex];
  }

  get isPlaying() {
    return this.animation !== null;
  }

  cacheKey(step, serverView) {
    return `${step} ${serverView?.key ?? ""}`;
  }

  /** A capture's frame if it is cached and has all that is needed. */
  getFrame(capture) {
    const frame = this.frames.get(this.cacheKey(capture.step, this.getServerView()));
    return frame && this.needsFrames() && !frame.etfFrame ? undefined : frame;
  }

  /** Decode and cache a capture's arrays, as the run's own view has them or projected by the server. */
  addFrame(step, arrays, serverView = null) {
    const frame = decodeFrame(arrays, serverView);
    this.frames.set(this.cacheKey(step, serverView), frame);
    if (this.frames.size > CACHED_FRAMES) this.frames.delete(this.frames.keys().next().value);
    return frame;
  }

  /** Select a capture; the last one of a run that has not ended makes the page live again. */
  seek(index, hasEnded) {
    this.isLive = index >= this.lastIndex && !hasEnded;
    return this.select(Math.max(0, Math.min(index, this.lastIndex)));
  }

  select(index) {
    this.selectedIndex = index;
    this.hoveredIndex = null;
    return this.refresh();
  }

  /** Show a capture while it is hovered; null returns to the selected one. */
  hover(index) {
    const next = index === null || index === this.selectedIndex || index < 0 ? null : index;
    if (next === this.hoveredIndex) return;
    this.hoveredIndex = next;
    this.refresh();
  }

  /** Show the selected or hovered capture, fetching it first if needed; the newest request wins. */
  async refresh() {
    const { shownIndex: index, capture } = this;
    this.callbacks.onChange();
    if (!capture) return;
    const frame = this.getFrame(capture) ?? (await this.fetch(capture));
    if (!frame || this.shownIndex !== index) return;
    this.callbacks.onShow(frame, index, this.trailTo(index));
    // A live page draws trajectories through the frames it has; otherwise missing ones are fetched after the first drawing.
    if (this.isLive && this.hoveredIndex === null && this.run.status === "running") return;
    const missing = this.trailCaptures(index).filter((each) => !this.getFrame(each));
    if (missing.length === 0) return;
    await Promise.all(missing.map((each) => this.fetch(each)));
    if (this.shownIndex === index) this.callbacks.onShow(frame, index, this.trailTo(index));
  }

  trailCaptures(index) {
    return this.run.captures.slice(Math.max(0, index - TRAIL_CAPTURES), index);
  }

  trailTo(index) {
    return this.trailCaptures(index).map((each) => this.getFrame(each)).filter(Boolean);
  }

  /** Fetch a capture's frame; requests for the same frame share one answer. */
  fetch(capture) {
    const key = `${this.cacheKey(capture.step, this.getServerView())} ${this.needsFrames()}`;
    if (!this.requests.has(key)) this.requests.set(key, this.load(capture).finally(() => this.requests.delete(key)));
    return this.requests.get(key);
  }

  async load(capture) {
    const serverView = this.getServerView();
    try {
      const address = capture.href + (serverView?.query ?? "") + (this.needsFrames() ? "&arrays=frame" : "");
      const { arrays, facts, vertices } = await fetchJson(address, { signal: this.signal });
      Object.assign(capture, facts);
      return this.addFrame(capture.step, arrays, serverView && { key: serverView.key, vertices: axesFromRows(vertices) });
    } catch (error) {
      if (error.name !== "AbortError") this.callbacks.onError(error.message);
      return null;
    }
  }

  /** Fetch all captures of a short run, two at a time and while the browser is idle, so that playback starts at once. */
  async prefetch() {
    const remaining = this.run.captures.length <= PREFETCH_INITIAL ? [...this.run.captures] : [];
    const worker = async () => {
      for (let capture = remaining.shift(); capture && !this.signal.aborted; capture = remaining.shift()) {
        await new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(resolve));
        if (!this.getFrame(capture) && !this.getServerView()) await this.fetch(capture);
      }
    };
    await Promise.all([worker(), worker()]);
  }

  /** Start playback, from the first capture if the last one is shown, or stop it. */
  togglePlay(hasEnded) {
    if (this.isPlaying) {
      this.close();
      this.callbacks.onChange();
      return;
    }
    if (this.selectedIndex >= this.lastIndex) this.seek(0, hasEnded);
    let dueMs = performance.now() + PLAYBACK_INTERVAL_MS / this.speed;
    const onFrame = (nowMs) => {
      this.animation = requestAnimationFrame(onFrame);
      const next = this.selectedIndex + 1;
      for (const each of this.run.captures.slice(next, next + PREFETCH_AHEAD)) if (!this.getFrame(each)) this.fetch(each);
      if (nowMs < dueMs || !this.capture || !this.getFrame(this.capture)) return;
      dueMs = Math.max(dueMs + PLAYBACK_INTERVAL_MS / this.speed, nowMs);
      if (this.selectedIndex < this.lastIndex) this.seek(next, hasEnded);
      else if (this.isLooping) this.seek(0, hasEnded);
      else this.togglePlay(hasEnded);
    };
    this.animation = requestAnimationFrame(onFrame);
    this.callbacks.onChange();
  }
}
