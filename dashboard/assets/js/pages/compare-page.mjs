// Runs side by side: one camera and one place on the axis for all scenes, medians and ranges in the charts.

import { put, read } from "../core/url-state.mjs";
import { Calm } from "../core/throttle.mjs";
import { axesTheme, wantsLog } from "../panels/charts.mjs";
import { band, meanMatrix, PLACES, timesTo } from "../model/seed-statistics.mjs";
import { typing } from "../core/keyboard.mjs";
import { captureAt, Replay } from "../model/playback.mjs";
import { apply, digits, duration, ENDED, emptyRun, known, restore } from "../model/run-model.mjs";
import { Scene } from "../scene/scene.mjs";
import { connection, RunStream } from "../core/stream.mjs";

const FOLLOWED = 32; // runs that one stream may follow
const POINTS = 400;
const PLAY_MS = 120;
const NOTCHES = 400; // of the slider
const GRID = 300; // places of an axis of seconds

export class ComparePage {
  constructor(root) {
    this.root = root;
    this.abort = new AbortController();
    this.streams = [];
    const { signal } = this.abort;
    this.css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
    this.groups = JSON.parse(root.dataset.charts);
    const wanted = read(window.location.search);
    this.group = Math.max(0, this.groups.findIndex(({ name }) => name === wanted.charts));
    this.by = PLACES[wanted.by] ? wanted.by : "epoch";
    this.share = Math.max(0, Math.min(1, wanted.at ?? 1)); // of the axis: all scenes stand there
    this.camera = wanted.camera ?? null;
    const colours = JSON.parse(root.dataset.colours);
    this.entries = JSON.parse(root.dataset.entries).map((entry, i) => this.entry(entry, colours[i], root.querySelector(`[data-scene="${i}"]`)));
    this.slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: NOTCHES, value: NOTCHES });
    this.slider.setAttribute("aria-label", "Place on the axis that all scenes show");
    root.querySelector('[data-part="slider"]').replaceChildren(this.slider);
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value) / NOTCHES));
    root.addEventListener("click", (event) => this.click(event), { signal });
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    this.curves = new Calm(250, () => this.drawCurves());
    this.rest = new Calm(250, () => this.drawRest());
    this.address = new Calm(300, () => this.put());
    this.buildTimes(wanted);
    this.buildDifference();
    this.press("by", this.by);
    this.press("group", String(this.group));
    this.titles();
    this.themeWatch = new MutationObserver(() => this.theme());
    this.themeWatch.observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });
    this.begin();
  }

  entry(entry, colours, host) {
    const scene = new Scene(host, {
      colours, css: this.css, heard: { moved: () => this.follow(scene), hover: (mark) => this.stand(mark ? [mark.label] : []) },
    });
    const quiet = { show: () => {}, words: () => {}, failed: () => {} };
    const heard = { ...quiet, show: (frame, at, before) => this.shown(scene, frame, before), words: () => this.words() };
    const runs = entry.runs.map((id, i) => {
      const model = emptyRun(1);
      return { id, model, replay: new Replay(model, { signal: this.abort.signal, seen: () => null, heard: i ? quiet : heard }) };
    });
    return { ...entry, runs, scene, replay: runs[0].replay, first: runs[0].model };
  }

  shown(scene, frame, before) {
    scene.draw(frame, before);
    this.rest?.draw();
  }

  async begin() {
    await this.load();
    while (!this.abort.signal.aborted && !(window.Plotly && this.graphs().every((graph) => graph?._fullLayout))) {
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    if (this.abort.signal.aborted) return;
    const first = this.entries[0].scene;
    if (this.camera && first.parse(this.camera)) for (const { scene } of this.entries) scene.setCamera(scene.parse(this.camera));
    this.theme();
    this.go(this.share);
    this.begun = true;
    this.byRun = new Map(this.entries.flatMap((entry) => entry.runs.map((run) => [run.id, [entry, run]])));
    const seen = this.entries.flatMap(({ runs }) => runs).filter(({ model }) => !ENDED.has(model.status)).map(({ id, model }) => [id, model.seq]);
    for (let i = 0; i < seen.length; i += FOLLOWED) {
      this.streams.push(new RunStream(new Map(seen.slice(i, i + FOLLOWED)), (events) => this.take(events)));
    }
  }

  graphs() {
    return [0, 1, 2, 3].map((i) => document.getElementById(`compare-chart-${i}`)?.querySelector(".js-plotly-plot"));
  }

  async load() {
    await Promise.all(this.entries.flatMap((entry) => entry.runs.map(async (run) => {
      try {
        const answer = await fetch(`/api/v1/runs/${run.id}/overview?points=${POINTS}`, { signal: this.abort.signal });
        if (!answer.ok) return;
        const overview = await answer.json();
        run.model.epochs = overview.run.config.epochs;
        run.model.batch = overview.run.config.batch_size;
        restore(run.model, overview);
        if (run.model !== entry.first || !overview.started) return;
        entry.scene.begin(overview.started);
        if (overview.geometry) entry.replay.keep(overview.geometry.step, overview.geometry.arrays);
      } catch (error) {
        if (error.name !== "AbortError") throw error;
      }
    })));
  }

  /** What has happened to the runs that go on. */
  take(events) {
    for (const event of events) {
      const [entry, { model, replay }] = this.byRun.get(event.run);
      if (known(model, event)) continue;
      apply(model, event);
      if (event.type === "RunStarted" && model === entry.first) entry.scene.begin(event);
      if (event.arrays) replay.keep(event.step, event.arrays);
    }
    this.go(this.share);
  }

  close() {
    this.abort.abort();
    for (const stream of this.streams) stream.close();
    connection("");
    clearInterval(this.player);
    this.themeWatch.disconnect();
    for (const calm of [this.curves, this.rest, this.address]) calm.close();
    for (const { scene } of this.entries) scene.close();
  }

  /** How far the axis goes: the longest run's end. */
  get end() {
    return Math.max(1e-9, ...this.entries.flatMap((entry) => entry.runs.map(({ model }) => PLACES[this.by](model, model.epochs) ?? 0)));
  }

  /** Let all scenes show the same share of the axis. */
  go(share) {
    this.share = Math.max(0, Math.min(1, share));
    this.slider.value = Math.round(this.share * NOTCHES);
    for (const { first, replay } of this.entries) {
      if (first.captures.length === 0) continue;
      replay.choose(captureAt(first.captures, this.epochOf(first, this.share * this.end)));
    }
    this.words();
    this.curves.draw();
    this.rest.draw();
    this.address.draw();
  }

  /** The epoch of a run at a place of the axis, by halving: places rise with epochs. */
  epochOf(run, place) {
    let [low, high] = [0, run.epochs];
    for (let i = 0; i < 40; i += 1) {
      const middle = (low + high) / 2;
      if ((PLACES[this.by](run, middle) ?? 0) <= place) low = middle;
      else high = middle;
    }
    return low + 1e-6;
  }

  place(at) {
    if (this.by === "time") return at < 10 ? `${at.toFixed(2)} s` : duration(at);
    return `${this.by} ${Number(at.toFixed(this.by === "epoch" ? 1 : 0))}`;
  }

  words() {
    const at = this.share * this.end;
    const place = this.root.querySelector('[data-part="shown-epoch"]');
    if (place) place.textContent = this.place(at);
    this.entries?.forEach(({ replay }, i) => {
      const shown = this.root.querySelector(`[data-shown="${i}"]`);
      if (shown) shown.textContent = replay.capture ? `epoch ${Number(replay.capture.epoch.toFixed(2))}` : "nothing captured yet";
    });
  }

  /** One camera for all: what one scene is turned to, the others turn to. */
  follow(source) {
    if (this.following) return;
    this.following = true;
    for (const { scene } of this.entries) if (scene !== source) scene.setCamera(source.camera);
    this.following = false;
    this.address.draw();
  }

  put(entry = false) {
    if (!this.begun || this.abort.signal.aborted) return;
    const { scene } = this.entries[0];
    put({
      by: this.by === "epoch" ? null : this.by, at: this.share < 1 ? Number(this.share.toFixed(4)) : null, camera: scene.isHome() ? null : scene.cameraText(),
      charts: this.group ? this.groups[this.group].name : null, metric: this.metric.value === this.offered[0].key ? null : this.metric.value,
      threshold: Number(this.threshold.value) === this.timed.threshold ? null : Number(this.threshold.value),
    }, { entry });
  }

  // ── time to collapse, and the difference of angles ────────────────────────────────────────────────────────────────

  buildTimes(wanted) {
    this.offered = JSON.parse(this.root.querySelector('[data-part="times"]').dataset.offered);
    this.metric = document.createElement("select");
    this.metric.setAttribute("aria-label", "Metric");
    this.metric.append(...this.offered.map(({ key, words }) => new Option(words, key)));
    if (this.offered.some(({ key }) => key === wanted.metric)) this.metric.value = wanted.metric;
    this.threshold = Object.assign(document.createElement("input"), { type: "number", step: "any", value: wanted.threshold ?? this.timed.threshold });
    this.threshold.setAttribute("aria-label", "Threshold");
    this.metric.addEventListener("change", () => {
      this.threshold.value = this.timed.threshold;
      this.drawTimes();
      this.put();
    });
    this.threshold.addEventListener("input", () => {
      this.drawTimes();
      this.put();
    });
    this.sign = document.createElement("span");
    this.root.querySelector('[data-part="time-options"]').replaceChildren(this.metric, this.sign, this.threshold);
  }

  get timed() {
    return this.offered.find(({ key }) => key === this.metric.value);
  }

  drawTimes() {
    const { key, direction } = this.timed;
    const threshold = Number(this.threshold.value);
    this.sign.textContent = direction === "high" ? "≥" : "≤";
    const times = this.entries.map((entry) => timesTo(entry.runs.map(({ model }) => model), key, threshold, direction, PLACES[this.by]));
    times.forEach((time, i) => {
      const bar = this.root.querySelector(`[data-time="${i}"]`);
      const share = (place) => `${Math.min(100, (100 * place) / this.end).toFixed(2)}%`;
      bar.replaceChildren(...(time.median === null ? [] : [element("i", { width: share(time.median) }), ...(time.runs > 1 ? time.places.map((place) => element("u", { left: share(place) })) : [])]));
      const missing = time.runs - time.places.length;
      const words = time.median === null ? "not reached" : this.place(time.median).replace(/^epoch /, "epoch ");
      this.root.querySelector(`[data-time-words="${i}"]`).textContent = time.median !== null && missing ? `${words}, ${missing} of ${time.runs} runs not` : words;
    });
  }

  buildDifference() {
    const place = this.root.querySelector('[data-part="difference-options"]');
    if (!place) return;
    this.pair = [0, 1].map((first) => {
      const select = document.createElement("select");
      select.setAttribute("aria-label", first ? "Second entry" : "First entry");
      select.append(...this.entries.map(({ label }, i) => new Option(label, i)));
      select.value = String(first);
      select.addEventListener("change", () => this.rest.run());
      return select;
    });
    place.replaceChildren(this.pair[0], "−", this.pair[1]);
  }

  /** The mean cosines of an entry's runs at the place shown; null where one of them has no capture. */
  async cosines({ runs }) {
    const frames = await Promise.all(runs.map(({ model, replay }) => {
      const capture = model.captures[captureAt(model.captures, this.epochOf(model, this.share * this.end))];
      return capture && (replay.frame(capture) ?? replay.fetch(capture));
    }));
    return frames.every(Boolean) ? meanMatrix(frames.map(({ cosines }) => cosines)) : null;
  }

  async drawDifference() {
    if (!this.pair || !window.Plotly) return;
    const words = this.root.querySelector('[data-part="difference-words"]');
    const [a, b] = this.pair.map(({ value }) => this.entries[Number(value)]);
    const asked = (this.askedDifference = {});
    const [x, y] = await Promise.all([a, b].map((entry) => this.cosines(entry)));
    if (asked !== this.askedDifference || this.abort.signal.aborted) return;
    const place = this.root.querySelector('[data-part="difference"]');
    if (!x || !y || x.rows !== y.rows) {
      words.textContent = !x || !y ? "Waiting for a capture of both." : "They have different numbers of classes.";
      place.hidden = true;
      return;
    }
    place.hidden = false;
    const difference = Array.from({ length: x.rows }, (_, i) => Array.from({ length: x.rows }, (__, j) => (i === j ? null : x.data[i * x.rows + j] - y.data[i * y.rows + j])));
    let most = [0, 0, 1];
    difference.forEach((row, i) => row.forEach((value, j) => {
      if (value !== null && Math.abs(value) > Math.abs(most[0])) most = [value, i, j];
    }));
    const names = JSON.parse(this.root.dataset.names)[this.entries.indexOf(a)];
    const labels = x.rows === names.length ? names : null;
    const bound = Math.max(0.05, Math.abs(most[0]));
    const change = { z: [difference], zmin: -bound, zmax: bound, colorscale: [[[0, "#2166ac"], [0.5, this.css("neutral")], [1, "#b2182b"]]], ...(labels && labels.length <= 30 ? { x: [labels], y: [labels] } : {}) };
    if (place._fullLayout) window.Plotly.update(place, change, axesTheme(this.css), [0]);
    else {
      const { data, layout } = JSON.parse(this.root.dataset.difference);
      const first = Object.fromEntries(Object.entries(change).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]));
      window.Plotly.newPlot(place, [{ ...data[0], ...first }], layout, { displayModeBar: false, responsive: true });
      window.Plotly.relayout(place, axesTheme(this.css));
    }
    const [value, i, j] = most;
    words.textContent = `Largest difference ${digits(value)}${labels ? `, ${labels[i]} and ${labels[j]}` : ""}.`;
  }

  drawRest() {
    this.drawTimes();
    this.drawDifference();
  }

  stand(labels) {
    for (const { scene } of this.entries) scene.emphasise(labels);
  }

  drawCurves() {
    const place = PLACES[this.by];
    // Runs are measured at epochs: seconds are no places that they share.
    const grid = this.by === "time" ? Array.from({ length: GRID + 1 }, (_, i) => (this.end * i) / GRID) : null;
    this.graphs().forEach((graph, i) => {
      const chart = this.groups[this.group].charts[i];
      if (!graph || !chart?.key) return;
      const bands = this.entries.map((entry) => band(entry.runs.map(({ model }) => model), "train", chart.key, place, grid));
      const [x, y] = [bands.flatMap((b) => [b.x, b.x, b.x]), bands.flatMap((b) => [b.least, b.most, b.middle])];
      const log = wantsLog(bands.flatMap((b) => b.least));
      const mark = { type: "line", x0: this.share * this.end, x1: this.share * this.end, y0: 0, y1: 1, yref: "paper", line: { color: this.css("accent"), width: 1, dash: "dot" } };
      window.Plotly.update(graph, { x, y, "line.color": this.entries.flatMap(({ head }) => Array(3).fill(this.css(`head-${head}`))) }, {
        "yaxis.type": log ? "log" : "linear", "yaxis.tickformat": chart.percent ? ".0%" : "", "xaxis.range": [0, this.end], shapes: this.share < 1 ? [mark] : [], ...axesTheme(this.css),
      });
    });
  }

  theme() {
    for (const { scene } of this.entries) scene.recolour();
    this.curves.run();
    this.rest.run();
  }

  play() {
    const button = this.root.querySelector('[data-part="play"]');
    if (this.player) {
      clearInterval(this.player);
      this.player = null;
    } else {
      if (this.share >= 1) this.go(0);
      this.player = setInterval(() => (this.share >= 1 ? this.play() : this.go(this.share + 1 / 100)), PLAY_MS);
    }
    button.textContent = this.player ? "❚❚" : "▶";
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.by) {
      this.by = button.dataset.by;
      this.press("by", this.by);
      this.go(this.share);
      this.put(true);
    } else if (button.dataset.group) {
      this.group = Number(button.dataset.group);
      this.press("group", button.dataset.group);
      this.titles();
      this.curves.run();
      this.put(true);
    } else if (button.dataset.part === "play") this.play();
  }

  press(name, value) {
    for (const each of this.root.querySelectorAll(`button[data-${name}]`)) each.setAttribute("aria-pressed", String(each.dataset[name] === value));
  }

  titles() {
    this.root.querySelectorAll("[data-chart-title]").forEach((title, i) => {
      const chart = this.groups[this.group].charts[i];
      title.textContent = chart?.title ?? "";
      title.title = chart?.help ?? "";
      title.parentElement.style.visibility = chart?.key ? "" : "hidden";
    });
  }

  key(event) {
    if (typing(event)) return;
    const keys = { " ": () => this.play(), ArrowLeft: () => this.go(this.share - 0.01), ArrowRight: () => this.go(this.share + 0.01), Home: () => this.go(0), End: () => this.go(1) };
    if (!keys[event.key] || (event.target.closest("button, a") && event.key === " ")) return;
    event.preventDefault();
    keys[event.key]();
  }
}

function element(name, style) {
  const made = document.createElement(name);
  Object.assign(made.style, style);
  return made;
}
