// The live 3D scene: holds what is drawn, the camera and the view, and follows hands. canvas-renderer.mjs draws it.

import { cameraText, HOME, parseCamera, turned, zoomed } from "./camera.mjs";
import { nearest, paint } from "./canvas-renderer.mjs";
import { decode, fromRows, project } from "../core/arrays.mjs";
import { turnedCorners, turnOf } from "./frame-rotation.mjs";
import { between, principal, tetrahedron, Tour, TRAVELLING_CLASSES } from "./views.mjs";

export const TRAIL = 8;
export const LAYERS = ["features", "trails", "classifier", "names", "arrows", "mistakes", "turn"];
export const USUAL = LAYERS.slice(0, 4);
const TURN_MS = 450; // in which one view turns into another
const DRAG = 0.008; // radians a pixel

/** A capture's arrays as numbers; where they travel in three dimensions, `seen` names the view they were cut for. */
export function prepare(arrays, seen = null) {
  const [means, weights, features] = ["means", "weights", "features"].map((name) => decode(arrays[name]));
  return {
    means, weights, features, seen, labels: decode(arrays.labels).data, cosines: decode(arrays.cosines_means),
    pca: arrays.pca ? decode(arrays.pca) : null, predictions: arrays.predictions ? decode(arrays.predictions).data : null,
    axes: arrays.frame ? decode(arrays.frame) : null, pictures: new Map(),
  };
}

export class Scene {
  /** `host` is an element that the canvas fills; `heard` has hover(mark, x, y), click(label | null), moved(). */
  constructor(host, { colours, css, heard = {} }) {
    this.host = host;
    this.canvas = Object.assign(document.createElement("canvas"), { tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Class means and the nearest ETF");
    host.prepend(this.canvas);
    this.context = this.canvas.getContext("2d");
    this.colours = colours;
    this.css = css;
    this.heard = heard;
    this.camera = { ...HOME };
    this.layers = Object.fromEntries(LAYERS.map((layer) => [layer, USUAL.includes(layer)]));
    this.focus = [];
    this.names = [];
    this.frame = null;
    this.before = [];
    this.worst = [];
    this.pointed = [];
    this.view = "spherical";
    this.four = [0, 1, 2, 3];
    this.abort = new AbortController();
    this.resize = new ResizeObserver(() => this.invalidate());
    this.resize.observe(host);
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.hands();
    this.recolour();
  }

  close() {
    this.abort.abort();
    this.resize.disconnect();
    cancelAnimationFrame(this.asked);
  }

  /** What never changes: the view that came with the run and the ETF's vertices. */
  begin(started) {
    this.names = started.class_names;
    this.own = started.view_matrix;
    this.ownView = started.view;
    this.corners = fromRows(started.vertices);
    this.invalidate();
  }

  /** Colours of the theme now shown; reading them from the page is dear, so it is done when they change. */
  recolour() {
    const known = new Map();
    this.colour = (name) => {
      if (!known.has(name)) known.set(name, this.css(name));
      return known.get(name);
    };
    this.invalidate();
  }

  get reduced() {
    return this.names.length > TRAVELLING_CLASSES;
  }

  /** The matrix of a view for a frame; null where the server has cut it already. */
  matrix(frame) {
    if (frame?.seen) return null;
    if (this.view === "tetrahedron") return tetrahedron(this.names.length, this.four);
    if (this.view === "pca" && frame?.pca) return principal(frame.pca, this.names.length);
    if (this.view === "tour") return this.tourAt ?? (this.tourAt = (this.tour ??= new Tour(this.names.length - 1)).step(0));
    return this.own;
  }

  key() {
    return this.view === "tetrahedron" ? `tetrahedron ${this.four}` : this.view;
  }

  /** Change the view; the picture turns from one into the other. */
  choose(view, four = this.four) {
    if (view === this.view && four.join() === this.four.join()) return;
    const from = this.frame && this.seenBy(this.frame);
    Object.assign(this, { view, four });
    this.turning = from && !this.reduced && !this.calm.matches ? { from, since: performance.now() } : null;
    this.tourAt = null;
    this.last = null;
    this.invalidate();
  }

  /** Where a frame's means, weights and features are seen, as [x, y, z] each. */
  seenBy(frame) {
    const moves = this.view === "tour";
    const key = this.key();
    if (!moves && frame.pictures.has(key)) return frame.pictures.get(key);
    const matrix = this.matrix(frame);
    const see = (points) => (matrix ? project(points, matrix) : project(points, UNIT));
    const found = { means: see(frame.means), weights: see(frame.weights), features: see(frame.features), vertices: this.vertices(frame) };
    if (!moves) {
      frame.pictures.clear(); // of one view at a time: a long run has many frames
      frame.pictures.set(key, found);
    }
    return found;
  }

  vertices(frame) {
    if (frame?.seen) return frame.seen.vertices;
    return project(this.corners, this.matrix(frame));
  }

  /** Show a frame with trails through those `before` it; `worst` is its pair of classes with the smallest angle. */
  draw(frame, before, worst = []) {
    Object.assign(this, { frame, before, worst });
    this.invalidate();
  }

  show(layer, on) {
    this.layers[layer] = on;
    this.invalidate();
  }

  /** Let classes stand out; all of them where the list is empty. */
  emphasise(labels) {
    if (labels.join() === this.focus.join()) return;
    this.focus = labels;
    this.invalidate();
  }

  setCamera(camera) {
    this.camera = camera;
    this.invalidate();
    this.heard.moved?.();
  }

  /** By how many degrees a vertex has turned since the capture before, where both frames are here; else null. */
  turnSince(label) {
    const [before] = this.before.slice(-1);
    return this.frame?.axes && before?.axes ? turnOf(this.corners, before, this.frame, label) : null;
  }

  cameraText() {
    return cameraText(this.camera);
  }

  isHome() {
    return this.cameraText() === cameraText(HOME);
  }

  parse(text) {
    return parseCamera(text) ?? { ...HOME };
  }

  takeCamera(text) {
    this.camera = this.parse(text);
    this.invalidate();
  }

  invalidate() {
    if (this.asked) return;
    this.asked = requestAnimationFrame((now) => {
      this.asked = null;
      this.paint(now);
    });
  }

  paint(now) {
    const [width, height] = [this.host.clientWidth, this.host.clientHeight];
    if (!width || !height || !this.own) return;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.view === "tour" && this.frame && !this.calm.matches) {
      const seconds = this.last === null || this.last === undefined ? 0 : (now - this.last) / 1000;
      this.last = now;
      this.tourAt = (this.tour ??= new Tour(this.names.length - 1)).step(seconds);
    }
    this.pointed = paint(this.context, { width, height }, this.picture(now), this.camera, this.colour);
    this.painted = (this.painted ?? 0) + 1;
    if (this.turning || (this.view === "tour" && this.frame && !this.calm.matches)) this.invalidate();
  }

  picture(now) {
    const seen = this.frame ? this.seenBy(this.frame) : { vertices: this.vertices(null), means: null, weights: null, features: null };
    const shown = this.turn(seen, now);
    const trails = this.frame && !this.turning && this.layers.trails ? [...this.before, this.frame].map((each) => this.path(each)) : [];
    const turns = this.frame?.axes && !this.turning && this.layers.turn ? [...this.before, this.frame].filter((each) => each.axes) : [];
    const many = this.names.length > 30;
    this.drawn = shown;
    return {
      ...shown, labels: this.frame?.labels ?? [], predictions: this.frame?.predictions, trails, worst: this.worst,
      turns: turns.length > 1 ? turns.map((each) => project(turnedCorners(this.corners, each, this.frame), this.matrix(this.frame))) : [],
      names: this.names, colours: this.colours, layers: this.layers,
      // Of four classes all others fall onto the centre, where they only hide each other.
      focus: this.focus.length === 0 && this.view === "tetrahedron" ? this.four : this.focus, emphasis: many ? this.colour("accent") : null,
    };
  }

  /** The means of a frame that a trail runs through; where the view moves, seen as the frame shown is. */
  path(each) {
    const moves = this.view === "tour" || this.view === "pca";
    return moves && !each.seen ? project(each.means, this.matrix(this.frame)) : this.seenBy(each).means;
  }

  turn(seen, now) {
    if (!this.turning) return seen;
    const share = Math.min(1, (now - this.turning.since) / TURN_MS);
    const { from } = this.turning;
    if (share >= 1) this.turning = null;
    const blend = (name) => {
      if (!seen[name] || !from[name] || from[name][0].length !== seen[name][0].length) return seen[name];
      return between(from[name], seen[name], share).map((axis) => Float32Array.from(axis));
    };
    return { vertices: blend("vertices"), means: blend("means"), weights: blend("weights"), features: blend("features") };
  }

  // ── hands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  hands() {
    const { canvas } = this;
    const listen = (type, work, options = {}) => canvas.addEventListener(type, work, { signal: this.abort.signal, ...options });
    const touches = new Map();
    let moved = 0;
    listen("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      touches.set(event.pointerId, [event.clientX, event.clientY]);
      moved = 0;
    });
    listen("pointermove", (event) => {
      const held = touches.get(event.pointerId);
      if (!held) {
        this.point(event);
        return;
      }
      const [dx, dy] = [event.clientX - held[0], event.clientY - held[1]];
      const other = [...touches].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const span = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
        this.setCamera(zoomed(this.camera, span([event.clientX, event.clientY]) / span(held)));
      } else {
        this.setCamera(turned(this.camera, dx * DRAG, dy * DRAG));
      }
      moved += Math.abs(dx) + Math.abs(dy);
      touches.set(event.pointerId, [event.clientX, event.clientY]);
    });
    const lift = (event) => {
      const clicked = touches.delete(event.pointerId) && event.type === "pointerup" && moved < 4;
      if (clicked) this.heard.click?.(this.under(event)?.label ?? null, event.shiftKey || event.ctrlKey || event.metaKey);
    };
    listen("pointerup", lift);
    listen("pointercancel", lift);
    listen("pointerleave", () => this.heard.hover?.(null));
    listen("wheel", (event) => {
      event.preventDefault();
      this.setCamera(zoomed(this.camera, Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0012))));
    }, { passive: false });
    listen("dblclick", () => this.setCamera({ ...HOME }));
    listen("keydown", (event) => {
      const turn = 0.12;
      const keys = {
        ArrowLeft: () => turned(this.camera, -turn, 0), ArrowRight: () => turned(this.camera, turn, 0),
        ArrowUp: () => turned(this.camera, 0, -turn), ArrowDown: () => turned(this.camera, 0, turn),
        "+": () => zoomed(this.camera, 1.15), "=": () => zoomed(this.camera, 1.15), "-": () => zoomed(this.camera, 1 / 1.15),
        0: () => ({ ...HOME }),
      };
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.setCamera(keys[event.key]());
    });
  }

  under(event) {
    const box = this.canvas.getBoundingClientRect();
    return nearest(this.pointed, event.clientX - box.left, event.clientY - box.top, event.pointerType === "touch" ? 24 : undefined);
  }

  point(event) {
    const found = this.under(event);
    this.canvas.style.cursor = found ? "pointer" : "grab";
    this.heard.hover?.(found);
  }
}

const UNIT = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
