// Texts of a run's page: status, progress, metric tiles, angle statistics, and descriptions for screen readers.

import { ENDED_STATUSES } from "../core/constants.mjs";
import { createElement, findPart, setText } from "../core/dom.mjs";
import { angleDegrees, formatAngle, formatDuration, formatEpoch, formatInteger, formatNumber, formatPercent, formatRunning, formatSpeed } from "../core/formatting.mjs";
import { secondsLeft } from "../model/run-model.mjs";

const isValue = (value) => value !== null && value !== undefined;

/** The status, with the share of epochs of a running run. */
export function statusText(run) {
  return run.status === "running" ? formatRunning(run.epoch, run.epochs) : run.status;
}

/** "epoch 2 of 10 · 5,200 samples/s · about 32 s left"; the error of a failed run; the progress of its data. */
export function progressText(run, nowMs) {
  const progress = `epoch ${run.epoch} of ${run.epochs}`;
  if (run.status === "failed") return run.error ?? progress;
  if (run.status === "running" && run.dataProgress) return dataProgressText(run.dataProgress);
  const parts = [progress];
  if (run.status === "running" && run.speed !== null) parts.push(formatSpeed(run.speed));
  const left = secondsLeft(run, nowMs);
  if (left !== null) parts.push(`about ${formatDuration(left)} left`);
  return parts.join(" · ");
}

/** "downloading cifar-10-binary.tar.gz: 34 of 170 MB · about 12 s left". */
export function dataProgressText({ what, done, total, unit, remaining_s: secondsRemaining }) {
  const [scale, unitName] = unit === "bytes" ? [1e6, "MB"] : [1, unit];
  const amount = (count) => formatInteger(Math.round(count / scale));
  const ofTotal = total === null ? "" : ` of ${amount(total)}`;
  return `${what}: ${amount(done)}${ofTotal} ${unitName}${secondsRemaining === null ? "" : ` · about ${formatDuration(secondsRemaining)} left`}`;
}

/** Update status, progress and note in the page's header. */
export function updateHeader(root, run, nowMs) {
  root.dataset.status = run.status;
  setText(findPart(root, "status"), statusText(run));
  setText(findPart(root, "epoch"), progressText(run, nowMs));
  setText(findPart(root, "note"), run.note ?? "");
  const bar = findPart(root, "progress");
  if (bar) bar.style.width = `${(100 * run.epoch) / run.epochs}%`;
}

/** The epoch of a capture, or why there is none. */
export function captureText(run, capture) {
  if (!capture) return ENDED_STATUSES.has(run.status) ? "No captures" : "Waiting for the first capture";
  return formatEpoch(capture.epoch);
}

/** Fill the metric tiles with the values measured at or before an epoch; null is the latest. */
export function updateReadings(root, run, epoch) {
  const epochs = run.measuredEpochs;
  const index = epoch === null ? epochs.length - 1 : epochs.findLastIndex((each) => each <= epoch);
  for (const tile of root.querySelectorAll("[data-reading]")) {
    const key = tile.dataset.reading;
    const format = tile.dataset.percent ? formatPercent : formatNumber;
    const [train, test] = ["train", "test"].map((split) => run.series[split][key]?.[index]);
    const ideal = run.started?.metrics[key]?.ideal;
    const notes = index < 0 || test === undefined ? [] : [`test ${format(test)}`];
    if (isValue(ideal) && !tile.dataset.percent) notes.push(`ideal ${formatNumber(ideal)}`);
    tile.querySelector("[data-value]").textContent = index < 0 ? "" : format(train);
    tile.querySelector("[data-note]").textContent = notes.join(" · ");
  }
}

/** The statistics of angles beside the heatmap, as [label, value] each. */
function angleStatistics(run, capture) {
  const names = run.started.class_names;
  const idealDegrees = angleDegrees(-1 / (names.length - 1));
  const lines = [
    ["Smallest angle", formatAngle(capture.smallest_angle_deg)], [capture.smallest_pair.map((i) => names[i]).join(" and "), ""],
    ["Ideal", formatAngle(idealDegrees)], ["Mean angle error", formatAngle(capture.mean_angle_error_deg)],
  ];
  if (run.terminalPhaseEpoch !== null) lines.push([`Terminal phase since epoch ${run.terminalPhaseEpoch}`, ""]);
  if (run.collapseLayer !== null) lines.push([`Collapse layer: ${run.collapseLayer}`, ""]);
  return lines;
}

/** Update the statistics beside the heatmap. */
export function updateAngleStatistics(root, run, capture) {
  const place = findPart(root, "angle-statistics");
  const lines = angleStatistics(run, capture);
  const content = JSON.stringify(lines);
  if (place.dataset.content === content) return;
  place.dataset.content = content;
  place.replaceChildren(...lines.map(([label, value]) => createElement("p", {}, value ? [label, " ", createElement("b", { textContent: value })] : [label])));
}

/** Describe a capture for screen readers. */
export function captureDescription(run, capture) {
  const [smallest, pair, ideal, error] = angleStatistics(run, capture);
  return `Class means at ${captureText(run, capture)}. ${smallest.join(" ")} between ${pair[0]}, ideal ${ideal[1]}. ${error.join(" ")}.`;
}

/** Describe a chart for screen readers: first and last value of each split, and the ideal. */
export function chartDescription({ x, y, ideal }, { title, percent: isShare }) {
  const format = isShare ? formatPercent : formatNumber;
  const parts = ["train", "test"].flatMap((split, i) => {
    const last = y[i].findLastIndex(isValue);
    return last < 0 ? [] : [`${split} from ${format(y[i].find(isValue))} to ${format(y[i][last])} at epoch ${formatNumber(x[i][last])}`];
  });
  return `${title}: ${parts.join(", ") || "no measurements yet"}${ideal === null ? "" : `, ideal ${format(ideal)}`}.`;
}
