// The orthographic camera: the eye's position, the up direction and the zoom; it looks at the origin.
// Its text is what the service's figures take: ex,ey,ez,ux,uy,uz,zoom.

export const DEFAULT_CAMERA = Object.freeze({ eye: [1.25, 1.25, 0.8], up: [0, 0, 1], zoom: 1 });
const [MIN_ZOOM, MAX_ZOOM] = [0.25, 8];
const TEXT_DECIMALS = 4;

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const scale = (a, factor) => a.map((v) => v * factor);
const add = (a, b) => a.map((v, i) => v + b[i]);
const normalize = (a) => scale(a, 1 / (Math.hypot(...a) || 1));

/** The screen's axes in space: right, top, and back (towards the eye). */
export function cameraAxes({ eye, up }) {
  const back = normalize(eye);
  const right = normalize(cross(up, back));
  return { right, top: cross(back, right), back };
}

/** Rotate the camera as if the scene was dragged to the right and down by angles in radians. */
export function rotateCamera(camera, dx, dy) {
  const { right, top, back } = cameraAxes(camera);
  // First about the screen's vertical axis, then about its horizontal one.
  const turned = add(scale(back, Math.cos(dx)), scale(right, -Math.sin(dx)));
  const eye = add(scale(turned, Math.cos(dy)), scale(top, Math.sin(dy)));
  const up = add(scale(top, Math.cos(dy)), scale(turned, -Math.sin(dy)));
  return { eye: scale(eye, Math.hypot(...camera.eye)), up, zoom: camera.zoom };
}

/** Multiply the zoom by a factor, within its limits. */
export function zoomCamera(camera, factor) {
  return { ...camera, zoom: Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, camera.zoom * factor)) };
}

/** Write a camera as text, with four decimals. */
export function formatCamera({ eye, up, zoom }) {
  return [...eye, ...up, zoom].map((v) => String(Number(v.toFixed(TEXT_DECIMALS)))).join(",");
}

/** Read a camera from text; null where the text is no camera. */
export function parseCamera(text) {
  const numbers = (text ?? "").split(",").map(Number);
  if (numbers.length !== 7 || !numbers.every(Number.isFinite) || !(numbers[6] > 0)) return null;
  const [eye, up, zoom] = [numbers.slice(0, 3), numbers.slice(3, 6), numbers[6]];
  if (Math.hypot(...cross(normalize(eye), normalize(up))) < 1e-6) return null;
  return zoomCamera({ eye, up, zoom }, 1);
}

/** Project points [x, y, z] to the screen: x, y (upwards) and depth (towards the eye), in the points' units. */
export function projectToScreen([x, y, z], camera) {
  const { right, top, back } = cameraAxes(camera);
  const points = { x: new Float32Array(x.length), y: new Float32Array(x.length), depth: new Float32Array(x.length) };
  for (let i = 0; i < x.length; i += 1) {
    points.x[i] = x[i] * right[0] + y[i] * right[1] + z[i] * right[2];
    points.y[i] = x[i] * top[0] + y[i] * top[1] + z[i] * top[2];
    points.depth[i] = x[i] * back[0] + y[i] * back[1] + z[i] * back[2];
  }
  return points;
}
