// The heatmap of cosines and the curves over epochs, filled into the figures that the server sent.

import { digits } from "../model/run-model.mjs";

const DEGREES = 180 / Math.PI;
// The colour scale never spans less than this around the ideal, so that a collapsed run fades to calm.
const LEAST_SPREAD = { cos: 0.25, angle: 15 };

/**
 * Return the values to show, null on the diagonal, with the ideal of `classes` and the largest distance from it. Where
 * rows stand for blocks of neighbouring classes, the diagonal is a value like others.
 */
export function heatmapValues({ data, rows }, unit, classes = rows) {
  const ideal = -1 / (classes - 1);
  const convert = unit === "angle" ? (v) => Math.acos(Math.max(-1, Math.min(1, v))) * DEGREES : (v) => v;
  const centre = convert(ideal);
  let spread = LEAST_SPREAD[unit];
  const z = Array.from({ length: rows }, (_, i) =>
    Array.from({ length: rows }, (_, j) => {
      if (i === j && rows === classes) return null;
      const value = convert(data[i * rows + j]);
      spread = Math.max(spread, Math.abs(value - centre));
      return value;
    }),
  );
  return { z, centre, spread };
}

/** Names of blocks of neighbouring classes: "1–16", "17–32" … */
export function blockNames(rows, classes) {
  const size = Math.ceil(classes / rows);
  return Array.from({ length: rows }, (_, i) => `${i * size + 1}–${Math.min(classes, (i + 1) * size)}`);
}

/** Outlines of the rows and columns of classes that stand out. */
export function crosses(labels, classes, css) {
  const line = { color: css("ink-3"), width: 1 };
  const box = (x0, x1, y0, y1) => ({ type: "rect", x0, x1, y0, y1, line });
  const end = classes - 0.5;
  return labels.flatMap((i) => [box(-0.5, end, i - 0.5, i + 0.5), box(i - 0.5, i + 0.5, -0.5, end)]);
}

export function drawHeatmap(graph, cosines, unit, css, k) {
  const { z, centre, spread } = heatmapValues(cosines, unit, k);
  if (cosines.rows !== k && graph.data[0].x.length !== cosines.rows) {
    const names = blockNames(cosines.rows, k);
    const range = [-0.5, cosines.rows - 0.5];
    window.Plotly.update(graph, { x: [names], y: [names] }, { "xaxis.range": range, "yaxis.range": [...range].reverse() }, [0]);
  }
  const scale = [[0, "#2166ac"], [0.5, css("neutral")], [1, "#b2182b"]];
  const ends = unit === "angle" ? [centre - spread, centre + spread].map((v) => `${v.toFixed(1)}°`)
    : [centre - spread, centre + spread].map((v) => v.toFixed(2));
  const change = {
    z: [z], showscale: true, zmin: centre - spread, zmax: centre + spread,
    colorscale: [scale], reversescale: unit === "angle",
    "colorbar.tickvals": [[centre - spread, centre, centre + spread]],
    "colorbar.ticktext": [[ends[0], unit === "angle" ? `${centre.toFixed(1)}°` : `−1/${k - 1}`, ends[1]]],
    hovertemplate: unit === "angle" ? "%{y}, %{x}: %{z:.1f}°<extra></extra>" : "%{y}, %{x}: %{z:.3f}<extra></extra>",
  };
  window.Plotly.restyle(graph, change, [0]);
}

/** A logarithmic axis is right where all values are positive and span more than a factor of twenty. */
export function wantsLog(values) {
  const known = values.filter((v) => v !== null && Number.isFinite(v));
  return known.length > 1 && known.every((v) => v > 0) && Math.max(...known) > 20 * Math.min(...known);
}

/** Whether positive values span more than so many powers of ten: minor ticks are then too many. */
export function spansDecades(values, decades) {
  return Math.log10(Math.max(...values) / Math.min(...values)) > decades;
}

/** What one chart shows of a run: train, test, ideal, and where the terminal phase began. */
export function chartData(run, spec) {
  if (spec.steps) return { x: [run.steps.epoch, [], []], y: [run.steps[spec.steps], [], []], log: false, ideal: null };
  const [train, test] = ["train", "test"].map((split) => run.series[split][spec.key] ?? []);
  const ideal = run.started?.metrics[spec.key]?.ideal ?? null;
  const log = wantsLog([...train, ...test]);
  // Without a value there is no axis to draw the ideal on; on a logarithmic one there is no place for zero.
  const line = ideal === null || log || train.length === 0 ? [[], []] : [[0, run.epochs], [ideal, ideal]];
  return { x: [run.measuredEpochs, run.measuredEpochs, line[0]], y: [train, test, line[1]], log, ideal };
}

/** The point of a curve nearest to an epoch, or -1. */
export function nearestPoint(epochs, epoch) {
  let best = -1;
  for (let i = 0; i < epochs.length; i += 1) {
    if (best < 0 || Math.abs(epochs[i] - epoch) < Math.abs(epochs[best] - epoch)) best = i;
  }
  return best;
}

/** Let a chart show what it says of an epoch, as if it were pointed at; null lets it say nothing. */
export function pointAt(graph, epoch) {
  const { Fx } = window.Plotly;
  const points = epoch === null ? [] : [0, 1].flatMap((curveNumber) => {
    const { x, y } = graph.data[curveNumber];
    const pointNumber = nearestPoint(x, epoch);
    return pointNumber >= 0 && y[pointNumber] !== null ? [{ curveNumber, pointNumber }] : [];
  });
  if (points.length) Fx.hover(graph, points, "xy", true);
  else Fx.unhover(graph, undefined, undefined, true);
}

/** Draw what a chart shows of a run, and return it. */
export function drawChart(graph, run, spec, css) {
  const shown = chartData(run, spec);
  const { x, y, log, ideal } = shown;
  const known = y.flat().filter((v) => v !== null && Number.isFinite(v));
  const shapes = [];
  if (run.terminalPhase !== null) {
    const line = { color: css("ink-3"), width: 0.8 };
    shapes.push({ type: "line", x0: run.terminalPhase, x1: run.terminalPhase, y0: 0, y1: 1, yref: "paper", layer: "below", line });
  }
  const annotations = log && ideal !== null
    ? [{ x: 0.01, y: 0, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false,
         text: `ideal ${digits(ideal)} ↓`, font: { size: 10, color: css("ink-3") } }]
    : [];
  const colour = { "line.color": [css("head"), css("head"), css("ink-3")] };
  // No share is below nothing or above all; where a line is constant Plotly would show as much again around it.
  const [least, most] = spec.percent ? [-0.03, 1.03] : [null, null];
  const percent = { "yaxis.tickformat": spec.percent ? ".0%" : "", "yaxis.minallowed": least, "yaxis.maxallowed": most };
  window.Plotly.update(graph, { x, y, ...colour }, {
    "yaxis.type": log ? "log" : "linear", "yaxis.dtick": log ? (spansDecades(known, 1.8) ? 1 : "D2") : null, "xaxis.range": [0, run.epochs], shapes, annotations,
    "yaxis.autorange": true, "yaxis.showticklabels": known.length > 0, ...percent, ...axesTheme(css),
  });
  return shown;
}

/** The colours of words and grid lines, as a change of a graph's layout. */
export function axesTheme(css) {
  const change = { "font.color": css("ink-2") };
  for (const axis of ["xaxis", "yaxis"]) {
    change[`${axis}.gridcolor`] = css("line");
    change[`${axis}.zerolinecolor`] = css("line");
  }
  return change;
}
