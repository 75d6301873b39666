// Runs side by side: one camera and one place on the axis for all scenes, medians and ranges in the charts.

import { Calm } from "./calm.mjs";
import { axesTheme, wantsLog } from "./charts.mjs";
import { band, PLACES } from "./ensemble.mjs";
import { typing } from "./keys.mjs";
import { captureAt, Replay } from "./replay.mjs";
import { ENDED, emptyRun, restore } from "./run-model.mjs";
import { Scene } from "./scene.mjs";

const AGAIN_MS = 4000; // in which runs that go on are looked at again
const POINTS = 400;
const PLAY_MS = 120;
const NOTCHES = 400; // of the slider

export class ComparePage {
  constructor(root) {
    this.root = root;
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
    this.groups = JSON.parse(root.dataset.charts);
    this.group = 0;
    this.by = "epoch";
    this.share = 1; // of the axis: all scenes stand there
    const colours = JSON.parse(root.dataset.colours);
    this.entries = JSON.parse(root.dataset.entries).map((entry, i) => this.entry(entry, colours[i], root.querySelector(`[data-scene="${i}"]`)));
    this.slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: NOTCHES, value: NOTCHES });
    this.slider.setAttribute("aria-label", "Place on the axis that all scenes show");
    root.querySelector('[data-part="slider"]').replaceChildren(this.slider);
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value) / NOTCHES));
    root.addEventListener("click", (event) => this.click(event), { signal });
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    this.curves = new Calm(250, () => this.drawCurves());
    this.themeWatch = new MutationObserver(() => this.theme());
    this.themeWatch.observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });
    this.begin();
  }

  entry(entry, colours, host) {
    const scene = new Scene(host, {
      colours, css: this.css, heard: { moved: () => this.follow(scene), hover: (mark) => this.stand(mark ? [mark.label] : []) },
    });
    const runs = entry.runs.map((id) => ({ id, model: emptyRun(1) }));
    const first = runs[0].model;
    const replay = new Replay(first, {
      signal: this.abort.signal, seen: () => null,
      heard: { show: (frame, at, before) => scene.draw(frame, before), words: () => this.words(), failed: () => {} },
    });
    return { ...entry, runs, scene, replay, first };
  }

  async begin() {
    await this.load();
    while (!this.abort.signal.aborted && !(window.Plotly && this.graphs().every((graph) => graph?._fullLayout))) {
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    if (this.abort.signal.aborted) return;
    this.theme();
    this.go(this.share);
    this.timer = setInterval(() => this.again(), AGAIN_MS);
  }

  graphs() {
    return [0, 1, 2, 3].map((i) => document.getElementById(`compare-chart-${i}`)?.querySelector(".js-plotly-plot"));
  }

  async load(which = () => true) {
    await Promise.all(this.entries.flatMap((entry) => entry.runs.filter(which).map(async (run) => {
      try {
        const answer = await fetch(`/api/v1/runs/${run.id}/overview?points=${POINTS}`, { signal: this.abort.signal });
        if (!answer.ok) return;
        const overview = await answer.json();
        const held = run.model.captures.length;
        run.model.epochs = overview.run.config.epochs;
        restore(run.model, overview);
        if (run.model !== entry.first || !overview.started) return;
        if (held === 0) entry.scene.begin(overview.started);
        if (overview.geometry) entry.replay.keep(overview.geometry.step, overview.geometry.arrays);
      } catch (error) {
        if (error.name !== "AbortError") throw error;
      }
    })));
  }

  async again() {
    const goesOn = (run) => !ENDED.has(run.model.status);
    if (!this.entries.some((entry) => entry.runs.some(goesOn))) return;
    await this.load(goesOn);
    if (!this.abort.signal.aborted) this.go(this.share);
  }

  close() {
    this.abort.abort();
    clearInterval(this.timer);
    clearInterval(this.player);
    this.themeWatch.disconnect();
    this.curves.close();
    for (const { scene, replay } of this.entries) {
      scene.close();
      replay.close();
    }
  }

  /** How far the axis goes: the longest run's end. */
  get end() {
    return Math.max(1, ...this.entries.flatMap((entry) => entry.runs.map(({ model }) => PLACES[this.by](model, model.epochs))));
  }

  /** Let all scenes show the same share of the axis. */
  go(share) {
    this.share = Math.max(0, Math.min(1, share));
    this.slider.value = Math.round(this.share * NOTCHES);
    for (const { first, replay } of this.entries) {
      if (first.captures.length === 0) continue;
      const perEpoch = PLACES[this.by](first, 1);
      replay.choose(captureAt(first.captures, (this.share * this.end) / perEpoch));
    }
    this.words();
    this.curves.draw();
  }

  words() {
    const at = this.share * this.end;
    const place = this.root.querySelector('[data-part="shown-epoch"]');
    if (place) place.textContent = `${this.by} ${Number(at.toFixed(this.by === "epoch" ? 1 : 0))}`;
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
  }

  stand(labels) {
    for (const { scene } of this.entries) scene.emphasise(labels);
  }

  drawCurves() {
    const place = PLACES[this.by];
    this.graphs().forEach((graph, i) => {
      const chart = this.groups[this.group].charts[i];
      if (!graph || !chart?.key) return;
      const bands = this.entries.map((entry) => band(entry.runs.map(({ model }) => model), "train", chart.key, place));
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
    const press = (name) => {
      for (const each of this.root.querySelectorAll(`button[data-${name}]`)) each.setAttribute("aria-pressed", String(each === button));
    };
    if (button.dataset.by) {
      press("by");
      this.by = button.dataset.by;
      this.go(this.share);
    } else if (button.dataset.group) {
      press("group");
      this.group = Number(button.dataset.group);
      this.root.querySelectorAll("[data-chart-title]").forEach((title, i) => {
        title.textContent = this.groups[this.group].charts[i]?.title ?? "";
      });
      this.curves.run();
    } else if (button.dataset.part === "play") this.play();
  }

  key(event) {
    if (typing(event)) return;
    const keys = { " ": () => this.play(), ArrowLeft: () => this.go(this.share - 0.01), ArrowRight: () => this.go(this.share + 0.01), Home: () => this.go(0), End: () => this.go(1) };
    if (!keys[event.key] || (event.target.closest("button, a") && event.key === " ")) return;
    event.preventDefault();
    keys[event.key]();
  }
}
