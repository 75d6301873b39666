// Draws the scene on a canvas: the nearest ETF as open rings on spokes, class means as dots, the classifier's rows as
// diamonds, features, trails. Orthographic, so a picture is a handful of products and some hundred marks: no WebGL.

import { screen } from "./camera.mjs";
import { place } from "./label-placement.mjs";

const SPREAD = 0.345; // of the canvas's smaller side is one unit of the frame at zoom 1
const NAMES_UP_TO = 30;
const DIM = 0.1;
const DENSE_FROM = 128; // classes above which marks are shown by their density
const CLOUDLET = 15; // pixels of the radius of one sample in a density
const FINE = 1.3; // pixels of the radius of a class mean among so many
const CROSS = 3.5; // pixels from a cross's middle to its ends
const FADE = 3; // captures of a trail that share one opacity
const FEATURE = { size: 3, opacity: 0.42 };
export const WITHIN = 13; // pixels from a mark at which it counts as pointed at

const STEPS = 64;
const TURN = Float32Array.from({ length: STEPS + 1 }, (_, i) => (2 * Math.PI * i) / STEPS);
const [COS, SIN, ZERO] = [TURN.map(Math.cos), TURN.map(Math.sin), new Float32Array(STEPS + 1)];
const CIRCLES = [[COS, SIN, ZERO], [ZERO, COS, SIN], [SIN, ZERO, COS]];

/** How large marks are: smaller where there are many. */
export function markScale(classes) {
  return classes <= 30 ? 1 : classes <= 128 ? 0.55 : 0.32;
}

/** From the frame's units to pixels of the canvas: the centre and the pixels of one unit. */
export function layout(width, height, zoom) {
  return { cx: width / 2, cy: height / 2, scale: SPREAD * Math.min(width, height) * zoom };
}

/** Points of the frame as {x, y, depth} on the canvas, y downwards. */
export function onCanvas(points, camera, { cx, cy, scale }) {
  const found = screen(points, camera);
  for (let i = 0; i < found.x.length; i += 1) {
    found.x[i] = cx + scale * found.x[i];
    found.y[i] = cy - scale * found.y[i];
  }
  return found;
}

/** Whether a class stands out: where nothing is pointed at or pinned, all do. */
export const standsOut = (focus, label) => focus.length === 0 || focus.includes(label);

/**
 * Draw a picture and return the marks that can be pointed at: [{kind, index, label, x, y}], features last.
 *
 * `picture` has vertices, means, weights, features as [x, y, z] (each may be null), labels of the features, trails as a
 * list of means, `turns` as a list of vertices, names, colours (a class each), layers by name, `focus` (labels
 * that stand out), `emphasis` (a colour for them where classes have no colours of their own) and `worst` (the pair with
 * the smallest angle, which is marked where classes are too many to be named).
 */
export function paint(context, size, picture, camera, css) {
  const { width, height } = size;
  const view = layout(width, height, camera.zoom);
  const at = (points) => points && onCanvas(points, camera, view);
  const { names, colours, layers, focus } = picture;
  const marks = markScale(names.length);
  const seen = {
    vertices: at(picture.vertices), means: at(picture.means),
    weights: layers.classifier ? at(picture.weights) : null, features: layers.features ? at(picture.features) : null,
  };
  const many = names.length > NAMES_UP_TO;
  const worst = many && focus.length === 0 ? (picture.worst ?? []) : [];
  const colour = (label) => {
    if (worst.includes(label)) return css("bad");
    return picture.emphasis && focus.includes(label) ? picture.emphasis : colours[label];
  };
  const alpha = (label) => (standsOut(focus, label) ? 1 : DIM);
  context.clearRect(0, 0, width, height);
  context.lineJoin = context.lineCap = "round";
  guides(context, camera, view, css);
  const pointed = [];
  const dense = names.length > DENSE_FROM;
  if (seen.vertices && !dense) spokes(context, seen.vertices, view, css, (i) => alpha(i), names.length);
  if (dense) density(context, seen.features, seen.means, css);
  else if (seen.features) cloud(context, seen.features, picture.labels, colour, alpha);
  if (layers.trails && picture.trails.length > 1) {
    trails(context, picture.trails.map(at), colour, alpha, marks);
  }
  if (picture.turns?.length > 1) turns(context, picture.turns.map(at), colour, alpha);
  if (layers.arrows && seen.means && seen.vertices) arrows(context, seen.means, seen.vertices, colour, alpha, marks);
  // Among too many few are drawn by themselves, and each can still be pointed at.
  const alone = (i) => !dense || focus.includes(i) || worst.includes(i);
  for (let i = 0; seen.means && i < seen.means.x.length; i += 1) {
    if (!alone(i)) pointed.push({ kind: "means", index: i, label: i, x: seen.means.x[i], y: seen.means.y[i] });
  }
  // What is nearer to the eye is drawn later.
  const order = [];
  for (const [kind, points] of Object.entries({ vertices: seen.vertices, weights: seen.weights, means: seen.means })) {
    for (let i = 0; points && i < points.x.length; i += 1) if (alone(i)) order.push([kind, i, points.depth[i] + (kind === "means" ? 0.02 : 0)]);
  }
  order.sort((a, b) => a[2] - b[2]);
  for (const [kind, i, depth] of order) {
    const [x, y] = [seen[kind].x[i], seen[kind].y[i]];
    const grown = marks * (1 + 0.1 * Math.max(-1, Math.min(1, depth))) * (focus.includes(i) ? 1.15 : 1);
    context.globalAlpha = alpha(i) * (many && !focus.includes(i) && !worst.includes(i) ? 0.55 : 1);
    mark[kind](context, x, y, grown, colour(i), css);
    pointed.push({ kind, index: i, label: i, x, y });
  }
  const wrong = (i) => layers.mistakes && picture.predictions && picture.predictions[i] !== picture.labels[i];
  if (layers.mistakes && seen.features) mistakes(context, seen.features, picture, wrong, colour, css);
  context.globalAlpha = 1;
  if (seen.means) write(context, seen.means, { ...picture, focus: worst.length ? worst : focus }, css, marks);
  pointed.reverse();
  for (let i = 0; seen.features && i < seen.features.x.length; i += 1) {
    if (standsOut(focus, picture.labels[i]) || (wrong(i) && focus.includes(picture.predictions[i]))) {
      pointed.push({ kind: "features", index: i, label: picture.labels[i], wrong: wrong(i), x: seen.features.x[i], y: seen.features.y[i] });
    }
  }
  return pointed;
}

/** The mark nearest to a place on the canvas, a large one before a feature, or null. */
export function nearest(pointed, x, y, within = WITHIN) {
  let best = null;
  let least = within;
  for (const each of pointed) {
    const far = Math.hypot(each.x - x, each.y - y) + (each.kind === "features" && !each.wrong ? 4 : 0);
    if (far < least) [best, least] = [each, far];
  }
  return best;
}

function line(context, points, from = 0, to = points.x.length) {
  context.moveTo(points.x[from], points.y[from]);
  for (let i = from + 1; i < to; i += 1) context.lineTo(points.x[i], points.y[i]);
}

function guides(context, camera, view, css) {
  context.globalAlpha = 1;
  context.strokeStyle = css("guide");
  context.lineWidth = 1;
  context.beginPath();
  for (const circle of CIRCLES) line(context, onCanvas(circle, camera, view));
  context.stroke();
}

function spokes(context, vertices, { cx, cy }, css, alpha, classes) {
  context.strokeStyle = css("spoke");
  context.lineWidth = classes > NAMES_UP_TO ? 0.7 : 1.6;
  for (let i = 0; i < vertices.x.length; i += 1) {
    context.globalAlpha = alpha(i);
    context.beginPath();
    context.moveTo(cx, cy);
    context.lineTo(vertices.x[i], vertices.y[i]);
    context.stroke();
  }
}

function cloud(context, features, labels, colour, alpha) {
  // One fill style a class: changing it is what costs.
  const byLabel = new Map();
  for (let i = 0; i < labels.length; i += 1) {
    if (!byLabel.has(labels[i])) byLabel.set(labels[i], []);
    byLabel.get(labels[i]).push(i);
  }
  const half = FEATURE.size / 2;
  const ratio = context.getTransform().a;
  for (const [label, members] of byLabel) {
    context.globalAlpha = FEATURE.opacity * alpha(label);
    const stamp = dot(colour(label), half, ratio);
    const side = stamp.width / ratio;
    for (const i of members) context.drawImage(stamp, features.x[i] - side / 2, features.y[i] - side / 2, side, side);
  }
}

const stamps = new Map();

/** A dot drawn once and stamped often: hundreds of small arcs a frame are what a software renderer is slowest at. */
function dot(colour, radius, ratio) {
  return stamped(`${colour} ${radius} ${ratio}`, 2 * Math.ceil(radius * ratio + 1), (pen, middle) => {
    pen.fillStyle = colour;
    pen.arc(middle, middle, radius * ratio, 0, 2 * Math.PI);
    pen.fill();
  });
}

/** A square canvas that `draw(pen, middle)` fills the first time it is asked for. */
function stamped(key, side, draw) {
  if (!stamps.has(key)) {
    if (stamps.size > 500) stamps.clear();
    const stamp = new OffscreenCanvas(side, side);
    draw(stamp.getContext("2d"), side / 2);
    stamps.set(key, stamp);
  }
  return stamps.get(key);
}

function trails(context, frames, colour, alpha, marks) {
  const classes = frames[0].x.length;
  context.lineWidth = 1.6 * Math.max(0.5, marks);
  for (let label = 0; label < classes; label += 1) {
    context.strokeStyle = colour(label);
    // Older pieces fade, in a few steps; what has hardly moved is not seen.
    for (let from = 0; from < frames.length - 1; from += FADE) {
      const piece = frames.slice(from, from + FADE + 1).map(({ x, y }) => [x[label], y[label]]);
      const length = piece.slice(1).reduce((sum, [x, y], i) => sum + Math.hypot(x - piece[i][0], y - piece[i][1]), 0);
      if (length < 1) continue;
      context.globalAlpha = alpha(label) * (0.15 + (0.6 * Math.min(frames.length, from + FADE)) / frames.length);
      context.beginPath();
      context.moveTo(...piece[0]);
      for (const place of piece.slice(1)) context.lineTo(...place);
      context.stroke();
    }
  }
}

/** Crosses on the samples that are classified as another class, in that class's colour. */
function mistakes(context, features, { labels, predictions, focus }, wrong, colour, css) {
  for (let i = 0; i < features.x.length; i += 1) {
    if (!wrong(i)) continue;
    const [x, y] = [features.x[i], features.y[i]];
    context.globalAlpha = standsOut(focus, labels[i]) || standsOut(focus, predictions[i]) ? 1 : DIM;
    for (const [style, width] of [[css("panel"), 4], [colour(predictions[i]), 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x - CROSS, y - CROSS);
      context.lineTo(x + CROSS, y + CROSS);
      context.moveTo(x - CROSS, y + CROSS);
      context.lineTo(x + CROSS, y - CROSS);
      context.stroke();
    }
  }
}

/** Dashed lines to the vertices from where they were in the captures before. */
function turns(context, frames, colour, alpha) {
  context.lineWidth = 1.4;
  context.setLineDash([2, 4]);
  for (let label = 0; label < frames[0].x.length; label += 1) {
    context.globalAlpha = 0.8 * alpha(label);
    context.strokeStyle = colour(label);
    context.beginPath();
    context.moveTo(frames[0].x[label], frames[0].y[label]);
    for (const { x, y } of frames.slice(1)) context.lineTo(x[label], y[label]);
    context.stroke();
  }
  context.setLineDash([]);
}

/** Where marks are too many to be told apart: features as soft clouds that add up, class means as fine dots. */
function density(context, features, means, css) {
  const ratio = context.getTransform().a;
  for (const [points, stamp, opacity] of [[features, cloudlet(css("accent"), ratio), 0.1], [means, dot(css("ink-2"), FINE, ratio), 0.6]]) {
    const side = stamp.width / ratio;
    context.globalAlpha = opacity;
    for (let i = 0; points && i < points.x.length; i += 1) context.drawImage(stamp, points.x[i] - side / 2, points.y[i] - side / 2, side, side);
  }
  context.globalAlpha = 1;
}

/** A blot that fades towards its rim, drawn once. */
function cloudlet(colour, ratio) {
  return stamped(`cloudlet ${colour} ${ratio}`, 2 * Math.ceil(CLOUDLET * ratio), (pen, middle) => {
    const fade = pen.createRadialGradient(middle, middle, 0, middle, middle, middle);
    fade.addColorStop(0, colour);
    fade.addColorStop(1, `color-mix(in srgb, ${colour}, transparent 100%)`);
    pen.fillStyle = fade;
    pen.fillRect(0, 0, 2 * middle, 2 * middle);
  });
}

function arrows(context, from, to, colour, alpha, marks) {
  context.lineWidth = 1.2;
  for (let i = 0; i < from.x.length; i += 1) {
    const [dx, dy] = [to.x[i] - from.x[i], to.y[i] - from.y[i]];
    const length = Math.hypot(dx, dy);
    if (length < 3) continue;
    const head = Math.min(7 * marks, length / 2);
    const [ux, uy] = [dx / length, dy / length];
    context.globalAlpha = 0.9 * alpha(i);
    context.strokeStyle = colour(i);
    context.beginPath();
    context.moveTo(from.x[i], from.y[i]);
    context.lineTo(to.x[i], to.y[i]);
    context.moveTo(to.x[i] - head * (ux - 0.5 * uy), to.y[i] - head * (uy + 0.5 * ux));
    context.lineTo(to.x[i], to.y[i]);
    context.lineTo(to.x[i] - head * (ux + 0.5 * uy), to.y[i] - head * (uy - 0.5 * ux));
    context.stroke();
  }
}

const mark = {
  vertices(context, x, y, grown, colour) {
    context.strokeStyle = colour;
    context.lineWidth = Math.max(0.8, 1.6 * grown);
    context.beginPath();
    context.arc(x, y, 9 * grown, 0, 2 * Math.PI);
    context.stroke();
  },
  weights(context, x, y, grown, colour, css) {
    const half = 6.2 * grown;
    context.fillStyle = colour;
    context.strokeStyle = css("panel");
    context.lineWidth = grown;
    context.beginPath();
    context.moveTo(x, y - half);
    context.lineTo(x + half, y);
    context.lineTo(x, y + half);
    context.lineTo(x - half, y);
    context.closePath();
    context.fill();
    context.stroke();
  },
  means(context, x, y, grown, colour, css) {
    context.fillStyle = colour;
    context.strokeStyle = css("panel");
    context.lineWidth = 1.2 * grown;
    context.beginPath();
    context.arc(x, y, 6.6 * grown, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  },
};

const TEXT = { charWidth: 6.3, lineHeight: 13, gap: 10 };

function write(context, means, { names, layers, focus }, css, marks) {
  const few = names.length <= NAMES_UP_TO;
  if (!layers.names || (!few && focus.length === 0)) return;
  const wanted = few ? names : names.map((name, i) => (focus.includes(i) ? name : ""));
  const placed = place(means, wanted, { ...TEXT, gap: 4 + 7 * marks }, focus);
  context.font = `11px ${css("font") || "'Inter Variable', sans-serif"}`;
  context.textAlign = "center";
  context.textBaseline = "top";
  context.lineWidth = 3;
  for (const [i, position] of placed.entries()) {
    if (position === null || !wanted[i]) continue;
    const y = position === "above" ? means.y[i] - (4 + 7 * marks) - TEXT.lineHeight + 1 : means.y[i] + 4 + 7 * marks;
    context.globalAlpha = standsOut(focus, i) ? 1 : 0.25;
    // A rim in the panel's colour keeps a name readable over marks.
    context.strokeStyle = css("panel");
    context.strokeText(wanted[i], means.x[i], y);
    context.fillStyle = css("ink");
    context.fillText(wanted[i], means.x[i], y);
  }
  context.globalAlpha = 1;
}
