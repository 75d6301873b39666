// Draws a scene on a 2D canvas: the nearest ETF's vertices as rings on spokes, class means as dots, classifier weights as
// diamonds, samples, trajectories. The projection is orthographic: some products and some hundred marks, no WebGL.

import { LIMITS } from "../core/constants.mjs";
import { projectToScreen } from "./camera.mjs";
import { blobStamp, dotStamp, DRAW_MARK, markScale, placeLabels } from "./marks.mjs";

const UNIT_SHARE = 0.345; // of the canvas's smaller side is one unit of coordinates at zoom 1
const DIMMED_OPACITY = 0.1;
const MEAN_IN_FRONT = 0.02; // added to a mean's depth, so that it is drawn over its ring
const SAMPLE = { sizePx: 3, opacity: 0.42 };
const DENSITY = { blobRadiusPx: 15, blobOpacity: 0.1, meanRadiusPx: 1.3, meanOpacity: 0.6 };
const CROSS_RADIUS_PX = 3.5;
const TRAJECTORY_SEGMENT = 3; // captures of a trajectory that share one opacity
const TEXT = { charWidth: 6.3, lineHeight: 13 };

const CIRCLE_STEPS = 64;
const ANGLES = Float32Array.from({ length: CIRCLE_STEPS + 1 }, (_, i) => (2 * Math.PI * i) / CIRCLE_STEPS);
const [COS, SIN, ZERO] = [ANGLES.map(Math.cos), ANGLES.map(Math.sin), new Float32Array(CIRCLE_STEPS + 1)];
const GUIDE_CIRCLES = [[COS, SIN, ZERO], [ZERO, COS, SIN], [SIN, ZERO, COS]];

/** The transformation from coordinates to pixels: the centre, and the pixels of one unit. */
export function canvasTransform(width, height, zoom) {
  return { cx: width / 2, cy: height / 2, scale: UNIT_SHARE * Math.min(width, height) * zoom };
}

/** Project points to the canvas: x, y (downwards) in pixels, and depth. */
function toCanvas(points, camera, { cx, cy, scale }) {
  const projected = projectToScreen(points, camera);
  for (let i = 0; i < projected.x.length; i += 1) {
    projected.x[i] = cx + scale * projected.x[i];
    projected.y[i] = cy - scale * projected.y[i];
  }
  return projected;
}

const isHighlighted = (highlighted, label) => highlighted.length === 0 || highlighted.includes(label);

/**
 * Draw a picture and return the marks that can be hovered: [{kind, index, label, x, y, wrong?}], samples last.
 *
 * `picture` has vertices, means, weights, features as [x, y, z] (each may be null); `labels` and `predictions` of the
 * features; `trajectories`, a list of means; `rotations`, a list of vertices; `names` and `colours` of the classes; `layers`
 * by name; `highlighted` labels; `highlightColour`, where classes have no colours of their own; and `closestPair`, which
 * is marked where classes are too many to be named.
 */
export function renderScene(context, { width, height }, picture, camera, css) {
  const drawing = prepareDrawing(context, { width, height }, picture, camera, css);
  context.clearRect(0, 0, width, height);
  context.lineJoin = context.lineCap = "round";
  drawGuides(drawing);
  if (drawing.isDense) drawDensity(drawing);
  else {
    drawSpokes(drawing);
    drawSamples(drawing);
  }
  drawTrajectories(drawing);
  drawRotations(drawing);
  drawArrows(drawing);
  const marks = [...marksInDensity(drawing), ...drawMarks(drawing)];
  drawMisclassified(drawing);
  context.globalAlpha = 1;
  drawNames(drawing);
  return [...marks.reverse(), ...sampleMarks(drawing)];
}

/** Everything that the drawing functions share. */
function prepareDrawing(context, size, picture, camera, css) {
  const transform = canvasTransform(size.width, size.height, camera.zoom);
  const toPixels = (points) => points && toCanvas(points, camera, transform);
  const { names, colours, layers, highlighted, labels, predictions } = picture;
  const isNamed = names.length <= LIMITS.named_classes;
  const closestPair = !isNamed && highlighted.length === 0 ? (picture.closestPair ?? []) : [];
  return {
    context, picture, camera, css, transform, toPixels, isNamed, closestPair,
    isDense: names.length > LIMITS.frame_classes,
    scale: markScale(names.length),
    vertices: toPixels(picture.vertices), means: toPixels(picture.means),
    weights: layers.classifier ? toPixels(picture.weights) : null, features: layers.features ? toPixels(picture.features) : null,
    colour: (label) => {
      if (closestPair.includes(label)) return css("bad");
      return picture.highlightColour && highlighted.includes(label) ? picture.highlightColour : colours[label];
    },
    opacity: (label) => (isHighlighted(highlighted, label) ? 1 : DIMMED_OPACITY),
    isSingledOut: (label) => highlighted.includes(label) || closestPair.includes(label),
    isWrong: (i) => Boolean(layers.mistakes && predictions && predictions[i] !== labels[i]),
  };
}

function tracePath(context, points) {
  context.moveTo(points.x[0], points.y[0]);
  for (let i = 1; i < points.x.length; i += 1) context.lineTo(points.x[i], points.y[i]);
}

function drawGuides({ context, camera, transform, css }) {
  context.globalAlpha = 1;
  context.strokeStyle = css("guide");
  context.lineWidth = 1;
  context.beginPath();
  for (const circle of GUIDE_CIRCLES) tracePath(context, toCanvas(circle, camera, transform));
  context.stroke();
}

function drawSpokes({ context, vertices, transform, css, opacity, isNamed }) {
  if (!vertices) return;
  context.strokeStyle = css("spoke");
  context.lineWidth = isNamed ? 1.6 : 0.7;
  for (let i = 0; i < vertices.x.length; i += 1) {
    context.globalAlpha = opacity(i);
    context.beginPath();
    context.moveTo(transform.cx, transform.cy);
    context.lineTo(vertices.x[i], vertices.y[i]);
    context.stroke();
  }
}

function drawSamples({ context, features, picture: { labels }, colour, opacity }) {
  if (!features) return;
  const indicesByLabel = new Map(); // one stamp for each class
  for (let i = 0; i < labels.length; i += 1) {
    if (!indicesByLabel.has(labels[i])) indicesByLabel.set(labels[i], []);
    indicesByLabel.get(labels[i]).push(i);
  }
  const ratio = context.getTransform().a;
  for (const [label, indices] of indicesByLabel) {
    context.globalAlpha = SAMPLE.opacity * opacity(label);
    const stamp = dotStamp(colour(label), SAMPLE.sizePx / 2, ratio);
    const side = stamp.width / ratio;
    for (const i of indices) context.drawImage(stamp, features.x[i] - side / 2, features.y[i] - side / 2, side, side);
  }
}

/** Where marks are too many to be told apart: samples as blobs that add up, class means as small dots. */
function drawDensity({ context, features, means, css }) {
  const ratio = context.getTransform().a;
  const layers = [
    [features, blobStamp(css("accent"), DENSITY.blobRadiusPx, ratio), DENSITY.blobOpacity],
    [means, dotStamp(css("ink-2"), DENSITY.meanRadiusPx, ratio), DENSITY.meanOpacity],
  ];
  for (const [points, stamp, opacity] of layers) {
    const side = stamp.width / ratio;
    context.globalAlpha = opacity;
    for (let i = 0; points && i < points.x.length; i += 1) context.drawImage(stamp, points.x[i] - side / 2, points.y[i] - side / 2, side, side);
  }
  context.globalAlpha = 1;
}

function drawTrajectories({ context, picture: { layers, trajectories }, toPixels, colour, opacity, scale }) {
  if (!layers.trails || trajectories.length < 2) return;
  const frames = trajectories.map(toPixels);
  context.lineWidth = 1.6 * Math.max(0.5, scale);
  for (let label = 0; label < frames[0].x.length; label += 1) {
    context.strokeStyle = colour(label);
    // Older segments are fainter; segments shorter than a pixel are left out.
    for (let from = 0; from < frames.length - 1; from += TRAJECTORY_SEGMENT) {
      const segment = frames.slice(from, from + TRAJECTORY_SEGMENT + 1).map(({ x, y }) => [x[label], y[label]]);
      const length = segment.slice(1).reduce((sum, [x, y], i) => sum + Math.hypot(x - segment[i][0], y - segment[i][1]), 0);
      if (length < 1) continue;
      context.globalAlpha = opacity(label) * (0.15 + (0.6 * Math.min(frames.length, from + TRAJECTORY_SEGMENT)) / frames.length);
      context.beginPath();
      context.moveTo(...segment[0]);
      for (const point of segment.slice(1)) context.lineTo(...point);
      context.stroke();
    }
  }
}

/** Dashed lines from where the vertices were in the captures before. */
function drawRotations({ context, picture: { rotations }, toPixels, colour, opacity }) {
  if (!(rotations?.length > 1)) return;
  const frames = rotations.map(toPixels);
  context.lineWidth = 1.4;
  context.setLineDash([2, 4]);
  for (let label = 0; label < frames[0].x.length; label += 1) {
    context.globalAlpha = 0.8 * opacity(label);
    context.strokeStyle = colour(label);
    context.beginPath();
    context.moveTo(frames[0].x[label], frames[0].y[label]);
    for (const { x, y } of frames.slice(1)) context.lineTo(x[label], y[label]);
    context.stroke();
  }
  context.setLineDash([]);
}

/** Arrows from each class mean to its vertex. */
function drawArrows({ context, picture: { layers }, means, vertices, colour, opacity, scale }) {
  if (!layers.arrows || !means || !vertices) return;
  context.lineWidth = 1.2;
  for (let i = 0; i < means.x.length; i += 1) {
    const [dx, dy] = [vertices.x[i] - means.x[i], vertices.y[i] - means.y[i]];
    const length = Math.hypot(dx, dy);
    if (length < 3) continue;
    const head = Math.min(7 * scale, length / 2);
    const [ux, uy] = [dx / length, dy / length];
    context.globalAlpha = 0.9 * opacity(i);
    context.strokeStyle = colour(i);
    context.beginPath();
    context.moveTo(means.x[i], means.y[i]);
    context.lineTo(vertices.x[i], vertices.y[i]);
    context.moveTo(vertices.x[i] - head * (ux - 0.5 * uy), vertices.y[i] - head * (uy + 0.5 * ux));
    context.lineTo(vertices.x[i], vertices.y[i]);
    context.lineTo(vertices.x[i] - head * (ux + 0.5 * uy), vertices.y[i] - head * (uy - 0.5 * ux));
    context.stroke();
  }
}

/** Class means that are part of a density: not drawn as marks, but found by the pointer. */
function marksInDensity({ isDense, isSingledOut, means }) {
  const marks = [];
  for (let i = 0; isDense && means && i < means.x.length; i += 1) {
    if (!isSingledOut(i)) marks.push({ kind: "means", index: i, label: i, x: means.x[i], y: means.y[i] });
  }
  return marks;
}

/** Draw vertices, weights and means, the nearest to the eye last, and return them in that order. */
function drawMarks(drawing) {
  const { context, css, isDense, isNamed, isSingledOut, scale, colour, opacity, picture: { highlighted } } = drawing;
  const order = [];
  for (const kind of ["vertices", "weights", "means"]) {
    const points = drawing[kind];
    for (let i = 0; points && i < points.x.length; i += 1) {
      if (!isDense || isSingledOut(i)) order.push({ kind, i, depth: points.depth[i] + (kind === "means" ? MEAN_IN_FRONT : 0) });
    }
  }
  order.sort((a, b) => a.depth - b.depth);
  return order.map(({ kind, i, depth }) => {
    const [x, y] = [drawing[kind].x[i], drawing[kind].y[i]];
    const size = scale * (1 + 0.1 * Math.max(-1, Math.min(1, depth))) * (highlighted.includes(i) ? 1.15 : 1);
    context.globalAlpha = opacity(i) * (!isNamed && !isSingledOut(i) ? 0.55 : 1);
    DRAW_MARK[kind](context, x, y, size, colour(i), css);
    return { kind, index: i, label: i, x, y };
  });
}

/** Crosses on misclassified samples, in the colour of the predicted class. */
function drawMisclassified({ context, features, picture: { labels, predictions, layers, highlighted }, isWrong, colour, css }) {
  if (!layers.mistakes || !features) return;
  for (let i = 0; i < features.x.length; i += 1) {
    if (!isWrong(i)) continue;
    const [x, y] = [features.x[i], features.y[i]];
    context.globalAlpha = isHighlighted(highlighted, labels[i]) || isHighlighted(highlighted, predictions[i]) ? 1 : DIMMED_OPACITY;
    for (const [style, width] of [[css("panel"), 4], [colour(predictions[i]), 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x - CROSS_RADIUS_PX, y - CROSS_RADIUS_PX);
      context.lineTo(x + CROSS_RADIUS_PX, y + CROSS_RADIUS_PX);
      context.moveTo(x - CROSS_RADIUS_PX, y + CROSS_RADIUS_PX);
      context.lineTo(x + CROSS_RADIUS_PX, y - CROSS_RADIUS_PX);
      context.stroke();
    }
  }
}

/** Samples that can be hovered: those of highlighted classes, and those predicted as one. */
function sampleMarks({ features, picture: { labels, predictions, highlighted }, isWrong }) {
  const marks = [];
  for (let i = 0; features && i < features.x.length; i += 1) {
    const wrong = isWrong(i);
    if (isHighlighted(highlighted, labels[i]) || (wrong && highlighted.includes(predictions[i]))) {
      marks.push({ kind: "features", index: i, label: labels[i], wrong, x: features.x[i], y: features.y[i] });
    }
  }
  return marks;
}

function drawNames({ context, means, picture: { names, layers, highlighted }, css, scale, isNamed, closestPair }) {
  const named = closestPair.length ? closestPair : highlighted;
  if (!means || !layers.names || (!isNamed && named.length === 0)) return;
  const texts = isNamed ? names : names.map((name, i) => (named.includes(i) ? name : ""));
  const gap = 4 + 7 * scale;
  const positions = placeLabels(means, texts, { ...TEXT, gap }, named);
  context.font = `11px ${css("font") || "'Inter Variable', sans-serif"}`;
  context.textAlign = "center";
  context.textBaseline = "top";
  context.lineWidth = 3;
  for (const [i, position] of positions.entries()) {
    if (position === null || !texts[i]) continue;
    const y = position === "above" ? means.y[i] - gap - TEXT.lineHeight + 1 : means.y[i] + gap;
    context.globalAlpha = isHighlighted(named, i) ? 1 : 0.25;
    // An outline in the panel's colour keeps a name readable over marks.
    context.strokeStyle = css("panel");
    context.strokeText(texts[i], means.x[i], y);
    context.fillStyle = css("ink");
    context.fillText(texts[i], means.x[i], y);
  }
  context.globalAlpha = 1;
}
