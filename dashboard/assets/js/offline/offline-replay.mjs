// Runs as one file that works offline: scenes, their slider, cosines and curves, from data inside the page.

import { captureAt } from "../model/playback.mjs";
import { Scene, TRAIL } from "../scene/scene.mjs";

const SPEEDS = [1, 2, 4, 8];
const STEP_MS = 250; // of one capture at speed 1
const CHART = { width: 320, height: 150, left: 44, right: 8, top: 8, bottom: 20 };

/** Return whole numbers of 16 bits as they were before they were rounded: `scale` is the size of one step. */
export function restored(encoded, scale) {
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value * scale);
}

/** Cut one array of all captures into a {data, rows, columns} for each. */
export function captures({ data, scale, rows, columns }, count) {
  const whole = restored(data, scale);
  const size = rows * columns;
  return Array.from({ length: count }, (_, i) => ({ data: whole.subarray(i * size, (i + 1) * size), rows, columns }));
}

/** Points of a curve as an SVG path inside a box; what is no number, or has no place on a logarithmic axis, interrupts it. */
export function path(x, y, [x0, x1], [y0, y1], log, box) {
  const high = log ? Math.log10(y1) : y1;
  const low = log ? Math.log10(y0) : y0;
  const across = (value) => box.left + ((value - x0) / (x1 - x0 || 1)) * (box.width - box.left - box.right);
  const up = (value) => box.height - box.bottom - (((log ? Math.log10(value) : value) - low) / (high - low || 1)) * (box.height - box.top - box.bottom);
  let drawn = false;
  const parts = [];
  for (let i = 0; i < x.length; i += 1) {
    const there = y[i] !== null && Number.isFinite(y[i]) && (!log || y[i] > 0);
    if (there) parts.push(`${drawn ? "L" : "M"}${across(x[i]).toFixed(1)} ${up(y[i]).toFixed(1)}`);
    drawn = there;
  }
  return parts.join("");
}

/** The ends of an axis that shows all values, and whether it is logarithmic: more than a factor of twenty, all positive. */
export function ends(values) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  if (known.length === 0) return { range: [0, 1], log: false };
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const log = least > 0 && most > 20 * least;
  const slack = log ? 0 : (most - least || Math.abs(most) || 1) * 0.05;
  return { range: [least - slack, most + slack], log };
}

const digits = (value) => (value === null || value === undefined ? "" : Number(Number(value).toPrecision(3)).toString().replace("-", "−"));

/** The outline of a range: along the largest values and back along the least; what is missing splits it. */
export function band(x, low, high, across, range, log, box) {
  const parts = [];
  let from = 0;
  for (let i = 0; i <= x.length; i += 1) {
    const there = i < x.length && [low[i], high[i]].every((value) => value !== null && Number.isFinite(value) && (!log || value > 0));
    if (there) continue;
    if (i - from > 1) {
      const cut = (values) => values.slice(from, i);
      const up = path(cut(x), cut(high), across, range, log, box);
      const down = path(cut(x).reverse(), cut(low).reverse(), across, range, log, box);
      parts.push(`${up}L${down.slice(1)}Z`);
    }
    from = i + 1;
  }
  return parts.join("");
}

/** The epochs that any of the runs captured, ascending. */
export function moments(runs) {
  return [...new Set(runs.flatMap((run) => run.captures.map((capture) => capture.epoch)))].sort((a, b) => a - b);
}

const KINDS = { means: "class mean", weights: "classifier", features: "feature", vertices: "vertex" };
const SVG = "http://www.w3.org/2000/svg";

function svg(parent, name, attributes, words = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = words;
  parent.append(made);
  return made;
}

function element(parent, name, attributes = {}, words = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words) made.textContent = words;
  parent.append(made);
  return made;
}

/** One run of the page: its scene, its sentence, and its cosines. */
class View {
  constructor(replay, run, several) {
    this.run = run;
    this.css = replay.css;
    const article = element(replay.part("scenes"), "article");
    if (several) element(article, "h2", {}, run.label);
    const host = element(article, "div", { class: "scene", "data-part": "scene" });
    this.sentence = element(article, "p", { "data-part": "sentence" });
    const figure = element(replay.part("heats"), "figure");
    this.canvas = element(figure, "canvas", { class: "heat", width: 300, height: 300, role: "img", "data-part": "heat" });
    if (several) element(figure, "figcaption", {}, run.label);
    this.frames = this.unpack();
    this.scene = new Scene(host, {
      colours: run.colours, css: this.css,
      heard: { moved: () => replay.moved(this), click: (label) => replay.pin(label), hover: (mark) => replay.hover(run, mark) },
    });
    this.scene.begin(run);
    this.scene.layers.names = run.class_names.length <= 30;
  }

  unpack() {
    const { arrays, labels, captures: held } = this.run;
    const unpacked = Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, captures(array, held.length)]));
    return held.map((_, i) => ({
      means: unpacked.means[i], weights: unpacked.weights[i], features: unpacked.features[i], cosines: unpacked.cosines[i],
      pca: unpacked.pca?.[i] ?? null, labels: Int32Array.from(labels), seen: null, predictions: null, axes: null, pictures: new Map(),
    }));
  }

  show(epoch) {
    const at = captureAt(this.run.captures, epoch);
    const [capture, names] = [this.run.captures[at], this.run.class_names];
    this.scene.draw(this.frames[at], this.frames.slice(Math.max(0, at - TRAIL), at), capture.pair);
    const words = `Smallest angle ${capture.angle.toFixed(1)}°, ${names[capture.pair[0]]} and ${names[capture.pair[1]]}. Target ${this.run.ideal_deg.toFixed(1)}°. Mean off by ${capture.off.toFixed(1)}°.`;
    const late = Math.abs(capture.epoch - epoch) > 1e-6 ? `Epoch ${digits(capture.epoch)}. ` : "";
    this.sentence.textContent = late + words;
    this.scene.canvas.setAttribute("aria-label", `${this.run.label}: class means and the nearest ETF at epoch ${digits(capture.epoch)}. ${words}`);
    this.heat(this.frames[at].cosines, words);
  }

  /** The cosines between class means, in colours centred on the simplex's −1/(K−1). */
  heat({ data, rows }, words) {
    const context = this.canvas.getContext("2d");
    const cell = this.canvas.width / rows;
    const centre = -1 / (this.run.class_names.length - 1);
    const spread = Math.max(0.25, ...Array.from(data, (value, i) => (Math.floor(i / rows) === i % rows ? 0 : Math.abs(value - centre))));
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const [low, middle, high] = ["#2166ac", this.css("neutral"), "#b2182b"];
    for (let i = 0; i < rows; i += 1) {
      for (let j = 0; j < rows; j += 1) {
        if (i === j) continue;
        const away = (data[i * rows + j] - centre) / spread;
        context.globalAlpha = 1;
        context.fillStyle = middle;
        context.fillRect(j * cell + 0.5, i * cell + 0.5, cell - 1, cell - 1);
        context.globalAlpha = Math.min(1, Math.abs(away));
        context.fillStyle = away < 0 ? low : high;
        context.fillRect(j * cell + 0.5, i * cell + 0.5, cell - 1, cell - 1);
      }
    }
    context.globalAlpha = 1;
    this.canvas.setAttribute("aria-label", `${this.run.label}: cosines between class means. ${words}`);
  }
}

class Replay {
  constructor(root, told) {
    this.root = root;
    this.told = told;
    this.css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
    this.several = told.runs.length > 1;
    root.classList.toggle("several", this.several);
    this.views = told.runs.map((run) => new View(this, run, this.several));
    this.moments = moments(told.runs);
    this.at = this.moments.length - 1;
    this.speed = 0;
    this.slider = this.part("slider");
    this.slider.max = String(this.at);
    this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
    for (const button of root.querySelectorAll("[data-view]")) button.addEventListener("click", () => this.look(button.dataset.view));
    this.part("play").addEventListener("click", () => this.play());
    this.part("speed").addEventListener("click", () => this.faster());
    this.keys();
    this.charts();
    document.addEventListener("keydown", (event) => this.key(event));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const view of this.views) view.scene.recolour(); this.show(this.at); });
    this.show(this.at);
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  show(at) {
    this.at = Math.max(0, Math.min(this.moments.length - 1, at));
    this.slider.value = String(this.at);
    const words = `epoch ${digits(this.moments[this.at])}`;
    this.part("epoch").textContent = words;
    this.slider.setAttribute("aria-valuetext", words);
    for (const view of this.views) view.show(this.moments[this.at]);
    this.mark();
  }

  look(name) {
    for (const button of this.root.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === name));
    for (const view of this.views) view.scene.choose(name);
  }

  /** One camera for all scenes: a hand on one turns the others. */
  moved(from) {
    for (const view of this.views) {
      if (view === from) continue;
      view.scene.camera = from.scene.camera;
      view.scene.invalidate();
    }
  }

  pin(label) {
    for (const view of this.views) view.scene.emphasise(label === null || label === undefined ? [] : [label]);
  }

  hover(run, mark) {
    this.part("hover").textContent = mark ? `${run.class_names[mark.label]}, ${KINDS[mark.kind] ?? mark.kind}` : "";
  }

  play() {
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = null;
    } else {
      if (this.at === this.moments.length - 1) this.show(0);
      this.timer = setInterval(() => (this.at < this.moments.length - 1 ? this.show(this.at + 1) : this.play()), STEP_MS / SPEEDS[this.speed]);
    }
    this.part("play").textContent = this.timer ? "❚❚" : "▶";
    this.part("play").setAttribute("aria-label", this.timer ? "Pause" : "Play");
  }

  faster() {
    this.speed = (this.speed + 1) % SPEEDS.length;
    this.part("speed").textContent = `${SPEEDS[this.speed]}×`;
    if (this.timer) {
      this.play();
      this.play();
    }
  }

  key(event) {
    if (event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey) return;
    const far = event.shiftKey ? 10 : 1;
    const deeds = { " ": () => this.play(), ArrowLeft: () => this.show(this.at - far), ArrowRight: () => this.show(this.at + far), Home: () => this.show(0), End: () => this.show(this.moments.length - 1) };
    const onScene = this.views.some((view) => view.scene.canvas === event.target);
    if (!deeds[event.key] || (event.key === " " && event.target.tagName === "BUTTON") || onScene) return;
    event.preventDefault();
    deeds[event.key]();
  }

  /** What tells the lines of the charts apart. */
  keys() {
    for (const line of this.told.lines) {
      const key = element(this.part("keys"), "span");
      const drawn = svg(key, "svg", { viewBox: "0 0 26 8", "aria-hidden": "true" });
      svg(drawn, "path", { d: "M0 4H26", class: `line ${line.dash}`, style: `stroke:var(--${line.colour})` });
      key.append(line.label);
    }
  }

  charts() {
    this.drawn = this.told.first.map((key, i) => {
      const figure = element(this.part("charts"), "figure");
      const select = element(figure, "select", { "aria-label": `Metric of chart ${i + 1}` });
      for (const metric of this.told.metrics) select.add(new Option(metric.label, metric.key, false, metric.key === key));
      const chart = { key, svg: svg(figure, "svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img" }) };
      select.addEventListener("change", () => { chart.key = select.value; this.chart(chart); this.mark(); });
      this.chart(chart);
      return chart;
    });
  }

  chart(chart) {
    const lines = this.told.lines.map((line) => ({ ...line, ...line.values[chart.key] })).filter((line) => line.epochs);
    const { range, log } = ends(lines.flatMap((line) => [...line.middle, ...(line.low ?? []), ...(line.high ?? [])]));
    const across = [0, Math.max(1, ...lines.map((line) => line.epochs.at(-1) ?? 1))];
    const words = (at, text, end = true) => svg(chart.svg, "text", { ...at, class: end ? "tick end" : "tick" }, text);
    chart.svg.replaceChildren();
    svg(chart.svg, "path", { d: `M${CHART.left} ${CHART.top}V${CHART.height - CHART.bottom}H${CHART.width - CHART.right}`, class: "axis" });
    words({ x: CHART.left - 4, y: CHART.top + 8 }, digits(range[1]));
    words({ x: CHART.left - 4, y: CHART.height - CHART.bottom }, digits(range[0]));
    words({ x: CHART.width - CHART.right, y: CHART.height - 6 }, `epoch ${across[1]}`);
    if (log) words({ x: CHART.left + 4, y: CHART.top + 8 }, "logarithmic", false);
    for (const { low, high, epochs, colour } of lines) {
      if (low) svg(chart.svg, "path", { d: band(epochs, low, high, across, range, log, CHART), class: "band", style: `fill:var(--${colour})` });
    }
    for (const { middle, epochs, colour, dash } of lines) {
      svg(chart.svg, "path", { d: path(epochs, middle, across, range, log, CHART), class: `line ${dash}`, style: `stroke:var(--${colour})` });
    }
    Object.assign(chart, { cursor: svg(chart.svg, "path", { class: "cursor" }), across, lines });
  }

  /** Say in every chart what stands at the epoch shown. */
  mark() {
    const epoch = this.moments[this.at];
    for (const { svg: drawn, key, cursor, across, lines } of this.drawn) {
      const x = CHART.left + (Math.min(epoch, across[1]) / across[1]) * (CHART.width - CHART.left - CHART.right);
      cursor.setAttribute("d", `M${x.toFixed(1)} ${CHART.top}V${CHART.height - CHART.bottom}`);
      const label = this.told.metrics.find((metric) => metric.key === key).label;
      const said = lines.map((line) => {
        const place = line.epochs.findLastIndex((each) => each <= epoch);
        return place >= 0 ? `${line.label} ${digits(line.middle[place])}` : "";
      }).filter(Boolean).join(", ");
      drawn.setAttribute("aria-label", `${label} over epochs: ${said} at epoch ${digits(epoch)}`);
      drawn.parentElement.dataset.said = said;
    }
  }
}

const told = globalThis.document?.getElementById("replay-data");
if (told) globalThis.replay = new Replay(document.body, JSON.parse(told.textContent));
