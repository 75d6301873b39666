// A run or a group of runs as a row of the table: the value of each column. Columns have the names of the filter
// language's fields, so that what is shown can be sorted and filtered by.

import { toNumber } from "../core/arrays.mjs";

const REQUESTED_STATUS = { cancel: "stopping", pause: "pausing" };
const CONFIG_PARTS = { head: "head", dataset: "data", backbone: "backbone", optimiser: "optimiser" };
const SHARED_FIELDS = { head: "head", dataset: "data", backbone: "backbone", name: "name", group: "group", seed: "seed" };
const SPARKLINE_LOG_RATIO = 10; // of the largest to the smallest value, for a logarithmic sparkline

/** "running 55 %", "failed: out of memory". */
export function rowStatusText(run) {
  if (run.status === "running") return REQUESTED_STATUS[run.want] ?? `running ${Math.floor((100 * run.epoch) / run.config.epochs)} %`;
  return run.status === "failed" && run.error ? `failed: ${run.error}` : run.status;
}

/** "2 finished, 1 running". */
export function statusCountsText(counts) {
  return Object.entries(counts).map(([status, count]) => `${count} ${status}`).join(", ");
}

/** A run's value in a column: text, a number, or null. */
export function runValue(run, field, nowMs = Date.now()) {
  if (field === "status") return rowStatusText(run);
  if (field === "tags") return run.tags.join(", ");
  if (field === "duration") return run.started_at ? runningSeconds(run, nowMs) : null;
  if (CONFIG_PARTS[field]) return run.config[CONFIG_PARTS[field]].name;
  if (field in run && field !== "config") return run[field];
  const [split, ...rest] = field.split(".");
  if ((split === "train" || split === "test") && rest.length === 1) return toNumber(run.summary[split]?.[rest[0]] ?? null);
  const setting = field.split(".").reduce((part, name) => part?.[name], run.config);
  return setting === undefined || setting === null ? null : typeof setting === "object" ? JSON.stringify(setting) : setting;
}

function runningSeconds(run, nowMs) {
  const endMs = run.ended_at ? Date.parse(run.ended_at) : nowMs;
  return Math.max(run.running_s, run.status === "running" ? (endMs - Date.parse(run.started_at)) / 1000 : 0);
}

/** A group's value in a column: text, {median, least, most, runs} of a metric as the service sends it, or null. */
export function groupValue(group, field, groupedBy) {
  if (field === "status") return statusCountsText(group.states);
  if (field === "created_at") return group.created_at;
  if (field === groupedBy) return group.value ?? "none";
  if (SHARED_FIELDS[field]) return group.shared[SHARED_FIELDS[field]] ?? "";
  return group.spreads[field] ?? null;
}

/** Sort groups by a column; those without a value are last in either direction. */
export function sortGroups(groups, field, isDescending, groupedBy) {
  const key = (group) => {
    const value = groupValue(group, field, groupedBy);
    return value !== null && typeof value === "object" ? value.median : value;
  };
  const sign = isDescending ? -1 : 1;
  return [...groups].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === y) return 0;
    if (x === null || x === "") return 1;
    if (y === null || y === "") return -1;
    return (x < y ? -1 : 1) * sign;
  });
}

/**
 * The polylines of sparklines that share one scale, which is logarithmic where values span more than a factor of ten.
 * @param {{epochs: number[], values: (number | string | null)[]}[]} curves
 * @returns {string[]} "x,y x,y …" in pixels, for each curve of at least two finite values
 */
export function sparklinePoints(curves, width, height) {
  const finite = curves.map(({ epochs, values }) => values.flatMap((value, i) => {
    const y = toNumber(value);
    return y !== null && Number.isFinite(y) ? [[epochs[i], y]] : [];
  }));
  const all = finite.flat();
  if (all.length === 0) return [];
  const min = Math.min(...all.map(([, y]) => y));
  const max = Math.max(...all.map(([, y]) => y));
  const scale = min > 0 && max / min > SPARKLINE_LOG_RATIO ? Math.log : (y) => y;
  const [low, high, lastEpoch] = [scale(min), scale(max), Math.max(...all.map(([x]) => x))];
  const toPixels = ([x, y]) => {
    const share = high > low ? (scale(y) - low) / (high - low) : 0.5;
    return `${((width * x) / Math.max(1, lastEpoch)).toFixed(1)},${(1 + (height - 2) * (1 - share)).toFixed(1)}`;
  };
  return finite.filter((points) => points.length > 1).map((points) => points.map(toPixels).join(" "));
}
