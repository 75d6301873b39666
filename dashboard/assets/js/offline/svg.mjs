// Elements and paths of SVG pictures.

const SVG = "http://www.w3.org/2000/svg";

/** Create an SVG element with attributes and text. */
export function createSvg(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

const isFinite = (value) => value !== null && Number.isFinite(value);

/**
 * The path of a curve. Values that are not finite, or not positive on a logarithmic axis, interrupt it.
 * @param {{xRange: number[], yRange: number[], isLog: boolean}} axes
 * @param {{width, height, left, right, top, bottom}} box the picture's size and its margins in pixels
 */
export function curvePath(x, y, { xRange: [x0, x1], yRange: [y0, y1], isLog }, box) {
  const toLinear = isLog ? Math.log10 : (value) => value;
  const [low, high] = [toLinear(y0), toLinear(y1)];
  const toX = (value) => box.left + ((value - x0) / (x1 - x0 || 1)) * (box.width - box.left - box.right);
  const toY = (value) => box.height - box.bottom - ((toLinear(value) - low) / (high - low || 1)) * (box.height - box.top - box.bottom);
  let isDrawing = false;
  const parts = [];
  for (let i = 0; i < x.length; i += 1) {
    const hasValue = isFinite(y[i]) && (!isLog || y[i] > 0);
    if (hasValue) parts.push(`${isDrawing ? "L" : "M"}${toX(x[i]).toFixed(1)} ${toY(y[i]).toFixed(1)}`);
    isDrawing = hasValue;
  }
  return parts.join("");
}

/** The outline of a range: along the maximum and back along the minimum, split where values are missing. */
export function rangePath(x, min, max, axes, box) {
  const parts = [];
  let from = 0;
  for (let i = 0; i <= x.length; i += 1) {
    const hasValue = i < x.length && [min[i], max[i]].every((value) => isFinite(value) && (!axes.isLog || value > 0));
    if (hasValue) continue;
    if (i - from > 1) {
      const piece = (values) => values.slice(from, i);
      const forth = curvePath(piece(x), piece(max), axes, box);
      const back = curvePath(piece(x).reverse(), piece(min).reverse(), axes, box);
      parts.push(`${forth}L${back.slice(1)}Z`);
    }
    from = i + 1;
  }
  return parts.join("");
}
