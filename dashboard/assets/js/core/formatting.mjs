// Number formats: every number, duration, size and date that the scripts show is formatted here. Those that Python needs
// too are in dashboard/components/formatting.py; tests/number_formats.json has the results of both.

const BYTE_UNITS = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]];
const DEGREES_PER_RADIAN = 180 / Math.PI;

/** Format with three significant digits, and an exponent below 0.001. Empty for null. */
export function formatNumber(value) {
  if (value === null || value === undefined) return "";
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1);
  return Number(value.toPrecision(3)).toString();
}

/** Format a share in [0, 1] as "98.2 %". Empty for null. */
export const formatPercent = (value, digits = 1) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(digits)} %`);

/** Format a cosine or a relative norm with two decimals. */
export const formatDecimals = (value) => value.toFixed(2);

/** Format seconds as "34 s", "2 min 10 s", "3 h 5 min". */
export function formatDuration(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ""}`.trim();
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** Format a number of bytes as "3.4 kB". */
export function formatBytes(bytes) {
  const [unit, scale] = BYTE_UNITS.find(([, minimum]) => bytes >= minimum) ?? ["bytes", 1];
  return `${Number((bytes / scale).toPrecision(3))} ${unit}`;
}

/** Format a number with thousands separators and what it counts: "1 run", "1,200 runs". */
export const formatCount = (count, noun) => `${formatInteger(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Format a whole number with thousands separators. */
export const formatInteger = (count) => count.toLocaleString("en");

/** Start a text with a capital letter. */
export const capitalize = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Format the progress of a running run as "running 55 %". */
export const formatRunning = (epoch, epochs) => `running ${Math.floor((100 * epoch) / epochs)} %`;

/** Format samples per second to two significant digits. */
export const formatSpeed = (samplesPerSecond) => `${formatInteger(Math.round(Number(samplesPerSecond.toPrecision(2))))} samples/s`;

/** Convert a cosine to an angle in degrees. */
export const angleDegrees = (cosine) => Math.acos(Math.max(-1, Math.min(1, cosine))) * DEGREES_PER_RADIAN;

/** Format an angle in degrees as "96.4°". */
export const formatAngle = (degrees) => `${degrees.toFixed(1)}°`;

/** Format an epoch, which is a fraction between two measurements, as "epoch 12" or "epoch 12.25". */
export const formatEpoch = (epoch) => `epoch ${Number(epoch.toFixed(2))}`;

/** Format a position on an x axis ("epoch", "step" or "time" in seconds) as "epoch 12.5", "step 340", "4.20 s". */
export function formatPosition(axis, x) {
  if (axis === "time") return x < 10 ? `${x.toFixed(2)} s` : formatDuration(x);
  return `${axis} ${Number(x.toFixed(axis === "epoch" ? 1 : 0))}`;
}

/** Format an ISO time as "2026-01-01 10:20", with seconds if asked. */
export const formatTime = (iso, { seconds = false } = {}) => iso.slice(0, seconds ? 19 : 16).replace("T", " ");

/**
 * Format a table cell's value by its column's kind: "number", "share", "duration", "time" or "text". A metric of several
 * runs, {median, least, most, runs} as the service sends it, is its median with the range.
 */
export function formatValue(value, kind) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value === "object") {
    const { median, least, most, runs } = value;
    if (runs === 1 || least === most) return formatValue(median, kind);
    return `${formatValue(median, kind)} [${formatValue(least, kind)}, ${formatValue(most, kind)}]`;
  }
  if (kind === "share") return typeof value === "number" ? formatPercent(value) : String(value);
  if (kind === "duration") return formatDuration(value);
  if (kind === "time") return formatTime(value);
  if (kind === "number" && typeof value === "number") return Number.isInteger(value) ? String(value) : formatNumber(value);
  return String(value);
}
