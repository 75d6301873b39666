// Names beside points that give way to each other instead of overlapping.

/**
 * Choose for each name "above", "below" or null, nearest to the eye first. `points` are {x, y, depth} arrays in the
 * screen's own units with y downwards, and so is `size`; `first` are drawn before all others.
 */
export function place(points, names, { charWidth, lineHeight, gap }, first = []) {
  const placed = new Array(names.length).fill(null);
  const taken = [];
  const rank = new Map(first.map((i) => [i, 1]));
  const order = names.map((_, i) => i).sort((a, b) => (rank.get(b) ?? 0) - (rank.get(a) ?? 0) || points.depth[b] - points.depth[a]);
  for (const i of order) {
    const half = (charWidth * names[i].length) / 2;
    for (const [position, top] of [["above", points.y[i] - gap - lineHeight], ["below", points.y[i] + gap]]) {
      const box = [points.x[i] - half, points.x[i] + half, top, top + lineHeight];
      if (taken.every((b) => box[1] < b[0] || box[0] > b[1] || box[3] < b[2] || box[2] > b[3])) {
        taken.push(box);
        placed[i] = position;
        break;
      }
    }
  }
  return placed;
}
