// A run or a fold of runs as a row of the table: the value of each column, and how it reads.
// Columns are named as the filter language names fields, so that what is shown can be sorted and filtered by.

import { digits, duration, percent } from "../model/run-model.mjs";
import { number } from "../core/arrays.mjs";

const ASKED = { cancel: "stopping", pause: "pausing" };
const PARTS = { head: "head", dataset: "data", backbone: "backbone", optimiser: "optimiser" };
const SHARED = { head: "head", dataset: "data", backbone: "backbone", name: "name", group: "group", seed: "seed" };

/** "running 55 %", "failed: out of memory". */
export function statusWords(run) {
  if (run.status === "running") return ASKED[run.want] ?? `running ${Math.floor((100 * run.epoch) / run.config.epochs)} %`;
  return run.status === "failed" && run.error ? `failed: ${run.error}` : run.status;
}

/** "2 finished, 1 running" */
export function stateWords(states) {
  return Object.entries(states).map(([state, count]) => `${count} ${state}`).join(", ");
}

/** What a run has in a column: text, a number, or null. */
export function valueOf(run, field, now = Date.now()) {
  if (field === "status") return statusWords(run);
  if (field === "tags") return run.tags.join(", ");
  if (field === "duration") return run.started_at ? ranFor(run, now) : null;
  if (PARTS[field]) return run.config[PARTS[field]].name.replace("etf", "ETF");
  if (field in run && field !== "config") return run[field];
  const [split, ...rest] = field.split(".");
  if ((split === "train" || split === "test") && rest.length === 1) return number(run.summary[split]?.[rest[0]] ?? null);
  const setting = field.split(".").reduce((part, name) => part?.[name], run.config);
  return setting === undefined || setting === null ? null : typeof setting === "object" ? JSON.stringify(setting) : setting;
}

function ranFor(run, now) {
  const end = run.ended_at ? Date.parse(run.ended_at) : now;
  return Math.max(run.running_s, run.status === "running" ? (end - Date.parse(run.started_at)) / 1000 : 0);
}

/** What a fold has in a column: text, the spread of a number, or null. */
export function foldValue(fold, field, by) {
  if (field === "status") return stateWords(fold.states);
  if (field === "created_at") return fold.created_at;
  if (field === by) return fold.value ?? "none";
  if (SHARED[field]) return fold.shared[SHARED[field]]?.replace("etf", "ETF") ?? "";
  return fold.spreads[field] ?? null;
}

/** How a value reads in a column of a kind: "number", "share", "duration", "time", "text". */
export function words(value, kind) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value === "object") {
    const { median, least, most, runs } = value;
    return runs === 1 || least === most ? words(median, kind) : `${words(median, kind)} [${words(least, kind)}, ${words(most, kind)}]`;
  }
  if (kind === "share") return typeof value === "number" ? percent(value) : String(value);
  if (kind === "duration") return duration(value);
  if (kind === "time") return value.slice(0, 16).replace("T", " ");
  if (kind === "number" && typeof value === "number") return Number.isInteger(value) ? String(value) : digits(value);
  return String(value);
}

/** Order folds by a column; those without a value come last either way. */
export function sorted(folds, field, descending, by) {
  const key = (fold) => {
    const value = foldValue(fold, field, by);
    return value !== null && typeof value === "object" ? value.median : value;
  };
  const sign = descending ? -1 : 1;
  return [...folds].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === y) return 0;
    if (x === null || x === "") return 1;
    if (y === null || y === "") return -1;
    return (x < y ? -1 : 1) * sign;
  });
}

/** Points of a small picture of curves in a box, on a shared scale: one list of "x,y x,y" for each; logarithmic if wide. */
export function sparkPoints(curves, width, height) {
  const held = curves.map(({ epochs, values }) => values.flatMap((value, i) => {
    const y = number(value);
    return y !== null && Number.isFinite(y) ? [[epochs[i], y]] : [];
  }));
  const all = held.flat();
  if (all.length === 0) return [];
  const least = Math.min(...all.map(([, y]) => y));
  const most = Math.max(...all.map(([, y]) => y));
  const form = least > 0 && most / least > 10 ? Math.log : (y) => y;
  const [low, high, last] = [form(least), form(most), Math.max(...all.map(([x]) => x))];
  const place = ([x, y]) => {
    const up = high > low ? (form(y) - low) / (high - low) : 0.5;
    return `${((width * x) / Math.max(1, last)).toFixed(1)},${(1 + (height - 2) * (1 - up)).toFixed(1)}`;
  };
  return held.filter((points) => points.length > 1).map((points) => points.map(place).join(" "));
}
