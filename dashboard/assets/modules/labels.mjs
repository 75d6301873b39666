// Names beside points that give way to each other instead of overlapping.

/** Return screen coordinates and depth of points under an orthographic camera {eye, up}. */
export function screen([x, y, z], { eye, up }) {
  const back = unit([eye.x, eye.y, eye.z]);
  const right = unit(cross([up.x, up.y, up.z], back));
  const top = cross(back, right);
  return Array.from(x, (_, i) => {
    const p = [x[i], y[i], z[i]];
    return { x: dot(p, right), y: dot(p, top), depth: dot(p, back) };
  });
}

/** Choose for each name above, below or nothing, nearest to the eye first. `size` is in the points' own units. */
export function place(points, names, { charWidth, lineHeight, gap }) {
  const placed = new Array(names.length).fill(null);
  const taken = [];
  const order = points.map((_, i) => i).sort((a, b) => points[b].depth - points[a].depth);
  for (const i of order) {
    const half = (charWidth * names[i].length) / 2;
    for (const [position, dy] of [["top center", gap], ["bottom center", -gap - lineHeight]]) {
      const box = [points[i].x - half, points[i].x + half, points[i].y + dy, points[i].y + dy + lineHeight];
      if (taken.every((b) => box[1] < b[0] || box[0] > b[1] || box[3] < b[2] || box[2] > b[3])) {
        taken.push(box);
        placed[i] = position;
        break;
      }
    }
  }
  return placed;
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
function unit(a) {
  const norm = Math.hypot(...a) || 1;
  return a.map((v) => v / norm);
}
