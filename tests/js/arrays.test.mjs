import assert from "node:assert/strict";
import test from "node:test";
import { decodeArray, arrayFromRows, toNumber, project } from "../../dashboard/assets/js/core/arrays.mjs";

const encode = (values) => Buffer.from(Float32Array.from(values).buffer).toString("base64");

test("a typed array is read with its shape", () => {
  const found = decodeArray({ dtype: "f4", bdata: encode([1, 2, 3, 4, 5, 6]), shape: "2,3" });
  assert.deepEqual([...found.data], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([found.rows, found.columns], [2, 3]);
  assert.equal(decodeArray({ dtype: "f4", bdata: encode([1, 2]), shape: "2" }).columns, 1);
});

test("a projection is a product of matrices", () => {
  const [x, y, z] = project(arrayFromRows([[1, 2], [3, 4]]), [[1, 0, 2], [0, 1, -1]]);
  assert.deepEqual([[...x], [...y], [...z]], [[1, 3], [2, 4], [0, 2]]);
});

test("numbers that JSON lacks are read", () => {
  assert.ok(Number.isNaN(toNumber("NaN")));
  assert.equal(toNumber("-Infinity"), -Infinity);
  assert.equal(toNumber(null), null);
  assert.equal(toNumber(0.5), 0.5);
});
