// Rotation of the nearest ETF between captures: the vertices of an earlier capture in a later one's coordinates.

const rotatedVerticesCache = new WeakMap();

/** RᵀQ (R, R) of two ETF frames R, Q (D, R): maps coordinates in Q to coordinates in R. */
function frameRotation(to, from) {
  const r = to.columns;
  const data = new Float32Array(r * r);
  for (let row = 0; row < to.rows; row += 1) {
    for (let i = 0; i < r; i += 1) {
      const v = to.data[row * r + i];
      for (let j = 0; j < r; j += 1) data[i * r + j] += v * from.data[row * r + j];
    }
  }
  return { data, rows: r, columns: r };
}

/** The vertices (K, R) of an earlier capture's nearest ETF in a later one's coordinates; what is outside is cut off. */
export function rotatedVertices(vertices, earlier, later) {
  if (earlier === later) return vertices;
  if (!rotatedVerticesCache.has(later)) rotatedVerticesCache.set(later, new WeakMap());
  const cache = rotatedVerticesCache.get(later);
  if (!cache.has(earlier)) {
    const rotation = frameRotation(later.etfFrame, earlier.etfFrame);
    const [r, data] = [rotation.rows, new Float32Array(vertices.data.length)];
    for (let k = 0; k < vertices.rows; k += 1) {
      for (let i = 0; i < r; i += 1) {
        let sum = 0;
        for (let j = 0; j < r; j += 1) sum += rotation.data[i * r + j] * vertices.data[k * r + j];
        data[k * r + i] = sum;
      }
    }
    cache.set(earlier, { data, rows: vertices.rows, columns: r });
  }
  return cache.get(earlier);
}

/** The angle in degrees by which a class's vertex rotated between two captures. */
export function vertexRotationDegrees(vertices, earlier, later, label) {
  const before = rotatedVertices(vertices, earlier, later);
  let [product, norm] = [0, 0];
  for (let i = 0; i < vertices.columns; i += 1) {
    const v = vertices.data[label * vertices.columns + i];
    product += v * before.data[label * vertices.columns + i];
    norm += v * v;
  }
  return (Math.acos(Math.max(-1, Math.min(1, product / norm))) * 180) / Math.PI;
}
