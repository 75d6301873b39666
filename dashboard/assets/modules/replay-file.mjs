// A run as one file that works offline: the scene, its slider, the cosines and the curves, from data inside the page.

import { Scene } from "./scene.mjs";

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

class Replay {
  constructor(root, told) {
    this.root = root;
    this.told = told;
    this.css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
    this.frames = this.unpack();
    this.at = this.frames.length - 1;
    this.speed = 0;
    this.scene = new Scene(this.part("scene"), { colours: told.colours, css: this.css, heard: { moved() {}, click: (label) => this.pin(label), hover: (mark) => this.hover(mark) } });
    this.scene.begin(told);
    this.scene.layers.names = told.class_names.length <= 30;
    this.slider = this.part("slider");
    this.slider.max = String(this.at);
    this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
    for (const button of root.querySelectorAll("[data-view]")) button.addEventListener("click", () => this.look(button.dataset.view));
    this.part("play").addEventListener("click", () => this.play());
    this.part("speed").addEventListener("click", () => this.faster());
    this.metrics = told.first;
    this.charts();
    document.addEventListener("keydown", (event) => this.key(event));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.scene.recolour(); this.show(this.at); });
    this.show(this.at);
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  unpack() {
    const { arrays, labels, captures: held } = this.told;
    const [means, weights, features, cosines] = ["means", "weights", "features", "cosines"].map((name) => captures(arrays[name], held.length));
    return held.map((_, i) => ({
      means: means[i], weights: weights[i], features: features[i], cosines: cosines[i], labels: Int32Array.from(labels),
      seen: null, pca: null, predictions: null, axes: null, pictures: new Map(),
    }));
  }

  show(at) {
    this.at = Math.max(0, Math.min(this.frames.length - 1, at));
    this.slider.value = String(this.at);
    const capture = this.told.captures[this.at];
    this.scene.draw(this.frames[this.at], this.frames.slice(Math.max(0, this.at - 8), this.at), capture.pair);
    const names = this.told.class_names;
    const words = `epoch ${digits(capture.epoch)}`;
    this.part("epoch").textContent = words;
    this.slider.setAttribute("aria-valuetext", words);
    const sentence = `Smallest angle ${capture.angle.toFixed(1)}°, ${names[capture.pair[0]]} and ${names[capture.pair[1]]}. Target ${this.told.ideal_deg.toFixed(1)}°. Mean off by ${capture.off.toFixed(1)}°.`;
    this.part("sentence").textContent = sentence;
    this.scene.canvas.setAttribute("aria-label", `Class means and the nearest ETF at ${words}. ${sentence}`);
    this.heat();
    this.mark();
  }

  look(view) {
    for (const button of this.root.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
    this.scene.choose(view);
  }

  pin(label) {
    this.scene.emphasise(label === null || label === undefined ? [] : [label]);
  }

  hover(mark) {
    this.part("hover").textContent = mark ? `${this.told.class_names[mark.label]}, ${{ means: "class mean", weights: "classifier", features: "feature", vertices: "vertex" }[mark.kind] ?? mark.kind}` : "";
  }

  play() {
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = null;
    } else {
      if (this.at === this.frames.length - 1) this.show(0);
      this.timer = setInterval(() => (this.at < this.frames.length - 1 ? this.show(this.at + 1) : this.play()), STEP_MS / SPEEDS[this.speed]);
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
    const deeds = { " ": () => this.play(), ArrowLeft: () => this.show(this.at - far), ArrowRight: () => this.show(this.at + far), Home: () => this.show(0), End: () => this.show(this.frames.length - 1) };
    if (!deeds[event.key] || (event.key === " " && event.target.tagName === "BUTTON") || event.target === this.scene.canvas) return;
    event.preventDefault();
    deeds[event.key]();
  }

  /** The cosines between class means, in colours centred on the simplex's −1/(K−1). */
  heat() {
    const { data, rows } = this.frames[this.at].cosines;
    const canvas = this.part("heat");
    const context = canvas.getContext("2d");
    const cell = canvas.width / rows;
    const centre = -1 / (this.told.class_names.length - 1);
    const spread = Math.max(0.25, ...Array.from(data, (value, i) => (Math.floor(i / rows) === i % rows ? 0 : Math.abs(value - centre))));
    context.clearRect(0, 0, canvas.width, canvas.height);
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
    canvas.setAttribute("aria-label", `Cosines between class means. ${this.part("sentence").textContent}`);
  }

  charts() {
    const host = this.part("charts");
    this.drawn = this.metrics.map((key, i) => {
      const figure = document.createElement("figure");
      const select = document.createElement("select");
      select.setAttribute("aria-label", `Metric of chart ${i + 1}`);
      for (const metric of this.told.metrics) select.add(new Option(metric.label, metric.key, false, metric.key === key));
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", `0 0 ${CHART.width} ${CHART.height}`);
      svg.setAttribute("role", "img");
      figure.append(select, svg);
      host.append(figure);
      const chart = { svg, key };
      select.addEventListener("change", () => { chart.key = select.value; this.chart(chart); this.mark(); });
      this.chart(chart);
      return chart;
    });
  }

  chart(chart) {
    const { epochs, values } = this.told.series;
    const lines = ["train", "test"].map((split) => values[split]?.[chart.key] ?? []);
    const { range, log } = ends(lines.flat());
    const across = [0, Math.max(1, epochs.at(-1) ?? 1)];
    chart.svg.replaceChildren();
    const add = (name, attributes, words = "") => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      made.textContent = words;
      chart.svg.append(made);
      return made;
    };
    add("path", { d: `M${CHART.left} ${CHART.top}V${CHART.height - CHART.bottom}H${CHART.width - CHART.right}`, class: "axis" });
    add("text", { x: CHART.left - 4, y: CHART.top + 8, class: "tick end" }, digits(range[1]));
    add("text", { x: CHART.left - 4, y: CHART.height - CHART.bottom, class: "tick end" }, digits(range[0]));
    add("text", { x: CHART.width - CHART.right, y: CHART.height - 6, class: "tick end" }, `epoch ${across[1]}`);
    if (log) add("text", { x: CHART.left + 4, y: CHART.top + 8, class: "tick" }, "logarithmic");
    lines.forEach((line, i) => add("path", { d: path(epochs, line, across, range, log, CHART), class: i ? "line test" : "line" }));
    chart.cursor = add("path", { class: "cursor" });
    chart.across = across;
    chart.lines = lines;
  }

  /** Say in every chart what stands at the epoch shown. */
  mark() {
    const { epochs } = this.told.series;
    const { epoch } = this.told.captures[this.at];
    for (const { svg, key, cursor, across, lines } of this.drawn) {
      const x = CHART.left + (epoch / across[1]) * (CHART.width - CHART.left - CHART.right);
      cursor.setAttribute("d", `M${x.toFixed(1)} ${CHART.top}V${CHART.height - CHART.bottom}`);
      const place = epochs.findLastIndex((each) => each <= epoch);
      const label = this.told.metrics.find((metric) => metric.key === key).label;
      const said = ["train", "test"].map((split, i) => (place >= 0 && lines[i][place] !== undefined ? `${split} ${digits(lines[i][place])}` : "")).filter(Boolean).join(", ");
      svg.setAttribute("aria-label", `${label} over epochs: ${said} at epoch ${digits(epoch)}`);
      svg.parentElement.dataset.said = said;
    }
  }
}

const told = globalThis.document?.getElementById("replay-data");
if (told) globalThis.replay = new Replay(document.body, JSON.parse(told.textContent));
