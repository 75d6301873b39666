// A chart of an offline replay: a metric of the runs over epochs, as an SVG picture.

import { finiteValues, needsLogAxis } from "../core/arrays.mjs";
import { createElement, createSvg } from "../core/dom.mjs";
import { formatEpoch, formatNumber } from "../core/formatting.mjs";

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

const BOX = { width: 320, height: 150, left: 44, right: 8, top: 8, bottom: 20 };
const MARGIN_SHARE = 0.05; // of a linear axis's range, above and below

/** The range of an axis for all values, and whether it is logarithmic: all positive, over more than a factor of twenty. */
export function axisRange(values) {
  const finite = finiteValues(values);
  if (finite.length === 0) return { range: [0, 1], isLog: false };
  const [min, max] = [Math.min(...finite), Math.max(...finite)];
  const isLog = needsLogAxis(finite);
  const margin = isLog ? 0 : (max - min || Math.abs(max) || 1) * MARGIN_SHARE;
  return { range: [min - margin, max + margin], isLog };
}

/** A chart with a list of metrics to choose from. */
export class OfflineChart {
  /** @param {{lines: object[], metrics: {key: string, label: string}[]}} data the replay's curves and metrics */
  constructor(parent, { lines, metrics }, key, index) {
    Object.assign(this, { allLines: lines, metrics, key });
    const options = metrics.map((metric) => new Option(metric.label, metric.key, false, metric.key === key));
    const select = createElement("select", { "aria-label": `Metric of chart ${index + 1}` }, options);
    this.svg = createSvg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img" });
    this.figure = createElement("figure", {}, [select, this.svg]);
    parent.append(this.figure);
    select.addEventListener("change", () => {
      this.key = select.value;
      this.draw();
    });
    this.draw();
  }

  draw() {
    this.lines = this.allLines.map((line) => ({ ...line, ...line.values[this.key] })).filter((line) => line.epochs);
    const { range, isLog } = axisRange(this.lines.flatMap((line) => [...line.middle, ...(line.low ?? []), ...(line.high ?? [])]));
    this.xRange = [0, Math.max(1, ...this.lines.map((line) => line.epochs.at(-1) ?? 1))];
    const axes = { xRange: this.xRange, yRange: range, isLog };
    this.svg.replaceChildren(...this.axisElements(axes));
    for (const { low, high, epochs, colour } of this.lines) {
      if (low) this.svg.append(createSvg("path", { d: rangePath(epochs, low, high, axes, BOX), class: "band", style: `fill:var(--${colour})` }));
    }
    for (const { middle, epochs, colour, dash } of this.lines) {
      this.svg.append(createSvg("path", { d: curvePath(epochs, middle, axes, BOX), class: `line ${dash}`, style: `stroke:var(--${colour})` }));
    }
    this.cursor = createSvg("path", { class: "cursor" });
    this.svg.append(this.cursor);
  }

  axisElements({ xRange, yRange, isLog }) {
    const { width, height, left, right, top, bottom } = BOX;
    const tick = (x, y, text, className = "tick end") => createSvg("text", { x, y, class: className }, text);
    return [
      createSvg("path", { d: `M${left} ${top}V${height - bottom}H${width - right}`, class: "axis" }),
      tick(left - 4, top + 8, formatNumber(yRange[1])),
      tick(left - 4, height - bottom, formatNumber(yRange[0])),
      tick(width - right, height - 6, formatEpoch(xRange[1])),
      ...(isLog ? [tick(left + 4, top + 8, "logarithmic", "tick")] : []),
    ];
  }

  /** Mark an epoch, and show the values there below the chart. */
  markEpoch(epoch) {
    const end = this.xRange[1];
    const x = BOX.left + (Math.min(epoch, end) / end) * (BOX.width - BOX.left - BOX.right);
    this.cursor.setAttribute("d", `M${x.toFixed(1)} ${BOX.top}V${BOX.height - BOX.bottom}`);
    const { label } = this.metrics.find((metric) => metric.key === this.key);
    const values = this.lines.flatMap((line) => {
      const index = line.epochs.findLastIndex((each) => each <= epoch);
      return index < 0 ? [] : [`${line.label} ${formatNumber(line.middle[index])}`];
    }).join(", ");
    this.svg.setAttribute("aria-label", `${label} over epochs: ${values} at ${formatEpoch(epoch)}`);
    this.figure.dataset.values = values;
  }
}
