// Several runs as one: the median of a metric over them, and the range.

/** Median of numbers, as statistics.median has it. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * {x, middle, least, most} of a metric over runs, at every place that one of them was measured at; `place` turns a
 * run's epoch into a place on the axis. Values that are no number are left out. Where runs share no places, such as
 * seconds, `grid` gives places for all: each run has there what it measured last by then.
 */
export function band(runs, split, key, place, grid = null) {
  const at = new Map();
  if (grid) return spread(sampled(runs, split, key, place, grid));
  for (const run of runs) {
    const values = run.series[split]?.[key] ?? [];
    values.forEach((value, i) => {
      if (value === null || !Number.isFinite(value)) return;
      const x = place(run, run.measuredEpochs[i]);
      if (x === null) return;
      if (!at.has(x)) at.set(x, []);
      at.get(x).push(value);
    });
  }
  return spread(at);
}

function sampled(runs, split, key, place, grid) {
  const at = new Map();
  for (const run of runs) {
    const known = (run.series[split]?.[key] ?? []).flatMap((value, i) => {
      const x = value === null || !Number.isFinite(value) ? null : place(run, run.measuredEpochs[i]);
      return x === null ? [] : [[x, value]];
    });
    let i = -1;
    for (const x of grid) {
      while (i + 1 < known.length && known[i + 1][0] <= x) i += 1;
      if (i < 0 || x > known.at(-1)[0]) continue;
      if (!at.has(x)) at.set(x, []);
      at.get(x).push(known[i][1]);
    }
  }
  return at;
}

function spread(at) {
  const x = [...at.keys()].sort((a, b) => a - b);
  return {
    x, middle: x.map((each) => median(at.get(each))), least: x.map((each) => Math.min(...at.get(each))), most: x.map((each) => Math.max(...at.get(each))),
  };
}

/** The first place from which on a curve stays at or beyond a threshold; null where it does not. */
export function timeTo({ x, middle }, threshold, direction) {
  const beyond = (value) => (direction === "high" ? value >= threshold : value <= threshold);
  let first = null;
  for (let i = 0; i < x.length; i += 1) {
    if (!beyond(middle[i])) first = null;
    else if (first === null) first = x[i];
  }
  return first;
}

/**
 * Seconds of training steps until an epoch, from the speed that the steps report: without measuring, and without the
 * start. Between and beyond what was reported the speed is the nearest one; where none was, null.
 */
export function seconds(run, epoch) {
  const { steps, started } = run;
  const perEpoch = (started?.steps_per_epoch ?? 1) * (run.batch ?? 0);
  let [at, total, known] = [0, 0, 0];
  for (let i = 0; i < steps.epoch.length; i += 1) {
    if (!(steps.speed[i] > 0)) continue;
    const end = Math.min(epoch, steps.epoch[i]);
    known = steps.speed[i];
    if (end > at) total += ((end - at) * perEpoch) / known;
    at = Math.max(at, end);
  }
  if (!known) return null;
  return epoch > at ? total + ((epoch - at) * perEpoch) / known : total;
}

/** A run's epoch on the axis chosen: epochs, training steps, or seconds of training. */
export const PLACES = {
  epoch: (run, epoch) => epoch,
  step: (run, epoch) => epoch * (run.started?.steps_per_epoch ?? 1),
  time: (run, epoch) => seconds(run, epoch),
};

/** For each entry when its runs get there: the median of those that do, each of them, and of how many. */
export function timesTo(runs, key, threshold, direction, place) {
  const reached = runs.map((run) => timeTo({ x: run.measuredEpochs, middle: run.series.train?.[key] ?? [] }, threshold, direction));
  const places = runs.flatMap((run, i) => (reached[i] === null ? [] : [place(run, reached[i])])).filter((each) => each !== null);
  return { median: places.length ? median(places) : null, places, runs: runs.length };
}

/** The mean of matrices of one size ({data, rows, columns}); null where their sizes differ. */
export function meanMatrix(matrices) {
  const [{ rows, columns }] = matrices;
  if (matrices.some((each) => each.rows !== rows || each.columns !== columns)) return null;
  const data = Float32Array.from({ length: rows * columns }, (_, i) => matrices.reduce((sum, each) => sum + each.data[i], 0) / matrices.length);
  return { data, rows, columns };
}
