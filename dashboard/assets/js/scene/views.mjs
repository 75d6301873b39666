// Views: matrices (K−1, 3), as rows of three numbers, that multiply coordinates in the ETF's frame. The spherical view and
// the exact ones of K ≤ 4 are computed by the engine and sent with the run; the others have the same formulas there.

import { angleDegrees } from "../core/formatting.mjs";

/** Rows of the Helmert basis (N, K−1); the simplex's vertices are √(K/(K−1)) times these. */
export function helmertRows(classCount, rows) {
  return rows.map((row) =>
    Array.from({ length: classCount - 1 }, (_, j) => {
      const index = j + 1;
      const entry = row < index ? 1 : row === index ? -index : 0;
      return entry / Math.sqrt(index * (index + 1));
    }),
  );
}

/** The view of four classes: their vertices form a tetrahedron, all others lie at the centre. */
export function tetrahedronView(classCount, labels) {
  const scale = Math.sqrt((4 * (classCount - 1)) / (3 * classCount));
  const [from, to] = [helmertRows(classCount, labels), helmertRows(4, [0, 1, 2, 3])];
  return Array.from({ length: classCount - 1 }, (_, j) =>
    [0, 1, 2].map((axis) => scale * from.reduce((sum, row, c) => sum + row[j] * to[c][axis], 0)),
  );
}

/** The view along principal directions (K−1, 3), scaled so that vertices of norm one have norm one on average. */
export function pcaView({ data, rows, columns }, classCount) {
  const scale = Math.sqrt(Math.max(1, (classCount - 1) / 3));
  return Array.from({ length: rows }, (_, i) => [0, 1, 2].map((j) => scale * data[i * columns + j]));
}

/** Create a seeded random generator of numbers in [0, 1) (Mulberry32), so that a grand tour is reproducible. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Draw a standard normal number (Box–Muller). */
function gaussian(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Orthonormalize the three columns of a frame (N, 3) by Gram–Schmidt. */
export function orthonormalize(frame) {
  const out = frame.map((row) => [...row]);
  for (let c = 0; c < 3; c += 1) {
    for (let before = 0; before < c; before += 1) {
      const along = out.reduce((sum, row) => sum + row[c] * row[before], 0);
      for (const row of out) row[c] -= along * row[before];
    }
    const norm = Math.sqrt(out.reduce((sum, row) => sum + row[c] ** 2, 0)) || 1;
    for (const row of out) row[c] /= norm;
  }
  return out;
}

const [TOUR_SPEED, TOUR_DRIFT] = [0.5, 0.35]; // radians per second, and the rate at which the direction changes
const TOUR_MAX_STEP_S = 0.25; // a page that was hidden continues where it was
const TOUR_SUBSTEP_S = 1 / 60;
const norm = (rows) => Math.sqrt(rows.reduce((sum, row) => sum + row[0] ** 2 + row[1] ** 2 + row[2] ** 2, 0)) || 1;

/**
 * A grand tour (Asimov 1985): a smooth random path of orthonormal 3-frames through R^n. The velocity is a tangent vector
 * of the Stiefel manifold that follows an Ornstein–Uhlenbeck process, so the picture never jerks.
 */
export class GrandTour {
  /** @param {number} dimensions K−1 */
  constructor(dimensions, seed = 1) {
    const random = seededRandom(seed);
    this.randomDirection = () => Array.from({ length: dimensions }, () => [0, 1, 2].map(() => gaussian(random)));
    this.frame = orthonormalize(this.randomDirection());
    this.velocity = this.randomDirection();
    this.scale = Math.sqrt(Math.max(1, dimensions / 3));
  }

  /** Advance by some seconds and return the view's matrix. */
  step(seconds) {
    let left = Math.min(seconds, TOUR_MAX_STEP_S);
    while (left > 0) {
      this.advance(Math.min(left, TOUR_SUBSTEP_S));
      left -= TOUR_SUBSTEP_S;
    }
    return this.frame.map((row) => row.map((v) => v * this.scale));
  }

  advance(seconds) {
    const [decay, noise] = [Math.exp(-TOUR_DRIFT * seconds), this.randomDirection()];
    const noiseScale = Math.sqrt(1 - decay * decay);
    this.velocity = this.velocity.map((row, i) => row.map((v, c) => decay * v + noiseScale * noise[i][c]));
    // Only the part of the velocity that leaves the frame's span turns the picture into new dimensions.
    const inside = [0, 1, 2].map((a) => [0, 1, 2].map((b) => this.frame.reduce((s, row, i) => s + row[a] * this.velocity[i][b], 0)));
    const tangent = this.velocity.map((row, i) => row.map((v, c) => v - [0, 1, 2].reduce((s, a) => s + this.frame[i][a] * inside[a][c], 0)));
    const step = (TOUR_SPEED * seconds * Math.sqrt(3)) / norm(tangent);
    this.frame = orthonormalize(this.frame.map((row, i) => row.map((v, c) => v + step * tangent[i][c])));
  }
}

/** Interpolate smoothly between two matrices of the same shape; `share` goes from 0 to 1. */
export function interpolate(from, to, share) {
  const eased = share * share * (3 - 2 * share);
  return to.map((row, i) => row.map((v, c) => from[i][c] + (v - from[i][c]) * eased));
}

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
  return angleDegrees(product / norm);
}
