// The words of a run's page: status, progress, readings, and the sentence a person would say of the angles.

import { digits, ENDED, percent, progressWords, statusWords } from "../model/run-model.mjs";

export function say(root, name, text) {
  const place = root.querySelector(`[data-part="${name}"]`);
  if (place && place.textContent !== text) place.textContent = text;
}

/** What stands in the header. */
export function header(root, run, now) {
  root.dataset.status = run.status;
  say(root, "status", statusWords(run));
  say(root, "epoch", progressWords(run, now));
  say(root, "note", run.note ?? "");
  const bar = root.querySelector('[data-part="progress"]');
  if (bar) bar.style.width = `${(100 * run.epoch) / run.epochs}%`;
}

export function epochWords(run, capture) {
  if (!capture) return ENDED.has(run.status) ? "no capture" : "waiting for the first capture";
  return `epoch ${Number.isInteger(capture.epoch) ? capture.epoch : capture.epoch.toFixed(2)}`;
}

/** Fill the tiles with what was measured at or before an epoch; null is the newest. */
export function readings(root, run, epoch) {
  const epochs = run.measuredEpochs;
  const index = epoch === null ? epochs.length - 1 : epochs.findLastIndex((each) => each <= epoch);
  for (const tile of root.querySelectorAll("[data-reading]")) {
    const key = tile.dataset.reading;
    const form = tile.dataset.percent ? percent : digits;
    const [train, test] = ["train", "test"].map((split) => run.series[split][key]?.[index]);
    const ideal = run.started?.metrics[key]?.ideal;
    const notes = index < 0 || test === undefined ? [] : [`test ${form(test)}`];
    if (ideal !== undefined && ideal !== null && !tile.dataset.percent) notes.push(`ideal ${digits(ideal)}`);
    tile.querySelector("[data-value]").textContent = index < 0 ? "" : form(train);
    tile.querySelector("[data-note]").textContent = notes.join(" · ");
  }
}

/** The lines beside the heatmap, as [words, value] each. */
export function angleLines(run, capture) {
  const names = run.started.class_names;
  const target = (Math.acos(-1 / (names.length - 1)) * 180) / Math.PI;
  const lines = [
    ["Smallest angle", `${capture.smallest_angle_deg.toFixed(1)}°`], [capture.smallest_pair.map((i) => names[i]).join(" and "), ""],
    ["Target", `${target.toFixed(1)}°`], ["Mean off by", `${capture.mean_angle_error_deg.toFixed(1)}°`],
  ];
  if (run.terminalPhase !== null) lines.push([`Terminal phase since epoch ${run.terminalPhase}`, ""]);
  if (run.collapseLayer !== null) {
    const layer = run.collapseLayer === "penultimate" ? "the penultimate layer" : `layer ${run.collapseLayer}`;
    lines.push([`Classes are separated from ${layer} on`, ""]);
  }
  return lines;
}

/** The picture in words, for those who do not see it. */
export function alternative(run, capture) {
  const [smallest, pair, target, off] = angleLines(run, capture);
  return `Class means at ${epochWords(run, capture)}. ${smallest.join(" ")} between ${pair[0]}, target ${target[1]}. ${off.join(" ")}.`;
}

/** A chart in words: what it ends with, from where, and its ideal. */
export function chartWords({ x, y, ideal }, { title, percent: shares }) {
  const form = shares ? percent : digits;
  const told = ["train", "test"].flatMap((split, i) => {
    const last = y[i].findLastIndex((value) => value !== null && value !== undefined);
    return last < 0 ? [] : [`${split} from ${form(y[i].find((value) => value !== null && value !== undefined))} to ${form(y[i][last])} at epoch ${digits(x[i][last])}`];
  });
  return `${title}: ${told.join(", ") || "nothing measured yet"}${ideal === null ? "" : `, ideal ${form(ideal)}`}.`;
}

export function sentence(root, run, capture) {
  const place = root.querySelector('[data-part="sentence"]');
  const lines = angleLines(run, capture);
  const text = JSON.stringify(lines);
  if (place.dataset.said === text) return;
  place.dataset.said = text;
  place.replaceChildren(...lines.map(([words, value]) => {
    const line = document.createElement("p");
    line.append(words);
    if (value) line.append(" ", Object.assign(document.createElement("b"), { textContent: value }));
    return line;
  }));
}
