// Plotly's typed arrays ({dtype, bdata, shape}) to numbers, and coordinates in the ETF's frame to a picture.

const KINDS = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

/** Return {data, rows, columns} of a typed array; one-dimensional arrays have one column. */
export function decode({ dtype, bdata, shape }) {
  const bytes = Uint8Array.from(atob(bdata), (c) => c.charCodeAt(0));
  const [rows, columns = 1] = String(shape).split(",").map(Number);
  return { data: new KINDS[dtype](bytes.buffer), rows, columns };
}

/** Return [x, y, z] of rows (n × r) seen through a view matrix given as r rows of three numbers. */
export function project({ data, rows, columns }, view) {
  const out = [new Float32Array(rows), new Float32Array(rows), new Float32Array(rows)];
  for (let i = 0; i < rows; i += 1) {
    for (let axis = 0; axis < 3; axis += 1) {
      let sum = 0;
      for (let j = 0; j < columns; j += 1) sum += data[i * columns + j] * view[j][axis];
      out[axis][i] = sum;
    }
  }
  return out;
}

/** Return {data, rows, columns} of nested rows. */
export function fromRows(rows) {
  return { data: Float32Array.from(rows.flat()), rows: rows.length, columns: rows[0].length };
}

/** Read a number that travels as "NaN", "Infinity" or "-Infinity"; null stays null. */
export function number(value) {
  return value === null || value === undefined ? null : Number(value);
}
