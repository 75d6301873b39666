// Plotly's typed arrays ({dtype, bdata, shape}) as numbers, and products of coordinates with a view's matrix.

const ARRAY_TYPES = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

/** Decode a typed array to {data, rows, columns}; a one-dimensional array has one column. */
export function decodeArray({ dtype, bdata, shape }) {
  const bytes = Uint8Array.from(atob(bdata), (c) => c.charCodeAt(0));
  const [rows, columns = 1] = String(shape).split(",").map(Number);
  return { data: new ARRAY_TYPES[dtype](bytes.buffer), rows, columns };
}

/** Multiply rows (N, R) with a view's matrix, R rows of three numbers; returns [x, y, z], each of length N. */
export function project({ data, rows, columns }, matrix) {
  const axes = [new Float32Array(rows), new Float32Array(rows), new Float32Array(rows)];
  for (let i = 0; i < rows; i += 1) {
    for (let axis = 0; axis < 3; axis += 1) {
      let sum = 0;
      for (let j = 0; j < columns; j += 1) sum += data[i * columns + j] * matrix[j][axis];
      axes[axis][i] = sum;
    }
  }
  return axes;
}

/** Convert nested rows to {data, rows, columns}. */
export function arrayFromRows(rows) {
  return { data: Float32Array.from(rows.flat()), rows: rows.length, columns: rows[0].length };
}

/** Convert nested rows of three numbers to [x, y, z]. */
export function axesFromRows(rows) {
  return [0, 1, 2].map((axis) => Float32Array.from(rows, (row) => row[axis]));
}

/** Convert a number that JSON may hold as "NaN", "Infinity" or "-Infinity"; null stays null. */
export function toNumber(value) {
  return value === null || value === undefined ? null : Number(value);
}
