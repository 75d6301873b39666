// The page of one run. The server sends its layout; this fills it from the run's overview and its stream of events.

import { getJson, RunStream, sendJson, showConnection } from "../core/api.mjs";
import { DEFAULT_LAYERS, ENDED_STATUSES, LAYERS, PROJECTED_VIEWS } from "../core/constants.mjs";
import { createElement, cssReader, findPart, observeTheme, pressButton, setText, showToast, sleep, Throttle, waitFor } from "../core/dom.mjs";
import { readUrlState, writeUrlState } from "../core/url-state.mjs";
import { captureIndexAt, Playback } from "../model/playback.mjs";
import { applyEvent, createRun, hasEvent, loadOverview } from "../model/run-model.mjs";
import { axesTheme, drawHeatmap, drawLayerChart, highlightShapes, plotlyElement } from "../panels/charts.mjs";
import { Curves } from "../panels/curves.mjs";
import { Details } from "../panels/details.mjs";
import { captureDescription, captureText, updateAngleStatistics, updateHeader, updateReadings } from "../panels/run-text.mjs";
import { Scene } from "../scene/scene.mjs";
import { SampleImages, tooltipLines } from "../scene/tooltips.mjs";
import { bindControls, createClassSearch, createClassSelects, createSlider } from "./run-controls.mjs";

const CURVE_POINTS = 1000; // at most, for each curve: more cannot be told apart on a screen
const HEATMAP_INTERVAL_MS = 350; // the heatmap may be updated later than the scene
const URL_INTERVAL_MS = 300;
const CLOCK_INTERVAL_MS = 1000;
const PREFETCH_DELAY_MS = 1500;
const RETRY_DELAY_MS = 1000;
const EPOCH_DECIMALS = 6; // in the address
const TOOLTIP_MARGIN_PX = 8;
const CHART_IDS = ["chart-0", "chart-1", "chart-2", "chart-3"];
const HEATMAP_IDS = ["angles-graph", "large-angles-graph"];
const FLAT_MODES = ["angles", "layers"]; // modes that show a chart in place of the scene

/** The live page of a run. */
export class RunPage {
  /** @param {HTMLElement} root the element that the server's layout marks as a run's page */
  constructor(root) {
    this.root = root;
    this.runId = root.dataset.run;
    this.run = createRun(Number(root.dataset.epochs));
    this.names = JSON.parse(root.dataset.names);
    this.figures = JSON.parse(root.dataset.figures);
    this.abort = new AbortController();
    this.css = cssReader(root);
    this.hoveredLabels = [];
    this.earlyEvents = []; // received before the charts are mounted
    this.createParts(this.abort.signal);
    this.restoreLook(readUrlState());
    bindControls(this, this.abort.signal);
    window.addEventListener("popstate", () => this.restoreView(), { signal: this.abort.signal });
    this.clock = setInterval(() => this.updateTexts(), CLOCK_INTERVAL_MS);
    this.themeObserver = observeTheme(() => this.updateTheme());
    Promise.all([this.load(), this.chartsMounted()]).then(() => {
      if (!this.abort.signal.aborted) this.begin();
    });
  }

  createParts(signal) {
    const { root, run } = this;
    const onError = (text) => setText(this.part("replay-note"), text);
    this.scene = new Scene(this.part("canvas"), {
      colours: JSON.parse(root.dataset.colours), css: this.css,
      callbacks: { onHover: (mark) => this.showTooltip(mark), onClick: (label, extend) => this.pin(label, extend), onCameraMove: () => this.urlThrottle.request() },
    });
    this.playback = new Playback(run, {
      signal, getServerView: () => this.serverView(), needsFrames: () => this.scene.layers.turn,
      callbacks: { onShow: (...shown) => this.showFrame(...shown), onChange: () => this.updateTexts(), onError },
    });
    this.curves = new Curves(root, JSON.parse(root.dataset.charts), run, {
      css: this.css, signal, callbacks: { onHover: (epoch) => this.hoverEpoch(epoch), onGroupChange: () => this.writeUrl({ addEntry: true }) },
    });
    this.samples = new SampleImages(this.runId, run, { signal, onError });
    this.details = new Details(this);
    this.heatmapThrottle = new Throttle(HEATMAP_INTERVAL_MS, () => this.drawAngles());
    this.urlThrottle = new Throttle(URL_INTERVAL_MS, () => this.writeUrl());
    this.slider = createSlider(this);
    this.classSelects = createClassSelects(this);
    createClassSearch(this);
  }

  /** Load the run's overview, trying again while the server cannot be reached, then follow its events. */
  async load() {
    const overview = await this.fetchOverview();
    if (!overview || this.abort.signal.aborted) return;
    loadOverview(this.run, overview);
    if (this.run.started) this.onStarted();
    // The scene needs no chart: it is drawn before Plotly is loaded.
    if (overview.geometry) this.playback.addFrame(overview.geometry.step, overview.geometry.arrays);
    this.updateSlider();
    this.restoreView({ isFirst: true });
    const onEvents = (events) => (this.hasBegun ? this.onEvents(events) : this.earlyEvents.push(...events));
    this.stream = new RunStream(new Map([[this.runId, overview.seq]]), onEvents);
  }

  async fetchOverview() {
    const { signal } = this.abort;
    while (!signal.aborted) {
      try {
        return await getJson(`/runs/${this.runId}/overview`, { points: CURVE_POINTS }, { signal });
      } catch (error) {
        if (error.name === "AbortError") return null;
        showConnection("reconnecting");
        await sleep(RETRY_DELAY_MS);
      }
    }
    return null;
  }

  /** Wait for the charts, which Dash mounts some time after the page. */
  async chartsMounted() {
    const areMounted = () => window.Plotly && ["angles-graph", ...CHART_IDS].every((id) => plotlyElement(id)?._fullLayout);
    await waitFor(areMounted, this.abort.signal);
  }

  begin() {
    this.hasBegun = true;
    this.curves.begin(CHART_IDS.map((id) => plotlyElement(id)));
    for (const id of HEATMAP_IDS) {
      plotlyElement(id)?.on("plotly_hover", ({ points }) => this.hoverCell(points[0]));
      plotlyElement(id)?.on("plotly_unhover", () => this.highlight([]));
    }
    this.curves.updateOptions();
    this.updateTheme();
    this.highlight([]);
    this.details.refresh.flush();
    if (this.hasEnded) this.prefetchTimer = setTimeout(() => this.playback.prefetch(), PREFETCH_DELAY_MS);
    this.onEvents(this.earlyEvents);
  }

  close() {
    this.abort.abort();
    clearInterval(this.clock);
    clearTimeout(this.prefetchTimer);
    this.playback.close();
    this.scene.close();
    this.details.close();
    for (const throttle of [this.heatmapThrottle, this.urlThrottle]) throttle.cancel();
    this.themeObserver.disconnect();
    this.stream?.close();
    showConnection("");
  }

  part(name) {
    return findPart(this.root, name);
  }

  get hasEnded() {
    return ENDED_STATUSES.has(this.run.status);
  }

  // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────

  onEvents(events) {
    let hasMetrics = false;
    let hasCapture = false;
    for (const event of events) {
      const isStart = event.type === "RunStarted" && this.run.started === null;
      if (hasEvent(this.run, event)) continue;
      applyEvent(this.run, event);
      if (isStart) this.onStarted();
      if (event.type === "EpochMeasured" || event.type === "StepMeasured") hasMetrics = true;
      if (event.type === "GeometryCaptured") {
        hasCapture = true;
        if (event.arrays) this.playback.addFrame(event.step, event.arrays);
      }
    }
    this.updateSlider();
    if (hasCapture && this.playback.isLive) this.playback.select(this.playback.lastIndex);
    if (hasMetrics) {
      this.curves.updateOptions();
      this.curves.draw();
    }
    this.updateTexts();
    this.details.onEvents(events);
  }

  onStarted() {
    this.scene.begin(this.run.started);
    this.applyMode();
  }

  // ── the view's state, in the address ──────────────────────────────────────────────────────────────────────────────

  urlState() {
    const { scene, playback } = this;
    const layers = LAYERS.map(({ id }) => id).filter((id) => scene.layers[id]);
    const showsLatest = playback.isLive || playback.selectedIndex >= playback.lastIndex;
    return {
      view: this.mode, classes: this.mode === "tetrahedron" ? scene.tetrahedronClasses : null,
      epoch: showsLatest ? null : playback.capture && Number(this.run.captures[playback.selectedIndex].epoch.toFixed(EPOCH_DECIMALS)),
      camera: scene.hasDefaultCamera ? null : scene.cameraText,
      layers: layers.join() === DEFAULT_LAYERS.join() ? null : layers.length ? layers : ["none"],
      class: this.pinnedLabels, charts: this.curves.groupIndex === 0 ? null : this.curves.group.name,
      unit: this.unit === "cos" ? null : this.unit, tab: this.details.tab,
    };
  }

  writeUrl({ addEntry = false } = {}) {
    if (this.isRestored && !this.abort.signal.aborted) writeUrlState(this.urlState(), { addEntry });
  }

  /** Apply the part of an address's state that needs no data: at once, so that an early click is not undone. */
  restoreLook(state) {
    const { scene } = this;
    for (const { id } of LAYERS) this.toggleLayer(id, (state.layers ?? DEFAULT_LAYERS).includes(id));
    scene.restoreCamera(state.camera);
    const classes = state.classes ?? [];
    const isValid = classes.length === 4 && new Set(classes).size === 4 && classes.every((label) => label < this.names.length);
    if (isValid) scene.tetrahedronClasses = classes;
    this.mode = state.view ?? "";
    this.pinnedLabels = (state.class ?? []).filter((label) => label < this.names.length);
    this.unit = state.unit ?? "cos";
    pressButton(this.root, "unit", this.unit);
  }

  /** Show the address's state: when the data is loaded, and when the history moves back or forward. */
  restoreView({ isFirst = false } = {}) {
    const state = readUrlState();
    if (!isFirst) this.restoreLook(state);
    this.curves.chooseGroupByName(state.charts);
    this.details.open(state.tab ?? "");
    this.applyMode();
    this.highlight([]);
    this.isRestored = true;
    if (state.epoch === undefined || state.epoch === null) this.goToLatest();
    else this.playback.seek(captureIndexAt(this.run.captures, state.epoch), true);
  }

  /** The view that the server must project captures to, or null: with many classes coordinates are sent in 3 dimensions. */
  serverView() {
    const { scene } = this;
    if (!scene.isProjectedByServer || !PROJECTED_VIEWS.includes(this.mode)) return null;
    const classes = this.mode === "tetrahedron" ? `&classes=${scene.tetrahedronClasses}` : "";
    return { key: `${this.mode}${classes}`, query: `&view=${this.mode}${classes}` };
  }

  /** Show the chosen mode: a view of the scene, the large heatmap, or the chart of layers. */
  applyMode() {
    const buttons = [...this.root.querySelectorAll("button[data-mode]")];
    if (!buttons.some((button) => button.dataset.mode === this.mode && !button.hidden)) this.mode = "";
    const isFlat = FLAT_MODES.includes(this.mode);
    pressButton(this.root, "mode", this.mode);
    this.part("scene").dataset.shows = isFlat ? this.mode : "scene";
    this.part("scene").dataset.view = this.mode;
    this.scene.setView(isFlat || this.mode === "" ? "spherical" : this.mode);
    for (const [i, select] of this.classSelects.entries()) select.value = String(this.scene.tetrahedronClasses[i]);
    this.drawLargeCharts();
  }

  chooseMode(mode) {
    this.mode = mode;
    this.applyMode();
    this.playback.refresh();
    this.writeUrl({ addEntry: true });
  }

  // ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────

  showFrame(frame, index, trail) {
    const { playback, run } = this;
    const capture = run.captures[index];
    setText(this.part("replay-note"), "");
    this.root.dataset.shownStep = capture.step;
    this.frame = frame;
    this.part("scene").querySelector('[data-layer="mistakes"]').hidden = !frame.predictions;
    this.scene.show(frame, trail, capture.smallest_pair);
    this.updateTexts();
    this.heatmapThrottle.request();
    const isHovered = playback.hoveredIndex !== null;
    if (this.hasBegun && !isHovered) this.curves.markEpoch(index >= playback.lastIndex ? null : capture.epoch);
    if (!playback.isLive && !isHovered && !playback.isPlaying) this.urlThrottle.request();
    this.details.onCapture();
  }

  /** An epoch is hovered in a chart: scene, tiles and heatmap show it meanwhile. */
  hoverEpoch(epoch) {
    this.playback.hover(epoch === null ? null : captureIndexAt(this.run.captures, epoch));
    if (epoch === null) this.playback.refresh();
  }

  updateTexts() {
    const { run, root, playback } = this;
    const { capture, hoveredIndex, isPlaying, isLive } = playback;
    updateHeader(root, run, Date.now());
    const shownEpoch = captureText(run, capture);
    setText(this.part("shown-epoch"), shownEpoch);
    setText(this.part("latest"), this.hasEnded ? "Latest" : isLive ? "Live" : "Go to live");
    const play = this.part("play");
    play.textContent = isPlaying ? "❚❚" : "▶";
    play.setAttribute("aria-label", isPlaying ? "Pause playback" : "Play captures");
    if (hoveredIndex === null) this.slider.value = Math.max(0, playback.selectedIndex);
    this.slider.setAttribute("aria-valuetext", shownEpoch);
    updateReadings(root, run, hoveredIndex === null && isLive ? null : (capture?.epoch ?? 0));
    if (!capture?.smallest_pair || !run.started) return; // its facts are being fetched
    updateAngleStatistics(root, run, capture);
    const description = captureDescription(run, capture);
    if (this.scene.canvas.getAttribute("aria-label") !== description) this.scene.canvas.setAttribute("aria-label", description);
  }

  drawAngles() {
    const { run, frame } = this;
    const graph = plotlyElement("angles-graph");
    if (!frame || !graph || !run.started) return;
    drawHeatmap(graph, frame.cosines, this.unit, this.css, run.started.classes);
    graph.setAttribute("role", "img");
    const { capture } = this.playback;
    if (capture?.smallest_pair) graph.setAttribute("aria-label", `Cosines: ${captureDescription(run, capture)}`);
    this.drawLargeCharts();
  }

  drawLargeCharts() {
    if (this.mode === "layers") drawLayerChart(plotlyElement("layers-graph"), this.run, this.playback.capture?.epoch ?? null, this.css);
    const graph = plotlyElement("large-angles-graph");
    if (this.mode !== "angles" || !this.frame || !graph) return;
    drawHeatmap(graph, this.frame.cosines, this.unit, this.css, this.run.started.classes);
    window.Plotly.Plots.resize(graph);
  }

  updateTheme() {
    this.scene.updateColours();
    if (!this.hasBegun) return;
    for (const id of [...HEATMAP_IDS, "layers-graph"]) {
      if (plotlyElement(id)) window.Plotly.relayout(plotlyElement(id), axesTheme(this.css));
    }
    this.heatmapThrottle.flush();
    this.curves.draw();
    this.details.updateTheme();
  }

  // ── highlighted classes ───────────────────────────────────────────────────────────────────────────────────────────

  showTooltip(mark) {
    const tooltip = this.part("tooltip");
    this.hoveredMark = mark;
    tooltip.hidden = mark === null;
    if (mark !== null) {
      const isSample = mark.kind === "features";
      const { image, trueLabel } = isSample ? this.samples.get(mark.index, () => mark === this.hoveredMark && this.showTooltip(mark)) : {};
      const rotationDeg = mark.kind === "vertices" ? this.scene.rotationSincePrevious(mark.label) : null;
      const lines = tooltipLines(mark, this.frame, this.run.started, { trueLabel, rotationDeg });
      tooltip.replaceChildren(...(image ? [image] : []), ...lines.map((text, i) => createElement(i ? "span" : "b", { textContent: text })));
      const width = this.part("canvas").clientWidth;
      tooltip.style.left = `${Math.min(mark.x + 14, width - tooltip.offsetWidth - TOOLTIP_MARGIN_PX)}px`;
      tooltip.style.top = `${Math.max(4, mark.y - tooltip.offsetHeight - 10)}px`;
    }
    this.highlight(mark === null ? [] : [mark.label]);
  }

  /** Highlight hovered classes beside the pinned ones: in the scene, the legend, the heatmap and the tables. */
  highlight(labels) {
    this.hoveredLabels = labels;
    const highlighted = [...new Set([...this.pinnedLabels, ...labels])];
    this.scene.highlight(highlighted);
    for (const item of this.root.querySelectorAll(".legend [data-class]")) {
      const label = Number(item.dataset.class);
      item.setAttribute("aria-pressed", String(this.pinnedLabels.includes(label)));
      item.classList.toggle("dim", highlighted.length > 0 && !highlighted.includes(label));
    }
    const graph = plotlyElement("angles-graph");
    const key = highlighted.join();
    if (graph && this.run.started && key !== this.outlinedLabels && this.frame?.cosines.rows === this.names.length) {
      this.outlinedLabels = key;
      window.Plotly.relayout(graph, { shapes: highlightShapes(highlighted, this.names.length, this.css) });
    }
    this.details.highlight(highlighted);
  }

  /** Pin a class or release it; null releases all. `extend` keeps the others pinned. */
  pin(label, extend = false) {
    if (label === null) this.pinnedLabels = [];
    else if (this.pinnedLabels.includes(label)) this.pinnedLabels = this.pinnedLabels.filter((each) => each !== label);
    else this.pinnedLabels = extend ? [...this.pinnedLabels, label] : [label];
    this.highlight(this.hoveredLabels);
    this.writeUrl({ addEntry: true });
  }

  hoverCell({ pointIndex }) {
    if (this.frame?.cosines.rows === this.names.length) this.highlight([...new Set(pointIndex)]);
  }

  // ── actions ───────────────────────────────────────────────────────────────────────────────────────────────────────

  updateSlider() {
    this.slider.max = Math.max(0, this.playback.lastIndex);
    if (this.playback.isLive) this.slider.value = this.slider.max;
  }

  /** Show the latest capture; the page of a run that goes on becomes live. */
  goToLatest() {
    if (this.playback.isPlaying) this.playback.togglePlay(this.hasEnded);
    this.playback.isLive = !this.hasEnded;
    this.playback.select(this.playback.lastIndex);
    if (this.hasBegun) this.curves.markEpoch(null);
    this.urlThrottle.request();
  }

  toggleLayer(id, wanted = !this.scene.layers[id]) {
    const button = this.part("scene").querySelector(`button[data-layer="${id}"]`);
    const isOn = wanted && Boolean(button);
    button?.setAttribute("aria-pressed", String(isOn));
    this.scene.setLayer(id, isOn);
    if (id === "turn" && isOn) this.playback.refresh();
  }

  chooseUnit(unit) {
    this.unit = unit;
    pressButton(this.root, "unit", unit);
    this.heatmapThrottle.flush();
    this.writeUrl({ addEntry: true });
  }

  /** Ask the service to pause, resume, cancel or retry the run, as a button says. */
  async requestAction(button) {
    button.disabled = true;
    try {
      await sendJson("POST", `/runs/${this.runId}/${button.dataset.action}`);
      showToast(button.dataset.message);
    } catch (error) {
      showToast(error.message);
    } finally {
      button.disabled = false;
    }
  }

  /** What an export of this view needs: the capture shown, camera, unit, view. */
  viewState() {
    const { scene, playback } = this;
    const view = PROJECTED_VIEWS.includes(this.mode) ? this.mode : null;
    return {
      epoch: this.run.captures[playback.selectedIndex]?.epoch ?? null, camera: scene.cameraText, unit: this.unit,
      view, classes: view === "tetrahedron" ? scene.tetrahedronClasses.join(",") : null,
    };
  }
}
