// The chart of metrics over the network's layers, in the order of the forward pass.

import { axesTheme, needsLogAxis } from "./charts.mjs";

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
