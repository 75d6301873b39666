// Input of a scene: dragging rotates, the wheel and two fingers zoom, a double click resets, arrow keys rotate.

import { DEFAULT_CAMERA, rotateCamera, zoomCamera } from "./camera.mjs";

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
