// The comparison of configurations: a scene for each, with one camera and one position on the x axis for all; median
// and range over seeds in the charts.

import { ApiError, getJson, RunStream, showConnection } from "../core/api.mjs";
import { needsLogAxis } from "../core/arrays.mjs";
import { ENDED_STATUSES, LIMITS } from "../core/constants.mjs";
import { createElement, cssReader, findPart, isTyping, observeTheme, pressButton, runShortcut, setText, Throttle, waitFor } from "../core/dom.mjs";
import { formatEpoch, formatPosition } from "../core/formatting.mjs";
import { readUrlState, writeUrlState } from "../core/url-state.mjs";
import { captureIndexAt, Playback } from "../model/playback.mjs";
import { applyEvent, createRun, hasEvent, loadOverview } from "../model/run-model.mjs";
import { medianAndRange, xAxes } from "../model/seed-statistics.mjs";
import { axesTheme, plotlyElement, setChartTitles } from "../panels/charts.mjs";
import { AngleDifference, TimeToCollapse } from "../panels/comparison.mjs";
import { parseCamera } from "../scene/camera.mjs";
import { Scene } from "../scene/scene.mjs";

const CURVE_POINTS = 400; // at most, for each curve
const PLAYBACK_INTERVAL_MS = 120;
const PLAYBACK_SHARE = 1 / 100; // of the axis, for each step of playback and each arrow key
const SLIDER_STEPS = 400;
const TIME_GRID_STEPS = 300; // points of curves over seconds, an axis on which runs share no values
const DRAW_INTERVAL_MS = 250;
const URL_INTERVAL_MS = 300;
const MIN_AXIS_END = 1e-9;
const BISECTION_STEPS = 40;
const CHART_INDICES = [0, 1, 2, 3];

/** The page that compares configurations. */
export class ComparePage {
  /** @param {HTMLElement} root the element that the server's layout marks as the comparison's page */
  constructor(root) {
    this.root = root;
    this.abort = new AbortController();
    this.streams = [];
    this.css = cssReader(root);
    this.groups = JSON.parse(root.dataset.charts);
    const state = readUrlState();
    this.groupIndex = Math.max(0, this.groups.findIndex(({ name }) => name === state.charts));
    this.axis = xAxes[state.by] ? state.by : "epoch";
    this.position = Math.max(0, Math.min(1, state.at ?? 1)); // on the axis, as a share of its length
    this.initialCamera = state.camera ? parseCamera(state.camera) : null;
    const colours = JSON.parse(root.dataset.colours);
    this.configurations = JSON.parse(root.dataset.configurations).map((each, i) => this.createConfiguration(each, colours[i], i));
    this.chartsThrottle = new Throttle(DRAW_INTERVAL_MS, () => this.drawCharts());
    this.panelsThrottle = new Throttle(DRAW_INTERVAL_MS, () => this.drawPanels());
    this.urlThrottle = new Throttle(URL_INTERVAL_MS, () => this.writeUrl());
    this.times = new TimeToCollapse(this, state);
    this.difference = this.part("difference") ? new AngleDifference(this) : null;
    this.bindControls(this.abort.signal);
    pressButton(root, "by", this.axis);
    this.updateChartTitles();
    this.themeObserver = observeTheme(() => this.updateTheme());
    this.begin();
  }

  part(name) {
    return findPart(this.root, name);
  }

  /** Create a configuration's scene and the models of its runs; the scene shows the first seed. */
  createConfiguration(configuration, colours, index) {
    const scene = new Scene(this.root.querySelector(`[data-scene="${index}"]`), {
      colours, css: this.css, callbacks: { onCameraMove: () => this.syncCamera(scene), onHover: (mark) => this.highlight(mark ? [mark.label] : []) },
    });
    const ignore = { onShow: () => {}, onChange: () => {}, onError: () => {} };
    const onShow = (frame, _, trail) => {
      scene.show(frame, trail);
      this.panelsThrottle?.request();
    };
    const runs = configuration.runs.map((id, i) => {
      const model = createRun(1);
      const callbacks = i ? ignore : { ...ignore, onShow, onChange: () => this.updateTexts() };
      return { id, model, playback: new Playback(model, { signal: this.abort.signal, getServerView: () => null, callbacks }) };
    });
    return { ...configuration, runs, scene, playback: runs[0].playback, firstRun: runs[0].model };
  }

  async begin() {
    await this.load();
    const areMounted = () => window.Plotly && this.graphs().every((graph) => graph?._fullLayout);
    if (!(await waitFor(areMounted, this.abort.signal))) return;
    if (this.initialCamera) for (const { scene } of this.configurations) scene.setCamera(this.initialCamera);
    this.updateTheme();
    this.seek(this.position);
    this.hasBegun = true;
    this.follow();
  }

  graphs() {
    return CHART_INDICES.map((i) => plotlyElement(`compare-chart-${i}`));
  }

  async load() {
    await Promise.all(this.configurations.flatMap((configuration) => configuration.runs.map((run) => this.loadRun(configuration, run))));
  }

  async loadRun({ firstRun, scene, playback }, { id, model }) {
    try {
      const overview = await getJson(`/runs/${id}/overview`, { points: CURVE_POINTS }, { signal: this.abort.signal });
      model.epochs = overview.run.config.epochs;
      model.batchSize = overview.run.config.batch_size;
      loadOverview(model, overview);
      if (model !== firstRun || !overview.started) return;
      scene.begin(overview.started);
      if (overview.geometry) playback.addFrame(overview.geometry.step, overview.geometry.arrays);
    } catch (error) {
      if (error.name !== "AbortError" && !(error instanceof ApiError)) throw error; // a deleted run stays empty
    }
  }

  /** Follow the events of runs that have not ended. */
  follow() {
    this.byRun = new Map(this.configurations.flatMap((configuration) => configuration.runs.map((run) => [run.id, { configuration, run }])));
    const open = [...this.byRun.values()].filter(({ run }) => !ENDED_STATUSES.has(run.model.status)).map(({ run }) => [run.id, run.model.seq]);
    for (let i = 0; i < open.length; i += LIMITS.streamed_runs) {
      this.streams.push(new RunStream(new Map(open.slice(i, i + LIMITS.streamed_runs)), (events) => this.onEvents(events)));
    }
  }

  onEvents(events) {
    for (const event of events) {
      const { configuration, run: { model, playback } } = this.byRun.get(event.run);
      if (hasEvent(model, event)) continue;
      applyEvent(model, event);
      if (event.type === "RunStarted" && model === configuration.firstRun) configuration.scene.begin(event);
      if (event.arrays) playback.addFrame(event.step, event.arrays);
    }
    this.seek(this.position);
  }

  close() {
    this.abort.abort();
    for (const stream of this.streams) stream.close();
    showConnection("");
    clearInterval(this.player);
    this.themeObserver.disconnect();
    for (const throttle of [this.chartsThrottle, this.panelsThrottle, this.urlThrottle]) throttle.cancel();
    for (const { scene } of this.configurations) scene.close();
  }

  // ── the x axis ────────────────────────────────────────────────────────────────────────────────────────────────────

  get toX() {
    return xAxes[this.axis];
  }

  /** The end of the x axis: that of the longest run. */
  get axisEnd() {
    const ends = this.configurations.flatMap(({ runs }) => runs.map(({ model }) => this.toX(model, model.epochs) ?? 0));
    return Math.max(MIN_AXIS_END, ...ends);
  }

  get shownX() {
    return this.position * this.axisEnd;
  }

  /** Show the same share of the axis in all scenes. */
  seek(position) {
    this.position = Math.max(0, Math.min(1, position));
    this.slider.value = Math.round(this.position * SLIDER_STEPS);
    for (const { firstRun, playback } of this.configurations) {
      if (firstRun.captures.length > 0) playback.select(captureIndexAt(firstRun.captures, this.epochAt(firstRun, this.shownX)));
    }
    this.updateTexts();
    this.chartsThrottle.request();
    this.panelsThrottle.request();
    this.urlThrottle.request();
  }

  /** The epoch of a run at an x, by bisection: x increases with the epoch. */
  epochAt(run, x) {
    let [low, high] = [0, run.epochs];
    for (let i = 0; i < BISECTION_STEPS; i += 1) {
      const middle = (low + high) / 2;
      if ((this.toX(run, middle) ?? 0) <= x) low = middle;
      else high = middle;
    }
    return low + 1e-6;
  }

  formatX(x) {
    return formatPosition(this.axis, x);
  }

  updateTexts() {
    setText(this.part("shown-epoch"), this.formatX(this.shownX));
    this.configurations?.forEach(({ playback: { capture } }, i) => {
      setText(this.root.querySelector(`[data-shown="${i}"]`), capture ? formatEpoch(capture.epoch) : "No captures yet");
    });
  }

  /** Give all scenes the camera of one. */
  syncCamera(source) {
    if (this.isSyncing) return;
    this.isSyncing = true;
    for (const { scene } of this.configurations) if (scene !== source) scene.setCamera(source.camera);
    this.isSyncing = false;
    this.urlThrottle.request();
  }

  highlight(labels) {
    for (const { scene } of this.configurations) scene.highlight(labels);
  }

  writeUrl({ addEntry = false } = {}) {
    if (!this.hasBegun || this.abort.signal.aborted) return;
    const { scene } = this.configurations[0];
    const state = {
      by: this.axis === "epoch" ? null : this.axis, at: this.position < 1 ? Number(this.position.toFixed(4)) : null,
      camera: scene.hasDefaultCamera ? null : scene.cameraText, charts: this.groupIndex ? this.groups[this.groupIndex].name : null,
      ...this.times.urlState(),
    };
    writeUrlState(state, { addEntry });
  }

  // ── charts ────────────────────────────────────────────────────────────────────────────────────────────────────────

  drawPanels() {
    this.times.draw();
    this.difference?.draw();
  }

  drawCharts() {
    const end = this.axisEnd;
    const grid = this.axis === "time" ? Array.from({ length: TIME_GRID_STEPS + 1 }, (_, i) => (end * i) / TIME_GRID_STEPS) : null;
    const colours = this.configurations.flatMap(({ colour }) => Array(3).fill(this.css(colour)));
    const line = { color: this.css("accent"), width: 1, dash: "dot" };
    const shapes = this.position < 1 ? [{ type: "line", x0: this.shownX, x1: this.shownX, y0: 0, y1: 1, yref: "paper", line }] : [];
    this.graphs().forEach((graph, i) => {
      const chart = this.groups[this.groupIndex].charts[i];
      if (!graph || !chart?.key) return;
      const curves = this.configurations.map(({ runs }) => medianAndRange(runs.map(({ model }) => model), "train", chart.key, this.toX, grid));
      const [x, y] = [curves.flatMap((curve) => [curve.x, curve.x, curve.x]), curves.flatMap(({ min, max, median }) => [min, max, median])];
      const isLog = needsLogAxis(curves.flatMap(({ min }) => min));
      window.Plotly.update(graph, { x, y, "line.color": colours }, {
        "yaxis.type": isLog ? "log" : "linear", "yaxis.tickformat": chart.percent ? ".0%" : "", "xaxis.range": [0, end], shapes, ...axesTheme(this.css),
      });
    });
  }

  updateChartTitles() {
    pressButton(this.root, "group", String(this.groupIndex));
    setChartTitles(this.root, this.groups[this.groupIndex].charts, (chart) => Boolean(chart?.key));
  }

  updateTheme() {
    for (const { scene } of this.configurations) scene.updateColours();
    this.chartsThrottle.flush();
    this.panelsThrottle.flush();
  }

  // ── controls ──────────────────────────────────────────────────────────────────────────────────────────────────────

  bindControls(signal) {
    this.slider = createElement("input", { type: "range", min: 0, max: SLIDER_STEPS, value: SLIDER_STEPS, "aria-label": "Position on the axis" });
    this.part("slider").replaceChildren(this.slider);
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value) / SLIDER_STEPS));
    this.root.addEventListener("click", (event) => this.onClick(event), { signal });
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
  }

  togglePlay() {
    if (this.player) {
      clearInterval(this.player);
      this.player = null;
    } else {
      if (this.position >= 1) this.seek(0);
      this.player = setInterval(() => (this.position >= 1 ? this.togglePlay() : this.seek(this.position + PLAYBACK_SHARE)), PLAYBACK_INTERVAL_MS);
    }
    this.part("play").textContent = this.player ? "❚❚" : "▶";
  }

  onClick(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const { by, group, part } = button.dataset;
    if (by) {
      this.axis = by;
      pressButton(this.root, "by", by);
      this.seek(this.position);
      this.writeUrl({ addEntry: true });
    } else if (group) {
      this.groupIndex = Number(group);
      this.updateChartTitles();
      this.chartsThrottle.flush();
      this.writeUrl({ addEntry: true });
    } else if (part === "play") this.togglePlay();
  }

  onKey(event) {
    if (isTyping(event)) return;
    runShortcut(event, {
      " ": () => this.togglePlay(), ArrowLeft: () => this.seek(this.position - PLAYBACK_SHARE), ArrowRight: () => this.seek(this.position + PLAYBACK_SHARE),
      Home: () => this.seek(0), End: () => this.seek(1),
    });
  }
}
