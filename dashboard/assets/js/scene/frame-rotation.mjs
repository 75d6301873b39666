// How the nearest ETF itself turns: where its vertices were in an earlier capture, seen from a later one's frame.

const found = new WeakMap();

/** RᵀQ (r × r, by rows) of two frames R, Q (d × r): what turns coordinates in Q into coordinates in R. */
export function turnBetween(to, from) {
  const r = to.columns;
  const out = new Float32Array(r * r);
  for (let row = 0; row < to.rows; row += 1) {
    for (let i = 0; i < r; i += 1) {
      const v = to.data[row * r + i];
      for (let j = 0; j < r; j += 1) out[i * r + j] += v * from.data[row * r + j];
    }
  }
  return { data: out, rows: r, columns: r };
}

/** The vertices (K × r) of an earlier capture's nearest ETF in the coordinates of a later one; what left is cut off. */
export function turnedCorners(corners, earlier, later) {
  if (earlier === later) return corners;
  if (!found.has(later)) found.set(later, new WeakMap());
  const known = found.get(later);
  if (!known.has(earlier)) {
    const turn = turnBetween(later.axes, earlier.axes);
    const [r, data] = [turn.rows, new Float32Array(corners.data.length)];
    for (let k = 0; k < corners.rows; k += 1) {
      for (let i = 0; i < r; i += 1) {
        let sum = 0;
        for (let j = 0; j < r; j += 1) sum += turn.data[i * r + j] * corners.data[k * r + j];
        data[k * r + i] = sum;
      }
    }
    known.set(earlier, { data, rows: corners.rows, columns: r });
  }
  return known.get(earlier);
}

/** The angle in degrees by which a vertex has turned between two captures. */
export function turnOf(corners, earlier, later, label) {
  const before = turnedCorners(corners, earlier, later);
  let [dot, norm] = [0, 0];
  for (let i = 0; i < corners.columns; i += 1) {
    const v = corners.data[label * corners.columns + i];
    dot += v * before.data[label * corners.columns + i];
    norm += v * v;
  }
  return (Math.acos(Math.max(-1, Math.min(1, dot / norm))) * 180) / Math.PI;
}
