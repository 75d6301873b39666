// Marks of the scene: their size and shapes, which of them the pointer is on, stamps that are drawn once and then copied,
// and the placement of labels.

import { LIMITS } from "../core/constants.mjs";

const HIT_RADIUS_PX = 13;
const SAMPLE_HIT_HANDICAP_PX = 4; // a large mark is preferred to a sample beside it
const MAX_STAMPS = 500;
const stamps = new Map();

/** The size of marks relative to ten classes: smaller where there are many. */
export function markScale(classCount) {
  return classCount <= LIMITS.named_classes ? 1 : classCount <= LIMITS.frame_classes ? 0.55 : 0.32;
}

/** Return the mark nearest to a place on the canvas within a radius, or null. */
export function hitTest(marks, x, y, radiusPx = HIT_RADIUS_PX) {
  let nearest = null;
  let smallest = radiusPx;
  for (const mark of marks) {
    const distance = Math.hypot(mark.x - x, mark.y - y) + (mark.kind === "features" && !mark.wrong ? SAMPLE_HIT_HANDICAP_PX : 0);
    if (distance < smallest) [nearest, smallest] = [mark, distance];
  }
  return nearest;
}

/** Draw a mark of each kind at a place, with a size relative to `markScale`. */
export const DRAW_MARK = {
  vertices(context, x, y, size, colour) {
    context.strokeStyle = colour;
    context.lineWidth = Math.max(0.8, 1.6 * size);
    context.beginPath();
    context.arc(x, y, 9 * size, 0, 2 * Math.PI);
    context.stroke();
  },
  weights(context, x, y, size, colour, css) {
    const half = 6.2 * size;
    context.fillStyle = colour;
    context.strokeStyle = css("panel");
    context.lineWidth = size;
    context.beginPath();
    context.moveTo(x, y - half);
    context.lineTo(x + half, y);
    context.lineTo(x, y + half);
    context.lineTo(x - half, y);
    context.closePath();
    context.fill();
    context.stroke();
  },
  means(context, x, y, size, colour, css) {
    context.fillStyle = colour;
    context.strokeStyle = css("panel");
    context.lineWidth = 1.2 * size;
    context.beginPath();
    context.arc(x, y, 6.6 * size, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  },
};

/** Return a square canvas that `draw(context, centre)` fills when it is asked for the first time. */
function stamp(key, side, draw) {
  if (!stamps.has(key)) {
    if (stamps.size > MAX_STAMPS) stamps.clear();
    const canvas = new OffscreenCanvas(side, side);
    draw(canvas.getContext("2d"), side / 2);
    stamps.set(key, canvas);
  }
  return stamps.get(key);
}

/** A filled dot. `ratio` is the number of device pixels to a CSS pixel. */
export function dotStamp(colour, radiusPx, ratio) {
  return stamp(`dot ${colour} ${radiusPx} ${ratio}`, 2 * Math.ceil(radiusPx * ratio + 1), (context, centre) => {
    context.fillStyle = colour;
    context.arc(centre, centre, radiusPx * ratio, 0, 2 * Math.PI);
    context.fill();
  });
}

/** A blob that fades towards its edge. */
export function blobStamp(colour, radiusPx, ratio) {
  return stamp(`blob ${colour} ${radiusPx} ${ratio}`, 2 * Math.ceil(radiusPx * ratio), (context, centre) => {
    const gradient = context.createRadialGradient(centre, centre, 0, centre, centre, centre);
    gradient.addColorStop(0, colour);
    gradient.addColorStop(1, `color-mix(in srgb, ${colour}, transparent 100%)`);
    context.fillStyle = gradient;
    context.fillRect(0, 0, 2 * centre, 2 * centre);
  });
}

/**
 * Choose "above", "below" or null (not drawn) for each label, those nearest to the eye first.
 * @param {{x, y, depth}} points arrays in pixels, y downwards
 * @param {string[]} labels
 * @param {{charWidth: number, lineHeight: number, gap: number}} size in pixels
 * @param {number[]} first indices that are placed before all others
 */
export function placeLabels(points, labels, { charWidth, lineHeight, gap }, first = []) {
  const positions = new Array(labels.length).fill(null);
  const boxes = [];
  const rank = new Map(first.map((i) => [i, 1]));
  const order = labels.map((_, i) => i).sort((a, b) => (rank.get(b) ?? 0) - (rank.get(a) ?? 0) || points.depth[b] - points.depth[a]);
  for (const i of order) {
    const half = (charWidth * labels[i].length) / 2;
    for (const [position, top] of [["above", points.y[i] - gap - lineHeight], ["below", points.y[i] + gap]]) {
      const box = [points.x[i] - half, points.x[i] + half, top, top + lineHeight];
      if (boxes.every((b) => box[1] < b[0] || box[0] > b[1] || box[3] < b[2] || box[2] > b[3])) {
        boxes.push(box);
        positions[i] = position;
        break;
      }
    }
  }
  return positions;
}
