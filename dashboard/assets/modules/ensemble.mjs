// Several runs as one: the median of a metric over them, and the range.

/** Median of numbers, as statistics.median has it. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * {x, middle, least, most} of a metric over runs, at every place that one of them was measured at; `place` turns a
 * run's epoch into a place on the axis. Values that are no number are left out.
 */
export function band(runs, split, key, place) {
  const at = new Map();
  for (const run of runs) {
    const values = run.series[split]?.[key] ?? [];
    values.forEach((value, i) => {
      if (value === null || !Number.isFinite(value)) return;
      const x = place(run, run.measuredEpochs[i]);
      if (!at.has(x)) at.set(x, []);
      at.get(x).push(value);
    });
  }
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

/** A run's epoch on the axis chosen: epochs, or training steps. */
export const PLACES = {
  epoch: (run, epoch) => epoch,
  step: (run, epoch) => epoch * (run.started?.steps_per_epoch ?? 1),
};
