// Marks that are drawn once on a small canvas and then copied: hundreds of arcs a frame are slow in a software renderer.

const MAX_STAMPS = 500;
const stamps = new Map();

/** Return a square canvas that `draw(context, centre)` fills when it is asked for the first time. */
function stamp(key, side, draw) {
  if (!stamps.has(key)) {
    if (stamps.size > MAX_STAMPS) stamps.clear();
    const canvas = new OffscreenCanvas(side, side);
    draw(canvas.getContext("2d"), side / 2);
    stamps.set(key, canvas);
  }
  return stamps.get(key);
}

/** A filled dot. `ratio` is the number of device pixels to a CSS pixel. */
export function dotStamp(colour, radiusPx, ratio) {
  return stamp(`dot ${colour} ${radiusPx} ${ratio}`, 2 * Math.ceil(radiusPx * ratio + 1), (context, centre) => {
    context.fillStyle = colour;
    context.arc(centre, centre, radiusPx * ratio, 0, 2 * Math.PI);
    context.fill();
  });
}

/** A blob that fades towards its edge. */
export function blobStamp(colour, radiusPx, ratio) {
  return stamp(`blob ${colour} ${radiusPx} ${ratio}`, 2 * Math.ceil(radiusPx * ratio), (context, centre) => {
    const gradient = context.createRadialGradient(centre, centre, 0, centre, centre, centre);
    gradient.addColorStop(0, colour);
    gradient.addColorStop(1, `color-mix(in srgb, ${colour}, transparent 100%)`);
    context.fillStyle = gradient;
    context.fillRect(0, 0, 2 * centre, 2 * centre);
  });
}
