// The orthographic camera: where the eye is, which way is up, and the zoom; the centre is the origin.
// As text it is what the service's figures take (ncfigures/camera.py): ex,ey,ez,ux,uy,uz,zoom.

export const HOME = Object.freeze({ eye: [1.25, 1.25, 0.8], up: [0, 0, 1], zoom: 1 });
export const [NEAREST, FARTHEST] = [8, 0.25];

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const scaled = (a, s) => a.map((v) => v * s);
const plus = (a, b) => a.map((v, i) => v + b[i]);

export function unit(a) {
  return scaled(a, 1 / (Math.hypot(...a) || 1));
}

/** The screen's axes in space: right, top, and back (towards the eye). */
export function axes({ eye, up }) {
  const back = unit(eye);
  const right = unit(cross(up, back));
  return { right, top: cross(back, right), back };
}

/** The camera turned as if the scene were dragged by angles (radians) to the right and down. */
export function turned(camera, dx, dy) {
  const { right, top, back } = axes(camera);
  // About the screen's vertical axis first, then about its horizontal one.
  const aside = plus(scaled(back, Math.cos(dx)), scaled(right, -Math.sin(dx)));
  const eye = plus(scaled(aside, Math.cos(dy)), scaled(top, Math.sin(dy)));
  const above = plus(scaled(top, Math.cos(dy)), scaled(aside, -Math.sin(dy)));
  return { eye: scaled(eye, Math.hypot(...camera.eye)), up: above, zoom: camera.zoom };
}

export function zoomed(camera, factor) {
  return { ...camera, zoom: Math.min(NEAREST, Math.max(FARTHEST, camera.zoom * factor)) };
}

export function cameraText({ eye, up, zoom }) {
  return [...eye, ...up, zoom].map((v) => String(Number(v.toFixed(4)))).join(",");
}

/** Read a camera's text; null where it is none. */
export function parseCamera(text) {
  const numbers = (text ?? "").split(",").map(Number);
  if (numbers.length !== 7 || !numbers.every(Number.isFinite) || !(numbers[6] > 0)) return null;
  const [eye, up, zoom] = [numbers.slice(0, 3), numbers.slice(3, 6), numbers[6]];
  if (Math.hypot(...cross(unit(eye), unit(up))) < 1e-6) return null;
  return zoomed({ eye, up, zoom }, 1);
}

/** Screen coordinates (y upwards) and depth towards the eye of points given as [x, y, z] arrays. */
export function screen([x, y, z], camera) {
  const { right, top, back } = axes(camera);
  const found = { x: new Float32Array(x.length), y: new Float32Array(x.length), depth: new Float32Array(x.length) };
  for (let i = 0; i < x.length; i += 1) {
    found.x[i] = x[i] * right[0] + y[i] * right[1] + z[i] * right[2];
    found.y[i] = x[i] * top[0] + y[i] * top[1] + z[i] * top[2];
    found.depth[i] = x[i] * back[0] + y[i] * back[1] + z[i] * back[2];
  }
  return found;
}
