// Views of the ETF's frame: (K−1)×3 matrices, as rows of three numbers, that coordinates are multiplied by. The matrix
// of the spherical view (and the exact ones of K ≤ 4) comes with the run; ncengine/geometry has the same formulas.

export const VIEWS = ["spherical", "tetrahedron", "pca", "tour"];
export const TRAVELLING_CLASSES = 128; // above, coordinates travel in three dimensions, and the server cuts views

/** Rows of the Helmert basis (n × K−1): the simplex's vertices are √(K/(K−1)) times these. */
export function basisRows(classes, rows) {
  return rows.map((row) =>
    Array.from({ length: classes - 1 }, (_, j) => {
      const index = j + 1;
      const entry = row < index ? 1 : row === index ? -index : 0;
      return entry / Math.sqrt(index * (index + 1));
    }),
  );
}

/** The view of four classes: their vertices at the corners of a tetrahedron, all others at the centre. */
export function tetrahedron(classes, four) {
  const scale = Math.sqrt((4 * (classes - 1)) / (3 * classes));
  const [from, to] = [basisRows(classes, four), basisRows(4, [0, 1, 2, 3])];
  return Array.from({ length: classes - 1 }, (_, j) =>
    [0, 1, 2].map((axis) => scale * from.reduce((sum, row, c) => sum + row[j] * to[c][axis], 0)),
  );
}

/** Principal directions (rows of three) scaled so that vertices of norm one are seen at one on average. */
export function principal({ data, rows, columns }, classes) {
  const scale = Math.sqrt(Math.max(1, (classes - 1) / 3));
  return Array.from({ length: rows }, (_, i) => [0, 1, 2].map((j) => scale * data[i * columns + j]));
}

/** A generator of numbers in 0 … 1 from a seed, so that a tour is the same for everyone (Mulberry32). */
export function numbersFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function gaussian(next) {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** Make the three columns of `frame` (n rows of three) orthonormal, in order. */
export function orthonormal(frame) {
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

/**
 * A grand tour (Asimov 1985): a smooth random path of orthonormal 3-frames through R^n. The velocity is a random
 * direction of the Stiefel manifold's tangent space that itself wanders slowly, so the picture never jerks.
 */
export class Tour {
  constructor(dimensions, seed = 1) {
    this.next = numbersFrom(seed);
    const random = () => Array.from({ length: dimensions }, () => [0, 1, 2].map(() => gaussian(this.next)));
    this.random = random;
    this.frame = orthonormal(random());
    this.velocity = random();
    this.scale = Math.sqrt(Math.max(1, dimensions / 3));
  }

  /** Go on by so many seconds; return the view's matrix. */
  step(seconds, speed = 0.5, wander = 0.35) {
    let left = Math.min(seconds, 0.25); // a page that slept goes on where it was
    while (left > 0) {
      const dt = Math.min(left, 1 / 60);
      const kick = this.random();
      const keep = Math.exp(-wander * dt);
      const fresh = Math.sqrt(1 - keep * keep);
      this.velocity = this.velocity.map((row, i) => row.map((v, c) => keep * v + fresh * kick[i][c]));
      // The part of the velocity that leaves the span of the frame turns the picture into new dimensions.
      const inside = [0, 1, 2].map((a) => [0, 1, 2].map((b) => this.frame.reduce((s, row, i) => s + row[a] * this.velocity[i][b], 0)));
      const tangent = this.velocity.map((row, i) => row.map((v, c) => v - [0, 1, 2].reduce((s, a) => s + this.frame[i][a] * inside[a][c], 0)));
      const norm = Math.sqrt(tangent.reduce((s, row) => s + row[0] ** 2 + row[1] ** 2 + row[2] ** 2, 0)) || 1;
      this.frame = orthonormal(this.frame.map((row, i) => row.map((v, c) => v + (speed * dt * tangent[i][c]) / norm * Math.sqrt(3))));
      left -= dt;
    }
    return this.frame.map((row) => row.map((v) => v * this.scale));
  }
}

/** Between two matrices of one size, for the moment in which one view turns into another. */
export function between(from, to, share) {
  const eased = share * share * (3 - 2 * share);
  return to.map((row, i) => row.map((v, c) => from[i][c] + (v - from[i][c]) * eased));
}
