// Fills the Plotly figures that the server sends: the heatmap of cosines, metrics over epochs, metrics over layers.

import { finiteValues, needsLogAxis } from "../core/arrays.mjs";
import { COLOURS, MIN_COLOUR_RANGE } from "../core/constants.mjs";
import { angleDegrees, formatAngle, formatDecimals, formatNumber } from "../core/formatting.mjs";

const MAX_MINOR_TICK_DECADES = 1.8;
const SHARE_AXIS_LIMITS = [-0.03, 1.03]; // without limits Plotly surrounds a constant curve with as much again

/** Colours of differences of cosines, from low over neutral to high. */
export const divergingScale = (css) => [[0, COLOURS.cosine_low], [0.5, css("neutral")], [1, COLOURS.cosine_high]];

/**
 * The heatmap's values, null on the diagonal, with the ideal of `classCount` classes as centre and the largest distance
 * from it. Where rows are blocks of neighbouring classes, the diagonal is a value like others.
 */
export function heatmapValues({ data, rows }, unit, classCount = rows) {
  const convert = unit === "angle" ? angleDegrees : (cosine) => cosine;
  const centre = convert(-1 / (classCount - 1));
  let range = MIN_COLOUR_RANGE[unit];
  const z = Array.from({ length: rows }, (_, i) =>
    Array.from({ length: rows }, (_, j) => {
      if (i === j && rows === classCount) return null;
      const value = convert(data[i * rows + j]);
      range = Math.max(range, Math.abs(value - centre));
      return value;
    }),
  );
  return { z, centre, range };
}

/** Labels of blocks of neighbouring classes: "1–16", "17–32" … */
function blockLabels(rows, classCount) {
  const size = Math.ceil(classCount / rows);
  return Array.from({ length: rows }, (_, i) => `${i * size + 1}–${Math.min(classCount, (i + 1) * size)}`);
}

/** Outlines of the heatmap's rows and columns of highlighted classes, as Plotly shapes. */
export function highlightShapes(labels, classCount, css) {
  const line = { color: css("ink-3"), width: 1 };
  const box = (x0, x1, y0, y1) => ({ type: "rect", x0, x1, y0, y1, line });
  const end = classCount - 0.5;
  return labels.flatMap((i) => [box(-0.5, end, i - 0.5, i + 0.5), box(i - 0.5, i + 0.5, -0.5, end)]);
}

/** Draw cosines or angles between class means. */
export function drawHeatmap(graph, cosines, unit, css, classCount) {
  const { z, centre, range } = heatmapValues(cosines, unit, classCount);
  if (cosines.rows !== classCount && graph.data[0].x.length !== cosines.rows) {
    const labels = blockLabels(cosines.rows, classCount);
    const limits = [-0.5, cosines.rows - 0.5];
    window.Plotly.update(graph, { x: [labels], y: [labels] }, { "xaxis.range": limits, "yaxis.range": [...limits].reverse() }, [0]);
  }
  const isAngle = unit === "angle";
  const [low, high] = [centre - range, centre + range];
  const tick = (value) => (isAngle ? formatAngle(value) : formatDecimals(value));
  const change = {
    z: [z], showscale: true, zmin: low, zmax: high, colorscale: [divergingScale(css)], reversescale: isAngle,
    "colorbar.tickvals": [[low, centre, high]],
    "colorbar.ticktext": [[tick(low), isAngle ? tick(centre) : `−1/${classCount - 1}`, tick(high)]],
    hovertemplate: isAngle ? "%{y}, %{x}: %{z:.1f}°<extra></extra>" : "%{y}, %{x}: %{z:.3f}<extra></extra>",
  };
  window.Plotly.restyle(graph, change, [0]);
}

/** A logarithmic axis has minor ticks (1, 2, 5) unless its values span too many decades. */
function logTicks(values) {
  const finite = finiteValues(values);
  return Math.log10(Math.max(...finite) / Math.min(...finite)) > MAX_MINOR_TICK_DECADES ? 1 : "D2";
}

/** What one chart shows of a run: x and y of train, test and ideal, and whether its axis is logarithmic. */
export function chartData(run, chart) {
  if (chart.steps) return { x: [run.steps.epoch, [], []], y: [run.steps[chart.steps], [], []], isLog: false, ideal: null };
  const [train, test] = ["train", "test"].map((split) => run.series[split][chart.key] ?? []);
  const ideal = run.started?.metrics[chart.key]?.ideal ?? null;
  const isLog = needsLogAxis([...train, ...test]);
  // Without values there is no axis for the ideal; on a logarithmic axis there is no zero.
  const line = ideal === null || isLog || train.length === 0 ? [[], []] : [[0, run.epochs], [ideal, ideal]];
  return { x: [run.measuredEpochs, run.measuredEpochs, line[0]], y: [train, test, line[1]], isLog, ideal };
}

/** The Plotly element that Dash has mounted in a graph; null while it has not. */
export const plotlyElement = (id) => document.getElementById(id)?.querySelector(".js-plotly-plot") ?? null;

/** Set the titles of the four charts of a group; the place of a chart that `isShown` leaves out is empty. */
export function setChartTitles(root, charts, isShown = Boolean) {
  root.querySelectorAll("[data-chart-title]").forEach((title, i) => {
    title.textContent = charts[i]?.title ?? "";
    title.title = charts[i]?.help ?? "";
    title.parentElement.style.visibility = isShown(charts[i]) ? "" : "hidden";
  });
}

/** Index of the point nearest to an epoch, or -1. */
export function nearestPointIndex(epochs, epoch) {
  let nearest = -1;
  for (let i = 0; i < epochs.length; i += 1) {
    if (nearest < 0 || Math.abs(epochs[i] - epoch) < Math.abs(epochs[nearest] - epoch)) nearest = i;
  }
  return nearest;
}

/** Show a chart's hover labels at an epoch; null hides them. */
export function showHover(graph, epoch) {
  const { Fx } = window.Plotly;
  const points = epoch === null ? [] : [0, 1].flatMap((curveNumber) => {
    const { x, y } = graph.data[curveNumber];
    const pointNumber = nearestPointIndex(x, epoch);
    return pointNumber >= 0 && y[pointNumber] !== null ? [{ curveNumber, pointNumber }] : [];
  });
  if (points.length) Fx.hover(graph, points, "xy", true);
  else Fx.unhover(graph, undefined, undefined, true);
}

/** Draw a chart of a run and return its data. */
export function drawChart(graph, run, chart, css) {
  const data = chartData(run, chart);
  const { x, y, isLog, ideal } = data;
  const values = y.flat();
  const [min, max] = chart.percent ? SHARE_AXIS_LIMITS : [null, null];
  window.Plotly.update(graph, { x, y, "line.color": [css("head"), css("head"), css("ink-3")] }, {
    "yaxis.type": isLog ? "log" : "linear", "yaxis.dtick": isLog ? logTicks(values) : null, "xaxis.range": [0, run.epochs],
    "yaxis.autorange": true, "yaxis.showticklabels": finiteValues(values).length > 0,
    "yaxis.tickformat": chart.percent ? ".0%" : "", "yaxis.minallowed": min, "yaxis.maxallowed": max,
    shapes: terminalPhaseShapes(run, css), annotations: isLog && ideal !== null ? [idealAnnotation(ideal, css)] : [], ...axesTheme(css),
  });
  return data;
}

function terminalPhaseShapes({ terminalPhaseEpoch: epoch }, css) {
  if (epoch === null) return [];
  return [{ type: "line", x0: epoch, x1: epoch, y0: 0, y1: 1, yref: "paper", layer: "below", line: { color: css("ink-3"), width: 0.8 } }];
}

function idealAnnotation(ideal, css) {
  const place = { x: 0.01, y: 0, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom" };
  return { ...place, showarrow: false, text: `ideal ${formatNumber(ideal)} ↓`, font: { size: 10, color: css("ink-3") } };
}

/** The colours of text and grid lines, as a change of a Plotly layout. */
export function axesTheme(css) {
  const change = { "font.color": css("ink-2") };
  for (const axis of ["xaxis", "yaxis"]) {
    change[`${axis}.gridcolor`] = css("line");
    change[`${axis}.zerolinecolor`] = css("line");
  }
  return change;
}

const TRACES = [["nc1", "train"], ["nc1", "test"], ["ncc_accuracy", "train"], ["ncc_accuracy", "test"]];

/** The layers that a run measured, in order, and a metric's values in each at or before an epoch (null: the latest). */
export function layerValues(run, key, split, epoch) {
  const prefix = split === "train" ? "layer:" : "layer-test:";
  const layers = Object.keys(run.series).filter((name) => name.startsWith(prefix));
  const index = epoch === null ? run.measuredEpochs.length - 1 : run.measuredEpochs.findLastIndex((each) => each <= epoch);
  const values = [...layers, split].map((name) => run.series[name]?.[key]?.[index] ?? null);
  return { names: [...layers.map((name) => name.slice(prefix.length)), "penultimate"], values };
}

/** Draw NC1 and nearest-class-mean accuracy over the layers; nothing where the run measured none. */
export function drawLayerChart(graph, run, epoch, css) {
  if (!graph || !Object.keys(run.series).some((name) => name.startsWith("layer:"))) return;
  const traces = TRACES.map(([key, split]) => layerValues(run, key, split, epoch));
  const isLog = needsLogAxis([...traces[0].values, ...traces[1].values]);
  const colours = [css("head"), css("head"), css("ink"), css("ink")];
  window.Plotly.update(
    graph,
    { x: traces.map(({ names }) => names), y: traces.map(({ values }) => values), "line.color": colours, "marker.color": colours },
    // Names may look like numbers: without an explicit type an axis that was empty becomes numeric.
    { "xaxis.type": "category", "yaxis.type": isLog ? "log" : "linear", ...axesTheme(css), "yaxis2.gridcolor": css("line") },
  );
  window.Plotly.Plots.resize(graph);
}
