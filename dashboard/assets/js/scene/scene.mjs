// The interactive 3D scene of a run: what is shown, camera, view and input. canvas-renderer.mjs draws it.

import { arrayFromRows, project } from "../core/arrays.mjs";
import { DEFAULT_CAMERA, DEFAULT_LAYERS, LAYERS, LIMITS } from "../core/constants.mjs";
import { createElement } from "../core/dom.mjs";
import { bindInput, formatCamera, parseCamera } from "./camera.mjs";
import { renderScene } from "./canvas-renderer.mjs";
import { hitTest } from "./marks.mjs";
import { GrandTour, interpolate, pcaView, rotatedVertices, tetrahedronView, vertexRotationDegrees } from "./views.mjs";

const VIEW_TRANSITION_MS = 450;
const TOUCH_HIT_RADIUS_PX = 24;
const IDENTITY = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];

/** A canvas that shows one frame of a run at a time. */
export class Scene {
  /**
   * @param {HTMLElement} host the element that the canvas fills
   * @param {{colours: string[], css: (name: string) => string,
   *          callbacks?: {onHover?: (mark: object | null) => void, onClick?: (label: number | null, extend: boolean) => void,
   *                       onCameraMove?: () => void}}} options one colour for each class, and the CSS variables
   */
  constructor(host, { colours, css, callbacks = {} }) {
    Object.assign(this, { host, colours, css, callbacks });
    this.canvas = createElement("canvas", { tabIndex: 0, role: "img", "aria-label": "Class means and the nearest ETF" });
    host.prepend(this.canvas);
    this.context = this.canvas.getContext("2d");
    this.camera = { ...DEFAULT_CAMERA };
    this.layers = Object.fromEntries(LAYERS.map(({ id }) => [id, DEFAULT_LAYERS.includes(id)]));
    this.highlighted = [];
    this.names = [];
    this.frame = null;
    this.trail = [];
    this.closestPair = [];
    this.marks = [];
    this.view = "spherical";
    this.tetrahedronClasses = [0, 1, 2, 3];
    this.paintCount = 0;
    this.abort = new AbortController();
    this.resizeObserver = new ResizeObserver(() => this.invalidate());
    this.resizeObserver.observe(host);
    this.reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");
    bindInput(this, this.abort.signal);
    this.updateColours();
  }

  close() {
    this.abort.abort();
    this.resizeObserver.disconnect();
    cancelAnimationFrame(this.animation);
  }

  /** Take what never changes during a run: class names, the run's own view, and the ETF's vertices. */
  begin(started) {
    this.names = started.class_names;
    this.defaultMatrix = started.view_matrix;
    this.vertices = arrayFromRows(started.vertices);
    this.invalidate();
  }

  /** Read the theme's colours again. They are cached, because reading CSS variables is slow. */
  updateColours() {
    const cache = new Map();
    this.colour = (name) => {
      if (!cache.has(name)) cache.set(name, this.css(name));
      return cache.get(name);
    };
    this.invalidate();
  }

  /** Whether coordinates are sent in three dimensions, so that the server projects them to other views. */
  get isProjectedByServer() {
    return this.names.length > LIMITS.frame_classes;
  }

  get isTouring() {
    return this.view === "tour" && this.frame !== null && !this.reducedMotion.matches;
  }

  // ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Show a frame, with trajectories through the frames of `trail`; `closestPair` has the smallest angle. */
  show(frame, trail, closestPair = []) {
    Object.assign(this, { frame, trail, closestPair });
    this.invalidate();
  }

  setLayer(layer, isOn) {
    this.layers[layer] = isOn;
    this.invalidate();
  }

  /** Highlight classes and dim all others; an empty list shows all alike. */
  highlight(labels) {
    if (labels.join() === this.highlighted.join()) return;
    this.highlighted = labels;
    this.invalidate();
  }

  /** Change the view; the picture moves from the old one to the new one. */
  setView(view, tetrahedronClasses = this.tetrahedronClasses) {
    if (view === this.view && tetrahedronClasses.join() === this.tetrahedronClasses.join()) return;
    const from = this.frame && this.projectFrame(this.frame);
    Object.assign(this, { view, tetrahedronClasses });
    const isAnimated = from && !this.isProjectedByServer && !this.reducedMotion.matches;
    this.transition = isAnimated ? { from, sinceMs: performance.now() } : null;
    this.tourMatrix = null;
    this.lastPaintMs = null;
    this.invalidate();
  }

  setCamera(camera) {
    this.camera = camera;
    this.invalidate();
    this.callbacks.onCameraMove?.();
  }

  /** Set the camera from text without a callback; text that is no camera gives the default one. */
  restoreCamera(text) {
    this.camera = parseCamera(text) ?? { ...DEFAULT_CAMERA };
    this.invalidate();
  }

  get cameraText() {
    return formatCamera(this.camera);
  }

  get hasDefaultCamera() {
    return this.cameraText === formatCamera(DEFAULT_CAMERA);
  }

  /** The rotation of a vertex since the previous capture in degrees; null unless both frames are here. */
  rotationSincePrevious(label) {
    const previous = this.trail.at(-1);
    return this.frame?.etfFrame && previous?.etfFrame ? vertexRotationDegrees(this.vertices, previous, this.frame, label) : null;
  }

  // ── projection ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The matrix (K−1, 3) of the view for a frame; null where the server has projected it. */
  viewMatrix(frame) {
    if (frame?.serverView) return null;
    if (this.view === "tetrahedron") return tetrahedronView(this.names.length, this.tetrahedronClasses);
    if (this.view === "pca" && frame?.pca) return pcaView(frame.pca, this.names.length);
    if (this.view === "tour") return this.tourMatrix ?? this.advanceTour(0);
    return this.defaultMatrix;
  }

  advanceTour(seconds) {
    this.tour ??= new GrandTour(this.names.length - 1);
    this.tourMatrix = this.tour.step(seconds);
    return this.tourMatrix;
  }

  /** Project a frame's vertices, means, weights and features to [x, y, z] each. */
  projectFrame(frame) {
    const isCached = this.view !== "tour";
    const key = this.view === "tetrahedron" ? `tetrahedron ${this.tetrahedronClasses}` : this.view;
    if (isCached && frame.projections.has(key)) return frame.projections.get(key);
    const matrix = this.viewMatrix(frame) ?? IDENTITY;
    const projection = {
      vertices: this.projectVertices(frame), means: project(frame.means, matrix), weights: project(frame.weights, matrix), features: project(frame.features, matrix),
    };
    if (isCached) {
      frame.projections.clear(); // only of one view: a long run has many frames
      frame.projections.set(key, projection);
    }
    return projection;
  }

  projectVertices(frame) {
    return frame?.serverView ? frame.serverView.vertices : project(this.vertices, this.viewMatrix(frame));
  }

  /** The class means of an earlier frame for the trajectories; in a view that moves, as the frame shown is projected. */
  projectTrail(frame) {
    const isMoving = this.view === "tour" || this.view === "pca";
    return isMoving && !frame.serverView ? project(frame.means, this.viewMatrix(this.frame)) : this.projectFrame(frame).means;
  }

  /** The projection during a transition between two views. */
  applyTransition(projection, nowMs) {
    if (!this.transition) return projection;
    const share = Math.min(1, (nowMs - this.transition.sinceMs) / VIEW_TRANSITION_MS);
    const { from } = this.transition;
    if (share >= 1) this.transition = null;
    const blend = (name) => {
      if (!projection[name] || !from[name] || from[name][0].length !== projection[name][0].length) return projection[name];
      return interpolate(from[name], projection[name], share).map((axis) => Float32Array.from(axis));
    };
    return { vertices: blend("vertices"), means: blend("means"), weights: blend("weights"), features: blend("features") };
  }

  // ── painting ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ask for a repaint in the next animation frame. */
  invalidate() {
    if (this.animation) return;
    this.animation = requestAnimationFrame((nowMs) => {
      this.animation = null;
      this.paint(nowMs);
    });
  }

  paint(nowMs) {
    const [width, height] = [this.host.clientWidth, this.host.clientHeight];
    if (!width || !height || !this.defaultMatrix) return;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.isTouring) {
      const seconds = this.lastPaintMs === null || this.lastPaintMs === undefined ? 0 : (nowMs - this.lastPaintMs) / 1000;
      this.lastPaintMs = nowMs;
      this.advanceTour(seconds);
    }
    this.marks = renderScene(this.context, { width, height }, this.picture(nowMs), this.camera, this.colour);
    this.paintCount += 1;
    if (this.transition || this.isTouring) this.invalidate();
  }

  /** Everything that the renderer draws now. */
  picture(nowMs) {
    const { frame, trail, layers, names } = this;
    const projection = frame ? this.projectFrame(frame) : { vertices: this.projectVertices(null), means: null, weights: null, features: null };
    this.projection = this.applyTransition(projection, nowMs);
    const path = frame && !this.transition ? [...trail, frame] : [];
    const rotation = layers.turn && frame?.etfFrame ? path.filter((each) => each.etfFrame) : [];
    const isHighlighting = this.highlighted.length > 0;
    return {
      ...this.projection, labels: frame?.labels ?? [], predictions: frame?.predictions, names, colours: this.colours, layers,
      trajectories: layers.trails ? path.map((each) => this.projectTrail(each)) : [],
      rotations: rotation.length > 1 ? rotation.map((each) => project(rotatedVertices(this.vertices, each, frame), this.viewMatrix(frame))) : [],
      closestPair: this.closestPair,
      // In the view of four classes all others lie at the centre and would only hide each other.
      highlighted: !isHighlighting && this.view === "tetrahedron" ? this.tetrahedronClasses : this.highlighted,
      highlightColour: names.length > LIMITS.named_classes ? this.colour("accent") : null,
    };
  }

  /** The mark under the pointer, or null. */
  markAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const radius = event.pointerType === "touch" ? TOUCH_HIT_RADIUS_PX : undefined;
    return hitTest(this.marks, event.clientX - box.left, event.clientY - box.top, radius);
  }
}
