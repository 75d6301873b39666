// Numbers and matrices: Plotly's typed arrays ({dtype, bdata, shape}) decoded to {data, rows, columns}, products, cosines.

import { MIN_LOG_RATIO } from "./constants.mjs";

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

/** The numbers among values that may be null, NaN or infinite. */
export const finiteValues = (values) => values.filter((value) => value !== null && Number.isFinite(value));

/** Whether values need a logarithmic axis: all positive, over more than the factor MIN_LOG_RATIO. */
export function needsLogAxis(values) {
  const finite = finiteValues(values);
  return finite.length > 1 && Math.min(...finite) > 0 && Math.max(...finite) > MIN_LOG_RATIO * Math.min(...finite);
}

/** The cosine between row i of one matrix and row j of another; null where one of them is zero. */
export function cosine(a, i, b, j) {
  let [ab, aa, bb] = [0, 0, 0];
  for (let c = 0; c < a.columns; c += 1) {
    const [x, y] = [a.data[i * a.columns + c], b.data[j * b.columns + c]];
    [ab, aa, bb] = [ab + x * y, aa + x * x, bb + y * y];
  }
  return aa && bb ? ab / Math.sqrt(aa * bb) : null;
}

/** The norm of a row. */
export function rowNorm({ data, columns }, i) {
  return Math.hypot(...data.subarray(i * columns, (i + 1) * columns));
}

/** The mean of matrices; null where their shapes differ. */
export function meanMatrix(matrices) {
  const [{ rows, columns }] = matrices;
  if (matrices.some((each) => each.rows !== rows || each.columns !== columns)) return null;
  const mean = (i) => matrices.reduce((sum, each) => sum + each.data[i], 0) / matrices.length;
  return { data: Float32Array.from({ length: rows * columns }, (_, i) => mean(i)), rows, columns };
}
