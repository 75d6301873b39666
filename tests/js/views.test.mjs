// Views, cameras and projections against vectors that Python computed (tests/js/test_modules.py writes them).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { DEFAULT_CAMERA } from "../../dashboard/assets/js/core/constants.mjs";
import { cameraAxes, dot, formatCamera, parseCamera, projectToScreen, rotateCamera, zoomCamera } from "../../dashboard/assets/js/scene/camera.mjs";
import { arrayFromRows, project } from "../../dashboard/assets/js/core/arrays.mjs";
import {
  GrandTour, helmertRows, interpolate, orthonormalize, pcaView, rotatedVertices, seededRandom, tetrahedronView, vertexRotationDegrees,
} from "../../dashboard/assets/js/scene/views.mjs";

const vectors = JSON.parse(readFileSync(process.env.COLLAPSE_VECTORS, "utf8"));

function close(found, expected, tolerance = 1e-6) {
  const [a, b] = [[found].flat(3), [expected].flat(3)];
  assert.equal(a.length, b.length);
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) <= tolerance, `${value} is not ${b[i]} at ${i}`));
}

test("the tetrahedron of four classes is the engine's", () => {
  for (const { classes, four, matrix } of vectors.tetrahedra) close(tetrahedronView(classes, four), matrix);
});

test("the Helmert basis is the engine's", () => {
  for (const { classes, vertices } of vectors.simplices) {
    const scale = Math.sqrt(classes / (classes - 1));
    close(helmertRows(classes, [...Array(classes).keys()]).map((row) => row.map((v) => scale * v)), vertices);
  }
});

test("principal directions are scaled as the engine scales them", () => {
  for (const { classes, pca, matrix } of vectors.principal) {
    close(pcaView({ data: Float32Array.from(pca.flat()), rows: pca.length, columns: 3 }, classes), matrix);
  }
});

test("a camera sees points where the printed figure has them", () => {
  for (const { text, points, xy, depth } of vectors.cameras) {
    const seen = projectToScreen([0, 1, 2].map((axis) => points.map((point) => point[axis])), parseCamera(text));
    close(points.map((_, i) => [seen.x[i], seen.y[i]]), xy, 1e-5);
    close([...seen.depth], depth, 1e-5);
  }
});

test("coordinates times a view are the engine's picture", () => {
  const { coordinates, matrix, picture } = vectors.product;
  const [x, y, z] = project(arrayFromRows(coordinates), matrix);
  close(picture.map((_, i) => [x[i], y[i], z[i]]), picture, 1e-5);
});

test("vertices of an earlier frame are seen from a later one", () => {
  const { vertices, frames, rotated: expected } = vectors.rotation;
  const [earlier, later] = frames.map((rows) => ({ etfFrame: arrayFromRows(rows) }));
  const found = rotatedVertices(arrayFromRows(vertices), earlier, later);
  close(expected.map((_, i) => [...found.data.subarray(4 * i, 4 * i + 4)]), expected, 1e-5);
  assert.equal(rotatedVertices(arrayFromRows(vertices), earlier, later), found, "computed once");
  assert.ok(vertexRotationDegrees(arrayFromRows(vertices), later, later, 2) < 0.1);
  const length = (v) => Math.hypot(...v);
  const cosine = expected[2].reduce((sum, v, i) => sum + v * vertices[2][i], 0) / length(vertices[2]) ** 2;
  assert.ok(Math.abs(vertexRotationDegrees(arrayFromRows(vertices), earlier, later, 2) - (Math.acos(cosine) * 180) / Math.PI) < 1e-3);
});

test("rotating keeps the camera's axes orthonormal and full circles come back", () => {
  let camera = { ...DEFAULT_CAMERA };
  for (let i = 0; i < 1000; i += 1) camera = rotateCamera(camera, 0.37, -0.21);
  const { right, top, back } = cameraAxes(camera);
  close([dot(right, top), dot(top, back), dot(back, right)], [0, 0, 0], 1e-9);
  assert.ok(Math.abs(Math.hypot(...camera.eye) - Math.hypot(...DEFAULT_CAMERA.eye)) < 1e-9);
  camera = { eye: [0, 0, 2], up: [0, 1, 0], zoom: 1 };
  for (let i = 0; i < 4; i += 1) camera = rotateCamera(camera, Math.PI / 2, 0);
  close(camera.eye, [0, 0, 2], 1e-12);
  // Dragging to the right moves points to the right.
  const front = [[0], [0], [1]];
  assert.ok(projectToScreen(front, rotateCamera({ eye: [0, 0, 2], up: [0, 1, 0], zoom: 1 }, 0.1, 0)).x[0] > 0);
  assert.ok(projectToScreen(front, rotateCamera({ eye: [0, 0, 2], up: [0, 1, 0], zoom: 1 }, 0, 0.1)).y[0] < 0);
});

test("a camera's text is read back, other text is refused", () => {
  const camera = zoomCamera(rotateCamera(DEFAULT_CAMERA, 0.3, 0.2), 1.5);
  close(Object.values(parseCamera(formatCamera(camera))).flat(), Object.values(camera).flat(), 1e-4);
  for (const text of ["", "1,2,3", "0,0,1,0,0,2,1", "1,1,1,0,0,1,-1", "a,b,c,d,e,f,g", null]) assert.equal(parseCamera(text), null);
});

test("a grand tour is smooth, orthonormal and reproducible", () => {
  const [tour, again] = [new GrandTour(9, 4), new GrandTour(9, 4)];
  let before = tour.step(0);
  again.step(0);
  const scale = Math.sqrt(3);
  for (let i = 0; i < 600; i += 1) {
    const now = tour.step(1 / 60);
    close(again.step(1 / 60), now, 0);
    const moved = Math.max(...now.map((row, j) => Math.hypot(...row.map((v, c) => v - before[j][c]))));
    assert.ok(moved < 0.05, `a step of ${moved}`);
    for (let a = 0; a < 3; a += 1) {
      for (let b = 0; b < 3; b += 1) {
        close(now.reduce((sum, row) => sum + row[a] * row[b], 0) / scale ** 2, a === b ? 1 : 0, 1e-9);
      }
    }
    before = now;
  }
  const start = new GrandTour(9, 4).step(0);
  assert.ok(Math.max(...before.map((row, j) => Math.hypot(...row.map((v, c) => v - start[j][c])))) > 0.3, "it goes somewhere");
});

test("interpolation starts and ends at the two matrices", () => {
  const [from, to] = [[[0, 0, 0]], [[1, 2, 3]]];
  assert.deepEqual(interpolate(from, to, 0), from);
  assert.deepEqual(interpolate(from, to, 1), to);
  assert.deepEqual(interpolate(from, to, 0.5), [[0.5, 1, 1.5]]);
  close(orthonormalize([[2, 1, 0], [0, 1, 0], [0, 0, 5]]), [[1, 0, 0], [0, 1, 0], [0, 0, 1]], 1e-12);
  const next = seededRandom(1);
  assert.ok([next(), next(), next()].every((v) => v >= 0 && v < 1));
});
