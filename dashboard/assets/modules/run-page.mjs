// The live page of one run: events in, pictures out. The server's layout is the frame; this fills it.

import { Calm } from "./calm.mjs";
import { axesTheme, drawChart, drawHeatmap } from "./charts.mjs";
import {
  apply, digits, ENDED, emptyRun, hasCharts, known, percent, progressWords, restore, statusWords,
} from "./run-model.mjs";
import { Scene, TRAIL } from "./scene.mjs";
import { RunStream } from "./stream.mjs";

const CACHE = 600;
const PLAY_MS = 120;
const POINTS = 1000; // of each curve; more cannot be told apart on a screen
// The heatmap is read, not watched: it may lag the scene by this much, which leaves the paint to the scene.
const HEATMAP_MS = 200;

export class RunPage {
  constructor(root) {
    this.root = root;
    this.runId = root.dataset.run;
    this.groups = JSON.parse(root.dataset.charts);
    this.run = emptyRun(Number(root.dataset.epochs));
    this.frames = new Map(); // step → prepared capture
    this.index = -1; // the capture shown
    this.follows = true;
    this.unit = "cos";
    this.heatmap = new Calm(HEATMAP_MS, () => {
      if (this.shown) this.drawAngles();
    });
    this.group = 0;
    this.abort = new AbortController();
    this.buildSlider();
    this.buildMore();
    const listen = (target, type, work) => target.addEventListener(type, work, { signal: this.abort.signal });
    listen(root, "click", (event) => this.click(event));
    listen(document, "keydown", (event) => this.key(event));
    this.clock = setInterval(() => this.words(), 1000);
    this.themeWatch = new MutationObserver(() => this.theme());
    this.themeWatch.observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });
    this.early = []; // what is heard before there is a graph to draw it in
    Promise.all([this.load(), this.ready()]).then(() => {
      if (!this.abort.signal.aborted) this.begin();
    });
  }

  /** All that is known so far in one answer, however long the run is; then the stream of what follows. */
  async load() {
    while (!this.abort.signal.aborted) {
      try {
        const answer = await fetch(`/api/v1/runs/${this.runId}/overview?points=${POINTS}`, { signal: this.abort.signal });
        if (!answer.ok) throw new Error((await answer.json()).detail);
        this.overview = await answer.json();
        break;
      } catch (error) {
        if (error.name === "AbortError") return;
        this.connection("reconnecting");
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    if (this.abort.signal.aborted) return;
    restore(this.run, this.overview);
    this.stream = new RunStream(
      this.runId,
      this.overview.seq,
      (events) => (this.scene ? this.take(events) : this.early.push(...events)),
      (state) => this.connection(state),
    );
  }

  graph(id) {
    return document.getElementById(id)?.querySelector(".js-plotly-plot");
  }

  /** The graphs are mounted by Dash some time after the page; wait for all of them. */
  async ready() {
    const ids = ["scene-graph", "angles-graph", ...this.charts()];
    while (!this.abort.signal.aborted && !(window.Plotly && ids.every((id) => this.graph(id)?._fullLayout))) {
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  charts() {
    return [0, 1, 2, 3].map((i) => `chart-${i}`);
  }

  begin() {
    this.scene = new Scene(this.graph("scene-graph"), JSON.parse(this.root.dataset.traces));
    // Dash draws its graphs again when the theme changes, from a layout that knows nothing of our shapes.
    this.charts().forEach((id, i) => this.graph(id).on("plotly_react", () => requestAnimationFrame(() => this.drawCurve(i))));
    if (this.run.started) this.scene.begin(this.run.started);
    this.theme();
    const newest = this.overview.geometry;
    if (newest) this.keep(newest.step, newest.arrays);
    this.overview = null;
    this.sizeSlider();
    this.sizeMore();
    if (newest) this.show(this.run.captures.length - 1);
    this.drawCurves();
    this.take(this.early);
  }

  close() {
    this.abort.abort();
    clearInterval(this.clock);
    clearInterval(this.player);
    this.heatmap.close();
    this.themeWatch.disconnect();
    this.stream?.close();
    this.connection("");
  }

  css(name) {
    return getComputedStyle(this.root).getPropertyValue(`--${name}`).trim();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  connection(state) {
    const dot = document.querySelector('[data-part="connection"]');
    if (!dot) return;
    dot.dataset.state = state;
    dot.textContent = { live: "live", reconnecting: "reconnecting, nothing is lost" }[state] ?? "";
  }

  // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────

  take(events) {
    let measured = false;
    let arrived = null;
    for (const event of events) {
      const begins = event.type === "RunStarted" && this.run.started === null;
      if (known(this.run, event)) continue;
      apply(this.run, event);
      if (begins) this.scene.begin(event);
      if (event.type === "EpochMeasured" || event.type === "StepMeasured") measured = true;
      if (event.type === "GeometryCaptured") {
        if (event.arrays) arrived = this.keep(event.step, event.arrays);
      }
    }
    this.sizeSlider();
    if (arrived && this.follows) this.show(this.run.captures.length - 1);
    if (measured) {
      this.sizeMore();
      this.drawCurves();
    }
    this.words();
  }

  keep(step, arrays) {
    const frame = this.scene.prepare(arrays);
    this.frames.set(step, frame);
    if (this.frames.size > CACHE) this.frames.delete(this.frames.keys().next().value);
    return frame;
  }

  // ── replay ────────────────────────────────────────────────────────────────────────────────────────────────────────

  buildSlider() {
    const place = this.part("slider");
    place.replaceChildren();
    this.slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 0, value: 0, step: 1 });
    this.slider.setAttribute("aria-label", "Epoch shown");
    this.slider.addEventListener("input", () => this.scrub(Number(this.slider.value)));
    place.append(this.slider);
  }

  /** The list of every metric of the catalogue, by family; families of which this run has nothing are left out. */
  buildMore() {
    const place = this.part("more-metrics");
    this.more = document.createElement("select");
    this.more.setAttribute("aria-label", "More metrics");
    this.more.append(new Option("more metrics", ""));
    for (let i = Number(place.dataset.first); i < this.groups.length; i++) this.more.append(new Option(this.groups[i].name, i));
    this.more.addEventListener("change", () => {
      for (const button of this.root.querySelectorAll("button[data-group]")) button.setAttribute("aria-pressed", "false");
      this.chooseGroup(Number(this.more.value));
    });
    place.replaceChildren(this.more);
  }

  sizeMore() {
    for (const option of this.more.options) {
      option.hidden = option.disabled = option.value !== "" && !hasCharts(this.run, this.groups[Number(option.value)]);
    }
  }

  chooseGroup(group) {
    this.group = group;
    this.root.querySelectorAll("[data-chart-title]").forEach((title, i) => {
      const chart = this.groups[group].charts[i];
      title.textContent = chart?.title ?? "";
      title.title = chart?.help ?? "";
      title.parentElement.style.visibility = chart ? "" : "hidden";
    });
    this.drawCurves();
  }

  sizeSlider() {
    this.slider.max = Math.max(0, this.run.captures.length - 1);
    if (this.follows) this.slider.value = this.slider.max;
  }

  scrub(index) {
    const last = this.run.captures.length - 1;
    this.follows = index >= last && !this.ended;
    this.show(Math.max(0, Math.min(index, last)));
  }

  /** Show a capture, fetching it if it is not here; the newest wish wins. */
  async show(index) {
    this.index = index;
    this.slider.value = index;
    this.words();
    const capture = this.run.captures[index];
    if (!capture) return;
    const frame = this.frames.get(capture.step) ?? (await this.fetchFrame(capture));
    if (!frame || this.index !== index) return;
    this.drawFrame(frame, index);
    // Trails run through the captures before. While the run goes on they are of those that were drawn; else what of
    // them is missing is fetched behind the picture.
    if (this.follows && !this.ended) return;
    const missing = this.run.captures.slice(Math.max(0, index - TRAIL), index).filter((c) => !this.frames.has(c.step));
    for (const before of missing) if (this.index === index) await this.fetchFrame(before);
    if (missing.length && this.index === index) this.drawFrame(frame, index);
  }

  get ended() {
    return ENDED.has(this.run.status);
  }

  async fetchFrame(capture) {
    try {
      const answer = await fetch(capture.href, { signal: this.abort.signal });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const { arrays, facts } = await answer.json();
      Object.assign(capture, facts);
      return this.keep(capture.step, arrays);
    } catch (error) {
      if (error.name !== "AbortError") this.part("replay-note").textContent = error.message;
      return null;
    }
  }

  drawFrame(frame, index) {
    this.part("replay-note").textContent = "";
    this.root.dataset.shownStep = this.run.captures[index].step;
    const before = this.run.captures.slice(Math.max(0, index - TRAIL), index).map((c) => this.frames.get(c.step)).filter(Boolean);
    this.scene.draw(frame, before);
    this.shown = frame;
    this.words();
    this.heatmap.draw();
    if (!this.follows) this.drawCurves();
  }

  play() {
    if (this.player) {
      clearInterval(this.player);
      this.player = null;
    } else {
      if (this.index >= this.run.captures.length - 1) this.scrub(0);
      this.player = setInterval(() => {
        if (this.index >= this.run.captures.length - 1) this.play();
        else if (this.frames.has(this.run.captures[this.index].step)) this.scrub(this.index + 1);
      }, PLAY_MS);
    }
    this.words();
  }

  // ── words and charts ──────────────────────────────────────────────────────────────────────────────────────────────

  words() {
    const { run } = this;
    const say = (name, text) => {
      const place = this.part(name);
      if (place && place.textContent !== text) place.textContent = text;
    };
    this.root.dataset.status = run.status;
    say("status", statusWords(run));
    say("epoch", progressWords(run, Date.now()));
    say("note", run.note ?? "");
    const bar = this.part("progress");
    if (bar) bar.style.width = `${(100 * run.epoch) / run.epochs}%`;
    const capture = this.run.captures[this.index];
    const at = capture ? capture.epoch : 0;
    say("shown-epoch", capture ? `epoch ${Number.isInteger(at) ? at : at.toFixed(2)}` : this.ended ? "no capture" : "waiting for the first capture");
    say("follow", this.ended ? "newest" : this.follows ? "follows the run" : "back to live");
    this.part("play").textContent = this.player ? "❚❚" : "▶";
    this.readings(at);
    if (capture?.smallest_pair) this.sentence(capture); // else its facts are on their way
  }

  readings(at) {
    const epochs = this.run.measuredEpochs;
    const index = this.follows ? epochs.length - 1 : epochs.findLastIndex((epoch) => epoch <= at);
    for (const tile of this.root.querySelectorAll("[data-reading]")) {
      const key = tile.dataset.reading;
      const form = tile.dataset.percent ? percent : digits;
      const [train, test] = ["train", "test"].map((split) => this.run.series[split][key]?.[index]);
      const ideal = this.run.started?.metrics[key]?.ideal;
      tile.querySelector("[data-value]").textContent = index < 0 ? "" : form(train);
      const notes = index < 0 || test === undefined ? [] : [`test ${form(test)}`];
      if (ideal !== undefined && ideal !== null && !tile.dataset.percent) notes.push(`ideal ${digits(ideal)}`);
      tile.querySelector("[data-note]").textContent = notes.join(" · ");
    }
  }

  drawAngles() {
    const classes = this.run.started.classes;
    drawHeatmap(this.graph("angles-graph"), this.shown.cosines, this.unit, (name) => this.css(name), classes);
  }

  sentence(capture) {
    const names = this.run.started.class_names;
    const target = (Math.acos(-1 / (names.length - 1)) * 180) / Math.PI;
    const pair = capture.smallest_pair.map((i) => names[i]).join(" and ");
    const lines = [
      ["Smallest angle", `${capture.smallest_angle_deg.toFixed(1)}°`], [pair, ""],
      ["Target", `${target.toFixed(1)}°`], ["Mean off by", `${capture.mean_angle_error_deg.toFixed(1)}°`],
    ];
    if (this.run.terminalPhase !== null) lines.push([`Terminal phase since epoch ${this.run.terminalPhase}`, ""]);
    if (this.run.collapseLayer !== null) {
      const layer = this.run.collapseLayer === "penultimate" ? "the penultimate layer" : `layer ${this.run.collapseLayer}`;
      lines.push([`Classes are separated from ${layer} on`, ""]);
    }
    const place = this.part("sentence");
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

  drawCurves() {
    this.charts().forEach((_, i) => this.drawCurve(i));
  }

  drawCurve(i) {
    const at = this.follows ? null : (this.run.captures[this.index]?.epoch ?? null);
    const chart = this.groups[this.group].charts[i];
    if (chart) drawChart(this.graph(this.charts()[i]), this.run, chart, (name) => this.css(name), at);
  }

  theme() {
    if (!this.scene) return;
    const css = (name) => this.css(name);
    this.scene.theme(css);
    window.Plotly.relayout(this.graph("angles-graph"), axesTheme(css));
    this.heatmap.run();
    this.drawCurves();
  }

  // ── hands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const { layer, unit, group, part } = button.dataset;
    if (layer) this.toggle(layer);
    else if (unit) this.choose(button, () => {
      this.unit = unit;
      this.heatmap.run();
    });
    else if (group) this.choose(button, () => {
      this.more.value = "";
      this.chooseGroup(Number(group));
    });
    else if (part === "play") this.play();
    else if (part === "follow") this.newest();
  }

  newest() {
    if (this.player) this.play();
    this.follows = !this.ended;
    this.show(this.run.captures.length - 1);
    this.drawCurves();
  }

  choose(button, work) {
    for (const other of button.parentElement.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
    work();
  }

  toggle(layer) {
    const button = this.root.querySelector(`button[data-layer="${layer}"]`);
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    this.scene?.show(layer, on);
  }

  key(event) {
    if (event.target.closest("input:not([type=range]), textarea, [role=dialog]") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (count) => this.scrub(this.index + count);
    const keys = {
      " ": () => this.play(), ArrowLeft: () => step(event.shiftKey ? -10 : -1), ArrowRight: () => step(event.shiftKey ? 10 : 1),
      Home: () => this.scrub(0), End: () => this.newest(), f: () => this.toggle("features"), t: () => this.toggle("trails"),
      c: () => this.toggle("classifier"), n: () => this.toggle("names"), e: () => document.getElementById("export-open")?.click(),
    };
    const work = keys[event.key];
    if (!work || (event.target.closest("button") && event.key === " ")) return;
    event.preventDefault();
    work();
  }

  /** What an export of this moment needs: the capture shown, the camera, the layers, the unit. */
  moment() {
    const capture = this.run.captures[this.index];
    const layers = Object.entries(this.scene?.layers ?? {}).filter(([, on]) => on).map(([name]) => name);
    return {
      run: this.runId, epoch: capture?.epoch ?? null, camera: this.scene?.cameraText() ?? null,
      layers: layers.filter((name) => name !== "trails"), unit: this.unit, view: this.run.started?.view ?? null,
    };
  }
}
