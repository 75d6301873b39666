// Placement of labels beside points without overlap.

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
