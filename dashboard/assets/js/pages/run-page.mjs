// The live page of one run: events in, pictures out. The server's layout is the frame; this fills it.

import { put, read } from "../core/url-state.mjs";
import { send } from "../core/api.mjs";
import { Calm } from "../core/throttle.mjs";
import { axesTheme, crosses, drawHeatmap } from "../panels/charts.mjs";
import { Curves } from "../panels/curves.mjs";
import { Details } from "../panels/details.mjs";
import { typing } from "../core/keyboard.mjs";
import { drawLayers } from "../panels/layer-chart.mjs";
import { describe } from "../scene/tooltips.mjs";
import { captureAt, Replay, SPEEDS } from "../model/playback.mjs";
import { apply, ENDED, emptyRun, known, restore } from "../model/run-model.mjs";
import { alternative, epochWords, header, readings, say, sentence } from "../panels/run-text.mjs";
import { Samples } from "../model/sample-images.mjs";
import { LAYERS, Scene, USUAL } from "../scene/scene.mjs";
import { connection, RunStream } from "../core/stream.mjs";
import { toast } from "../core/toast.mjs";

const POINTS = 1000; // of each curve; more cannot be told apart on a screen
// The heatmap is read, not watched: it may lag the scene by this much.
const READ_MS = 350;
const ADDRESS_MS = 300;
const WARM_MS = 1500; // after the page stands

export class RunPage {
  constructor(root) {
    this.root = root;
    this.runId = root.dataset.run;
    this.run = emptyRun(Number(root.dataset.epochs));
    this.names = JSON.parse(root.dataset.names);
    this.figures = JSON.parse(root.dataset.figures);
    this.abort = new AbortController();
    this.css = (name) => getComputedStyle(this.root).getPropertyValue(`--${name}`).trim();
    this.hovered = [];
    const { signal } = this.abort;
    this.scene = new Scene(this.part("canvas"), {
      colours: JSON.parse(root.dataset.colours), css: this.css,
      heard: { hover: (mark) => this.hover(mark), click: (label, more) => this.pin(label, more), moved: () => this.address.draw() },
    });
    this.replay = new Replay(this.run, {
      signal, seen: () => this.cut(), turns: () => this.scene.layers.turn,
      heard: { show: (...shown) => this.show(...shown), words: () => this.words(), failed: (text) => say(root, "replay-note", text) },
    });
    this.curves = new Curves(root, JSON.parse(root.dataset.charts), this.run, {
      css: this.css, signal, heard: { point: (epoch) => this.peek(epoch), chosen: () => this.put(true) },
    });
    this.samples = new Samples(this.runId, this.run, { signal, failed: (text) => say(root, "replay-note", text) });
    this.details = new Details(this);
    this.heatmap = new Calm(READ_MS, () => this.drawAngles());
    this.address = new Calm(ADDRESS_MS, () => this.put());
    this.buildSlider();
    this.buildFour();
    this.buildSearch();
    this.restoreLook(read(window.location.search));
    this.take = this.take.bind(this);
    const listen = (target, type, work) => target.addEventListener(type, work, { signal });
    listen(root, "click", (event) => this.click(event));
    listen(root, "pointerover", (event) => this.over(event));
    listen(root, "pointerout", (event) => this.out(event));
    listen(document, "keydown", (event) => this.key(event));
    listen(window, "popstate", () => this.restoreView());
    this.clock = setInterval(() => this.words(), 1000);
    this.themeWatch = new MutationObserver(() => this.theme());
    this.themeWatch.observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });
    this.early = []; // what is heard before there is a graph to draw it in
    Promise.all([this.load(), this.ready()]).then(() => {
      if (!signal.aborted) this.begin();
    });
  }

  /** All that is known so far in one answer, however long the run is; then the stream of what follows. */
  async load() {
    const { signal } = this.abort;
    while (!signal.aborted) {
      try {
        const answer = await fetch(`/api/v1/runs/${this.runId}/overview?points=${POINTS}`, { signal });
        if (!answer.ok) throw new Error((await answer.json()).detail);
        this.overview = await answer.json();
        break;
      } catch (error) {
        if (error.name === "AbortError") return;
        connection("reconnecting");
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    if (signal.aborted) return;
    restore(this.run, this.overview);
    if (this.run.started) this.started();
    const newest = this.overview.geometry;
    // The picture needs no chart: it is there before Plotly is.
    if (newest) this.replay.keep(newest.step, newest.arrays);
    this.sizeSlider();
    this.restoreView({ first: true });
    const hear = (events) => (this.begun ? this.take(events) : this.early.push(...events));
    this.stream = new RunStream(new Map([[this.runId, this.overview.seq]]), hear);
    this.overview = null;
  }

  graph(id) {
    return document.getElementById(id)?.querySelector(".js-plotly-plot");
  }

  /** The graphs are mounted by Dash some time after the page; wait for all of them. */
  async ready() {
    const ids = ["angles-graph", "chart-0", "chart-1", "chart-2", "chart-3"];
    while (!this.abort.signal.aborted && !(window.Plotly && ids.every((id) => this.graph(id)?._fullLayout))) {
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  begin() {
    this.begun = true;
    this.curves.begin([0, 1, 2, 3].map((i) => this.graph(`chart-${i}`)));
    for (const id of ["angles-graph", "large-angles-graph"]) {
      this.graph(id)?.on("plotly_hover", ({ points }) => this.overCell(points[0]));
      this.graph(id)?.on("plotly_unhover", () => this.stand([]));
    }
    this.curves.offer();
    this.theme();
    this.stand([]);
    this.details.again.run();
    if (this.ended) this.warmth = setTimeout(() => this.replay.warm(), WARM_MS);
    this.take(this.early);
  }

  close() {
    this.abort.abort();
    clearInterval(this.clock);
    clearTimeout(this.warmth);
    this.replay.close();
    this.scene.close();
    this.details.close();
    for (const calm of [this.heatmap, this.address]) calm.close();
    this.themeWatch.disconnect();
    this.stream?.close();
    connection("");
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  get ended() {
    return ENDED.has(this.run.status);
  }

  // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────

  take(events) {
    let measured = false;
    let arrived = false;
    for (const event of events) {
      const begins = event.type === "RunStarted" && this.run.started === null;
      if (known(this.run, event)) continue;
      apply(this.run, event);
      if (begins) this.started();
      if (event.type === "EpochMeasured" || event.type === "StepMeasured") measured = true;
      if (event.type === "GeometryCaptured") {
        arrived = true;
        if (event.arrays) this.replay.keep(event.step, event.arrays);
      }
    }
    this.sizeSlider();
    if (arrived && this.replay.follows) this.replay.choose(this.replay.last);
    if (measured) {
      this.curves.offer();
      this.curves.draw();
    }
    this.words();
    this.details.heard(events);
  }

  started() {
    this.scene.begin(this.run.started);
    this.applyMode();
  }

  // ── the view's state, in the address ──────────────────────────────────────────────────────────────────────────────

  state() {
    const { scene, replay } = this;
    const on = LAYERS.filter((layer) => scene.layers[layer]);
    const usual = on.join() === USUAL.join();
    return {
      view: this.mode, classes: this.mode === "tetrahedron" ? scene.four : null,
      epoch: replay.follows || replay.index >= replay.last ? null : replay.capture && Number(this.run.captures[replay.index].epoch.toFixed(6)),
      camera: scene.isHome() ? null : scene.cameraText(), layers: usual ? null : on.length ? on : ["none"],
      class: this.pinned, charts: this.curves.group === 0 ? null : this.curves.name, unit: this.unit === "cos" ? null : this.unit,
      tab: this.details.tab,
    };
  }

  put(entry = false) {
    if (this.restored && !this.abort.signal.aborted) put(this.state(), { entry });
  }

  /** What of the address needs no data: there before the data is, so that an early click is not undone. */
  restoreLook(wanted) {
    const { scene } = this;
    for (const layer of LAYERS) this.toggle(layer, (wanted.layers ?? USUAL).includes(layer));
    scene.takeCamera(wanted.camera);
    const four = wanted.classes ?? [];
    if (four.length === 4 && new Set(four).size === 4 && four.every((label) => label < this.names.length)) scene.four = four;
    this.mode = wanted.view ?? "";
    this.pinned = (wanted.class ?? []).filter((label) => label < this.names.length);
    this.unit = wanted.unit ?? "cos";
    this.pressed("unit", this.unit);
  }

  /** Show what the address says: when the data has come, and when the history goes back or forward. */
  restoreView({ first = false } = {}) {
    const wanted = read(window.location.search);
    if (!first) this.restoreLook(wanted);
    this.curves.chooseByName(wanted.charts);
    this.details.open(wanted.tab ?? "");
    this.applyMode();
    this.stand([]);
    this.restored = true;
    if (wanted.epoch === undefined || wanted.epoch === null) this.newest();
    else this.replay.scrub(captureAt(this.run.captures, wanted.epoch), true);
  }

  /** What the server must cut of a capture for the view: above 128 classes coordinates travel in three dimensions. */
  cut() {
    const { scene } = this;
    if (!scene.reduced || !["pca", "tetrahedron"].includes(this.mode)) return null;
    const classes = this.mode === "tetrahedron" ? `&classes=${scene.four}` : "";
    return { key: `${this.mode}${classes}`, query: `&view=${this.mode}${classes}` };
  }

  /** Show the mode chosen: a view of the scene, the angles large, or the layers. */
  applyMode() {
    const buttons = [...this.root.querySelectorAll("button[data-mode]")];
    if (!buttons.some((button) => button.dataset.mode === this.mode && !button.hidden)) this.mode = "";
    this.pressed("mode", this.mode);
    this.part("scene").dataset.shows = ["angles", "layers"].includes(this.mode) ? this.mode : "scene";
    this.part("scene").dataset.view = this.mode;
    this.scene.choose(["angles", "layers"].includes(this.mode) || this.mode === "" ? "spherical" : this.mode);
    for (const [i, select] of this.four.entries()) select.value = String(this.scene.four[i]);
    this.drawLarge();
  }

  chooseMode(mode) {
    this.mode = mode;
    this.applyMode();
    this.replay.refresh();
    this.put(true);
  }

  // ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────

  show(frame, at, before) {
    say(this.root, "replay-note", "");
    this.root.dataset.shownStep = this.run.captures[at].step;
    this.shown = frame;
    this.part("scene").querySelector('[data-layer="mistakes"]').hidden = !frame.predictions;
    this.scene.draw(frame, before, this.run.captures[at].smallest_pair);
    this.words();
    this.heatmap.draw();
    if (this.begun && this.replay.peeked === null) this.curves.mark(at >= this.replay.last ? null : this.run.captures[at].epoch);
    if (!this.replay.follows && this.replay.peeked === null && !this.replay.playing) this.address.draw();
    this.details.shown();
  }

  /** An epoch is pointed at in a chart: the scene, the readings and the heatmap show it for that long. */
  peek(epoch) {
    this.replay.peek(epoch === null ? null : captureAt(this.run.captures, epoch));
    if (epoch === null) this.replay.refresh();
  }

  words() {
    const { run, root, replay } = this;
    header(root, run, Date.now());
    const { capture } = replay;
    say(root, "shown-epoch", epochWords(run, capture));
    say(root, "follow", this.ended ? "newest" : replay.follows ? "follows the run" : "back to live");
    const play = this.part("play");
    play.textContent = replay.playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", replay.playing ? "Pause the replay" : "Play the captures");
    if (replay.peeked === null) this.slider.value = Math.max(0, replay.index);
    this.slider.setAttribute("aria-valuetext", epochWords(run, capture));
    readings(root, run, replay.peeked === null && replay.follows ? null : (capture?.epoch ?? 0));
    if (!capture?.smallest_pair || !run.started) return; // its facts are on their way
    sentence(root, run, capture);
    const text = alternative(run, capture);
    if (this.scene.canvas.getAttribute("aria-label") !== text) this.scene.canvas.setAttribute("aria-label", text);
  }

  drawAngles() {
    const graph = this.graph("angles-graph");
    if (!this.shown || !graph || !this.run.started) return;
    drawHeatmap(graph, this.shown.cosines, this.unit, this.css, this.run.started.classes);
    graph.setAttribute("role", "img");
    if (this.replay.capture?.smallest_pair) graph.setAttribute("aria-label", `Cosines: ${alternative(this.run, this.replay.capture)}`);
    this.drawLarge();
  }

  drawLarge() {
    if (this.mode === "layers") drawLayers(this.graph("layers-graph"), this.run, this.replay.capture?.epoch ?? null, this.css);
    const graph = this.graph("large-angles-graph");
    if (this.mode !== "angles" || !this.shown || !graph) return;
    drawHeatmap(graph, this.shown.cosines, this.unit, this.css, this.run.started.classes);
    window.Plotly.Plots.resize(graph);
  }

  theme() {
    this.scene.recolour();
    if (!this.begun) return;
    for (const id of ["angles-graph", "large-angles-graph", "layers-graph"]) {
      if (this.graph(id)) window.Plotly.relayout(this.graph(id), axesTheme(this.css));
    }
    this.heatmap.run();
    this.curves.draw();
    this.details.theme();
  }

  // ── classes that stand out ────────────────────────────────────────────────────────────────────────────────────────

  hover(mark) {
    const tip = this.part("tip");
    this.under = mark;
    tip.hidden = mark === null;
    if (mark !== null) {
      const held = mark.kind === "features" ? this.samples.of(mark.index, () => mark === this.under && this.hover(mark)) : {};
      const turn = mark.kind === "vertices" ? this.scene.turnSince(mark.label) : null;
      const lines = describe(mark, this.shown, this.run.started, { ...held, turn });
      tip.replaceChildren(...(held.picture ? [held.picture] : []), ...lines.map((text, i) => Object.assign(document.createElement(i ? "span" : "b"), { textContent: text })));
      const wide = this.part("canvas").clientWidth;
      tip.style.left = `${Math.min(mark.x + 14, wide - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.max(4, mark.y - tip.offsetHeight - 10)}px`;
    }
    this.stand(mark === null ? [] : [mark.label]);
  }

  /** Let classes stand out for as long as they are pointed at, beside those that are pinned. */
  stand(labels) {
    this.hovered = labels;
    const focus = [...new Set([...this.pinned, ...labels])];
    this.scene.emphasise(focus);
    for (const item of this.root.querySelectorAll(".legend [data-class]")) {
      const label = Number(item.dataset.class);
      item.setAttribute("aria-pressed", String(this.pinned.includes(label)));
      item.classList.toggle("dim", focus.length > 0 && !focus.includes(label));
    }
    const graph = this.graph("angles-graph");
    const key = focus.join();
    if (graph && this.run.started && key !== this.crossed && this.shown?.cosines.rows === this.names.length) {
      this.crossed = key;
      window.Plotly.relayout(graph, { shapes: crosses(focus, this.names.length, this.css) });
    }
    this.details.focus(focus);
  }

  pin(label, more = false) {
    if (label === null) this.pinned = [];
    else if (this.pinned.includes(label)) this.pinned = this.pinned.filter((each) => each !== label);
    else this.pinned = more ? [...this.pinned, label] : [label];
    this.stand(this.hovered);
    this.put(true);
  }

  overCell({ pointIndex }) {
    if (this.shown?.cosines.rows === this.names.length) this.stand([...new Set(pointIndex)]);
  }

  over(event) {
    const item = event.target.closest("[data-class]");
    if (item) this.stand([Number(item.dataset.class)]);
  }

  out(event) {
    if (event.target.closest("[data-class]") && !event.relatedTarget?.closest?.("[data-class]")) this.stand([]);
  }

  // ── hands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  buildSlider() {
    this.slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 0, value: 0, step: 1 });
    this.slider.setAttribute("aria-label", "Epoch shown");
    this.slider.addEventListener("input", () => this.replay.scrub(Number(this.slider.value), this.ended));
    this.part("slider").replaceChildren(this.slider);
  }

  /** The four classes of the tetrahedron, each a list of all. */
  buildFour() {
    this.four = [0, 1, 2, 3].map((i) => {
      const select = document.createElement("select");
      select.setAttribute("aria-label", `Class ${i + 1} of the tetrahedron`);
      select.append(...this.names.map((name, label) => new Option(name, label)));
      select.addEventListener("change", () => {
        const four = [...this.scene.four];
        const label = Number(select.value);
        const other = four.indexOf(label);
        if (other >= 0) four[other] = four[i]; // two that change places
        four[i] = label;
        this.scene.choose("tetrahedron", four);
        for (const [j, each] of this.four.entries()) each.value = String(four[j]);
        this.replay.refresh();
        this.put(true);
      });
      return select;
    });
    this.part("four")?.replaceChildren(...this.four);
  }

  /** Where classes are too many to be told by colour, one is found by its name. */
  buildSearch() {
    const place = this.part("class-search");
    if (!place) return;
    const input = Object.assign(document.createElement("input"), { type: "search", placeholder: "find a class" });
    input.setAttribute("aria-label", "Find a class");
    input.setAttribute("list", place.dataset.list);
    input.addEventListener("change", () => {
      const label = this.names.indexOf(input.value);
      if (label >= 0) this.pin(label);
      else if (input.value === "") this.pin(null);
    });
    place.replaceChildren(input);
  }

  sizeSlider() {
    this.slider.max = Math.max(0, this.replay.last);
    if (this.replay.follows) this.slider.value = this.slider.max;
  }

  newest() {
    if (this.replay.playing) this.replay.play(this.ended);
    this.replay.follows = !this.ended;
    this.replay.choose(this.replay.last);
    if (this.begun) this.curves.mark(null);
    this.address.draw();
  }

  pressed(name, value) {
    for (const button of this.root.querySelectorAll(`button[data-${name}]`)) {
      button.setAttribute("aria-pressed", String(button.dataset[name] === value));
    }
  }

  toggle(layer, wanted = !this.scene.layers[layer]) {
    const chip = this.part("scene").querySelector(`button[data-layer="${layer}"]`);
    const on = wanted && Boolean(chip);
    chip?.setAttribute("aria-pressed", String(on));
    this.scene.show(layer, on);
    if (layer === "turn" && on) this.replay.refresh();
  }

  nextSpeed() {
    this.replay.speed = SPEEDS[(SPEEDS.indexOf(this.replay.speed) + 1) % SPEEDS.length];
    say(this.root, "speed", `${this.replay.speed === 0.5 ? "½" : this.replay.speed}×`);
  }

  chooseUnit(unit) {
    this.unit = unit;
    this.pressed("unit", unit);
    this.heatmap.run();
    this.put(true);
  }

  /** Ask the service for something: to pause, resume, cancel, retry. */
  async act(button) {
    button.disabled = true;
    try {
      await send("POST", `/runs/${this.runId}/${button.dataset.action}`);
      toast(button.dataset.said);
    } catch (error) {
      toast(error.message);
    } finally {
      button.disabled = false;
    }
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const { layer, unit, group, part, mode, tab, action } = button.dataset;
    if (action) this.act(button);
    else if (layer) {
      this.toggle(layer);
      this.put();
    } else if (unit) this.chooseUnit(unit);
    else if (group) this.curves.choose(Number(group), true);
    else if (mode !== undefined) this.chooseMode(mode);
    else if (tab) {
      this.details.open(tab);
      this.put(true);
    } else if (button.dataset.class) this.pin(Number(button.dataset.class), event.shiftKey || event.ctrlKey || event.metaKey);
    else if (part === "play") this.replay.play(this.ended);
    else if (part === "follow") this.newest();
    else if (part === "speed") this.nextSpeed();
    else if (part === "loop") {
      this.replay.loop = !this.replay.loop;
      button.setAttribute("aria-pressed", String(this.replay.loop));
    }
  }

  key(event) {
    if (typing(event)) return;
    const step = (count) => this.replay.scrub(this.replay.index + count, this.ended);
    const modes = [...this.root.querySelectorAll("button[data-mode]")].filter((button) => !button.hidden);
    const keys = {
      " ": () => this.replay.play(this.ended), ArrowLeft: () => step(event.shiftKey ? -10 : -1), ArrowRight: () => step(event.shiftKey ? 10 : 1),
      Home: () => this.replay.scrub(0, this.ended), End: () => this.newest(), f: () => this.toggle("features"), t: () => this.toggle("trails"),
      c: () => this.toggle("classifier"), n: () => this.toggle("names"), a: () => this.toggle("arrows"), m: () => this.toggle("mistakes"),
      o: () => this.toggle("turn"),
      e: () => document.getElementById("export-open")?.click(), Escape: () => this.pin(null),
    };
    modes.forEach((button, i) => {
      keys[String(i + 1)] = () => this.chooseMode(button.dataset.mode);
    });
    const work = keys[event.key];
    if (!work || (event.target.closest("button, a") && event.key === " ")) return;
    event.preventDefault();
    work();
    if ("ftcnamo".includes(event.key)) this.put();
  }

  /** What an export of this moment needs: the capture shown, the camera, the layers, the unit. */
  moment() {
    const { scene, replay } = this;
    const layers = ["features", "classifier", "names"].filter((name) => scene.layers[name]);
    const view = ["pca", "tetrahedron"].includes(this.mode) ? this.mode : null;
    return {
      run: this.runId, epoch: this.run.captures[replay.index]?.epoch ?? null, camera: scene.cameraText(), layers, unit: this.unit,
      view, classes: view === "tetrahedron" ? scene.four.join(",") : null, own: this.run.started?.view ?? null,
    };
  }
}
