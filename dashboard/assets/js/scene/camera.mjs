// The orthographic camera: the eye's position, the up direction and the zoom; it looks at the origin. Pointer, wheel and
// keys move it. Its text is what the service's figures take: ex,ey,ez,ux,uy,uz,zoom.

import { DEFAULT_CAMERA } from "../core/constants.mjs";

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

const DRAG_RADIANS_PER_PX = 0.008;
const KEY_RADIANS = 0.12;
const KEY_ZOOM = 1.15;
const CLICK_MAX_MOVE_PX = 4;
const [WHEEL_ZOOM_PER_PX, WHEEL_ZOOM_PER_LINE] = [0.0012, 0.03];

/** Whether a click adds to the selection. */
export const extendsSelection = (event) => event.shiftKey || event.ctrlKey || event.metaKey;

/** Listen to the pointer, the wheel and the keys on a scene's canvas. */
export function bindInput(scene, signal) {
  bindPointer(scene, signal);
  const { canvas } = scene;
  const onWheel = (event) => {
    event.preventDefault();
    scene.setCamera(zoomCamera(scene.camera, Math.exp(-event.deltaY * (event.deltaMode ? WHEEL_ZOOM_PER_LINE : WHEEL_ZOOM_PER_PX))));
  };
  canvas.addEventListener("wheel", onWheel, { signal, passive: false });
  canvas.addEventListener("dblclick", () => scene.setCamera({ ...DEFAULT_CAMERA }), { signal });
  canvas.addEventListener("keydown", (event) => onKey(scene, event), { signal });
}

function bindPointer(scene, signal) {
  const { canvas, callbacks } = scene;
  const pointers = new Map(); // positions by pointer id
  let movedPx = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    movedPx = 0;
  }, { signal });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      hover(scene, event);
      return;
    }
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const distance = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      scene.setCamera(zoomCamera(scene.camera, distance([event.clientX, event.clientY]) / distance(before)));
    } else {
      scene.setCamera(rotateCamera(scene.camera, dx * DRAG_RADIANS_PER_PX, dy * DRAG_RADIANS_PER_PX));
    }
    movedPx += Math.abs(dx) + Math.abs(dy);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }, { signal });
  const onRelease = (event) => {
    const isClick = pointers.delete(event.pointerId) && event.type === "pointerup" && movedPx < CLICK_MAX_MOVE_PX;
    if (isClick) callbacks.onClick?.(scene.markAt(event)?.label ?? null, extendsSelection(event));
  };
  canvas.addEventListener("pointerup", onRelease, { signal });
  canvas.addEventListener("pointercancel", onRelease, { signal });
  canvas.addEventListener("pointerleave", () => callbacks.onHover?.(null), { signal });
}

function hover(scene, event) {
  const mark = scene.markAt(event);
  scene.canvas.style.cursor = mark ? "pointer" : "grab";
  scene.callbacks.onHover?.(mark);
}

function onKey(scene, event) {
  const { camera } = scene;
  const actions = {
    ArrowLeft: () => rotateCamera(camera, -KEY_RADIANS, 0), ArrowRight: () => rotateCamera(camera, KEY_RADIANS, 0),
    ArrowUp: () => rotateCamera(camera, 0, -KEY_RADIANS), ArrowDown: () => rotateCamera(camera, 0, KEY_RADIANS),
    "+": () => zoomCamera(camera, KEY_ZOOM), "=": () => zoomCamera(camera, KEY_ZOOM), "-": () => zoomCamera(camera, 1 / KEY_ZOOM),
    0: () => ({ ...DEFAULT_CAMERA }),
  };
  if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  scene.setCamera(actions[event.key]());
}
