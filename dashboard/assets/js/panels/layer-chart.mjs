// How collapse goes through the network: metrics of hidden layers, in the order of the forward pass.

import { axesTheme, wantsLog } from "./charts.mjs";

/** Layers of a run's series, in order, and the values of a metric in each at or before an epoch. */
export function layerValues(run, key, split, epoch) {
  const prefix = split === "train" ? "layer:" : "layer-test:";
  const names = Object.keys(run.series).filter((name) => name.startsWith(prefix));
  const index = epoch === null ? run.measuredEpochs.length - 1 : run.measuredEpochs.findLastIndex((each) => each <= epoch);
  const values = names.map((name) => run.series[name][key]?.[index] ?? null);
  const last = run.series[split]?.[key]?.[index] ?? null;
  return { names: [...names.map((name) => name.slice(prefix.length)), "penultimate"], values: [...values, last] };
}

export const hasLayers = (run) => Object.keys(run.series).some((name) => name.startsWith("layer:"));

export function drawLayers(graph, run, epoch, css) {
  if (!graph || !hasLayers(run)) return;
  const lines = [["nc1", "train"], ["nc1", "test"], ["ncc_accuracy", "train"], ["ncc_accuracy", "test"]].map(([key, split]) => layerValues(run, key, split, epoch));
  const log = wantsLog([...lines[0].values, ...lines[1].values]);
  window.Plotly.update(
    graph,
    { x: lines.map((line) => line.names), y: lines.map((line) => line.values), "line.color": [css("head"), css("head"), css("ink"), css("ink")], "marker.color": [css("head"), css("head"), css("ink"), css("ink")] },
    // Names may look like numbers, and an axis that was empty at first has become one of numbers.
    { "xaxis.type": "category", "yaxis.type": log ? "log" : "linear", ...axesTheme(css), "yaxis2.gridcolor": css("line") },
  );
  window.Plotly.Plots.resize(graph);
}
