// What a mark of the scene says when it is pointed at.

const DEGREES = 180 / Math.PI;

function cosine(a, i, b, j) {
  let [ab, aa, bb] = [0, 0, 0];
  for (let c = 0; c < a.columns; c += 1) {
    const [x, y] = [a.data[i * a.columns + c], b.data[j * b.columns + c]];
    [ab, aa, bb] = [ab + x * y, aa + x * x, bb + y * y];
  }
  return aa && bb ? ab / Math.sqrt(aa * bb) : null;
}

const angle = (cos) => `${(Math.acos(Math.max(-1, Math.min(1, cos))) * DEGREES).toFixed(1)}°`;

function norm({ data, columns }, i) {
  return Math.hypot(...data.subarray(i * columns, (i + 1) * columns));
}

/** The class whose mean is nearest to a class's in angle, and the cosine; null where cosines are of blocks. */
export function nearestClass({ data, rows }, label, classes) {
  if (rows !== classes) return null;
  let best = label === 0 ? 1 : 0;
  for (let j = 0; j < classes; j += 1) if (j !== label && data[label * rows + j] > data[label * rows + best]) best = j;
  return { label: best, cosine: data[label * rows + best] };
}

/**
 * Lines about a mark: what it is, then what is known of it in this frame; of a sample its `truth` where its label may be
 * wrong, of a vertex its `turn` in degrees since the capture before.
 */
export function describe({ kind, index, label }, frame, started, { truth = null, turn = null } = {}) {
  const name = started.class_names[label];
  const whole = started.vertices[0].length === frame.means.columns && !frame.seen && frame.means.columns > 3;
  const corner = { data: Float32Array.from(started.vertices[label]), columns: started.vertices[label].length };
  const exact = whole || started.class_names.length <= 4;
  if (kind === "vertices") return [`vertex of ${name}`, "of the nearest simplex ETF", ...(turn === null ? [] : [`turned by ${turn.toFixed(1)}° since the capture before`])];
  if (kind === "weights") {
    const cos = exact ? cosine(frame.weights, index, frame.means, index) : null;
    return [`classifier row of ${name}`, ...(cos === null ? [] : [`${angle(cos)} from its class mean`])];
  }
  if (kind === "features") {
    const cos = exact ? cosine(frame.features, index, frame.means, label) : null;
    const seen = frame.predictions?.[index] ?? label;
    const wrong = seen === label ? [] : [`classified as ${started.class_names[seen]}`];
    const noisy = truth === null || truth === label ? [] : [`its true class is ${started.class_names[truth]}`];
    return [`training sample of ${name}`, ...wrong, ...noisy, ...(cos === null ? [] : [`${angle(cos)} from its class mean`])];
  }
  const nearest = nearestClass(frame.cosines, label, started.class_names.length);
  const lines = [`class mean of ${name}`];
  if (exact) {
    const cos = cosine(frame.means, index, corner, 0);
    if (cos !== null) lines.push(`${angle(cos)} from its vertex, norm ${norm(frame.means, index).toFixed(2)} of the average`);
  }
  if (nearest) lines.push(`nearest: ${started.class_names[nearest.label]}, ${angle(nearest.cosine)}`);
  return lines;
}
