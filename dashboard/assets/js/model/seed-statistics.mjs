// Statistics over the runs of a configuration that differ in their seed alone: median, range, time to a threshold.

/** Median of numbers; the mean of the two in the middle for an even count. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** A run's epoch on an x axis: epochs, training steps, or seconds of training (null where unknown). */
export const xAxes = {
  epoch: (run, epoch) => epoch,
  step: (run, epoch) => epoch * (run.started?.steps_per_epoch ?? 1),
  time: (run, epoch) => trainingSeconds(run, epoch),
};

/**
 * Median and range of a metric over runs, at every x that any of them was measured at; non-finite values are left out.
 * @param {(run, epoch: number) => number | null} toX one of `xAxes`
 * @param {number[] | null} grid x values for all runs where they share none, such as seconds: each run contributes the
 *   value that it measured last by then
 * @returns {{x: number[], median: number[], min: number[], max: number[]}}
 */
export function medianAndRange(runs, split, key, toX, grid = null) {
  const valuesByX = new Map();
  const add = (x, value) => {
    if (!valuesByX.has(x)) valuesByX.set(x, []);
    valuesByX.get(x).push(value);
  };
  for (const run of runs) {
    const points = finitePoints(run, split, key, toX);
    for (const [x, value] of grid ? sampleAt(points, grid) : points) add(x, value);
  }
  const x = [...valuesByX.keys()].sort((a, b) => a - b);
  const over = (statistic) => x.map((each) => statistic(valuesByX.get(each)));
  return { x, median: over(median), min: over((values) => Math.min(...values)), max: over((values) => Math.max(...values)) };
}

function finitePoints(run, split, key, toX) {
  return (run.series[split]?.[key] ?? []).flatMap((value, i) => {
    const x = value === null || !Number.isFinite(value) ? null : toX(run, run.measuredEpochs[i]);
    return x === null ? [] : [[x, value]];
  });
}

/** The last value at or before each x of the grid, between the first and the last point. */
function sampleAt(points, grid) {
  const samples = [];
  let i = -1;
  for (const x of grid) {
    while (i + 1 < points.length && points[i + 1][0] <= x) i += 1;
    if (i >= 0 && x <= points.at(-1)[0]) samples.push([x, points[i][1]]);
  }
  return samples;
}

/** The first x from which on a curve stays at or beyond a threshold; null where it does not. */
export function thresholdCrossing({ x, values }, threshold, direction) {
  const isBeyond = (value) => (direction === "high" ? value >= threshold : value <= threshold);
  let first = null;
  for (let i = 0; i < x.length; i += 1) {
    if (!isBeyond(values[i])) first = null;
    else if (first === null) first = x[i];
  }
  return first;
}

/**
 * Find for each run the x at which it reaches a threshold for good.
 * @returns {{median: number | null, crossings: number[], runs: number}} of the runs that reach it, and of how many
 */
export function thresholdCrossings(runs, key, threshold, direction, toX) {
  const crossings = runs.flatMap((run) => {
    const epoch = thresholdCrossing({ x: run.measuredEpochs, values: run.series.train?.[key] ?? [] }, threshold, direction);
    const x = epoch === null ? null : toX(run, epoch);
    return x === null ? [] : [x];
  });
  return { median: crossings.length ? median(crossings) : null, crossings, runs: runs.length };
}

/**
 * Seconds of training steps until an epoch, from the speed that steps report: without measuring and without the start.
 * Between and beyond reports the nearest speed holds; null where no speed was reported.
 */
export function trainingSeconds(run, epoch) {
  const { steps, started } = run;
  const samplesPerEpoch = (started?.steps_per_epoch ?? 1) * (run.batchSize ?? 0);
  let [atEpoch, total, speed] = [0, 0, 0];
  for (let i = 0; i < steps.epoch.length; i += 1) {
    if (!(steps.speed[i] > 0)) continue;
    const end = Math.min(epoch, steps.epoch[i]);
    speed = steps.speed[i];
    if (end > atEpoch) total += ((end - atEpoch) * samplesPerEpoch) / speed;
    atEpoch = Math.max(atEpoch, end);
  }
  if (!speed) return null;
  return epoch > atEpoch ? total + ((epoch - atEpoch) * samplesPerEpoch) / speed : total;
}
