// The tabs below the picture: what a capture says class by class, and what the service knows of the run's work.
// A tab is filled when it is opened, and again when another capture is shown or the run has news of its kind.

import { axesTheme } from "./charts.mjs";
import { Calm } from "../core/throttle.mjs";
import { nearestClass } from "../scene/tooltips.mjs";
import { digits, duration, percent } from "../model/run-model.mjs";
import { decode } from "../core/arrays.mjs";

const CALM_MS = 900;
const ROWS = 200; // of the table of classes; more are told by a search
const BYTES = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]];

export function size(bytes) {
  const [unit, scale] = BYTES.find(([, least]) => bytes >= least) ?? ["bytes", 1];
  return `${Number((bytes / scale).toPrecision(3))} ${unit}`;
}

/** Rows of the table of classes, worst angle first: what a capture says of each class. */
export function classRows(names, frame, arrays) {
  const accuracy = arrays.accuracy && decode(arrays.accuracy).data;
  const spread = arrays.within_variance && decode(arrays.within_variance).data;
  return names.map((name, label) => {
    const nearest = nearestClass(frame.cosines, label, names.length);
    return {
      label, name, accuracy: accuracy ? accuracy[label] : null, spread: spread ? spread[label] : null,
      nearest: nearest ? names[nearest.label] : null, angle: nearest ? (Math.acos(Math.max(-1, Math.min(1, nearest.cosine))) * 180) / Math.PI : null,
    };
  }).sort((a, b) => (a.angle ?? 0) - (b.angle ?? 0));
}

function table(heads, rows) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const words of heads) head.append(Object.assign(document.createElement("th"), { textContent: words, scope: "col" }));
  const body = made.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const cell of cells) {
      if (cell instanceof Node) row.insertCell().append(cell);
      else row.insertCell().textContent = cell ?? "";
    }
  }
  return made;
}

const text = (words, className = "ink-2") => Object.assign(document.createElement("p"), { textContent: words, className });
const link = (words, href) => Object.assign(document.createElement("a"), { textContent: words, href, className: "link", download: "" });

/** Each tab: the arrays it needs of the capture shown, or the address it reads, and how it is drawn. */
const TABS = {
  classes: {
    arrays: ["accuracy", "within_variance"],
    draw(page, { arrays }) {
      const rows = classRows(page.names, page.shown, arrays);
      const made = table(["class", "train accuracy", "within-class variance", "nearest class", "angle between them"], rows.slice(0, ROWS).map((row) => {
        const name = document.createElement("button");
        Object.assign(name, { type: "button", className: "class-name", textContent: row.name });
        name.dataset.class = row.label;
        name.style.setProperty("--class", page.scene.colours[row.label]);
        return [name, percent(row.accuracy), digits(row.spread), row.nearest, row.angle === null ? "" : `${row.angle.toFixed(1)}°`];
      }));
      return rows.length > ROWS ? [text(`The ${ROWS} classes with the smallest angles of ${rows.length}.`), made] : [made];
    },
  },
  confusion: { arrays: ["confusion"], figure: "confusion", fill: ({ arrays }) => {
    const { data, rows, columns } = decode(arrays.confusion);
    const z = Array.from({ length: rows }, (_, i) => Array.from(data.subarray(i * columns, (i + 1) * columns)));
    // Right answers would hide all others: the scale ends at the largest confusion.
    const most = Math.max(1, ...z.flatMap((row, i) => row.filter((_, j) => j !== i)));
    return [{ z: [z], zmax: most }, {}];
  } },
  margins: { arrays: ["margins"], ofTest: ["margins_test"], figure: "margins", fill: ({ arrays }) => {
    const lines = ["margins", "margins_test"].map((name) => (arrays[name] ? Array.from(decode(arrays[name]).data) : []));
    return [{ x: lines.map((line) => line.map((_, i) => i / Math.max(1, line.length - 1))), y: lines }, {}, [0, 1]];
  } },
  spectra: { arrays: ["spectrum_within", "spectrum_between"], figure: "spectra", fill: ({ arrays }) => {
    const lines = ["spectrum_between", "spectrum_within"].map((name) => Array.from(decode(arrays[name]).data).map((v) => (v > 0 ? v : null)));
    return [{ x: lines.map((line) => line.map((_, i) => i + 1)), y: lines }, {}, [0, 1]];
  } },
  log: {
    path: "/log?tail=20000", plain: true, news: ["LogLine", "AttemptFailed", "RunFailed"],
    draw: (page, words) => [words ? Object.assign(document.createElement("pre"), { textContent: words, className: "log" }) : text("The worker has written nothing.")],
  },
  attempts: {
    path: "/attempts", news: ["Resumed", "AttemptFailed", "Paused", "RunFinished", "RunCancelled", "RunFailed"],
    draw: (page, { items }) => [items.length
      ? table(["attempt", "device", "process", "began", "took", "how it ended"], items.map((each) => [
          each.number, each.device, each.pid, each.claimed_at.slice(0, 19).replace("T", " "),
          each.ended_at ? duration((Date.parse(each.ended_at) - Date.parse(each.claimed_at)) / 1000) : "", each.outcome ?? "it runs",
        ]))
      : text("No attempt yet: it waits for a free device.")],
  },
  files: {
    path: "/artifacts", news: ["CheckpointSaved", "FeaturesKept"],
    draw: (page, { items }) => [items.length
      ? table(["kind", "step", "size", "SHA-256", ""], items.slice(-ROWS).reverse().map((each) => [each.kind, each.step, size(each.size_bytes), each.sha256.slice(0, 16), link("download", each.href)]))
      : text("No file yet.")],
  },
};

export class Details {
  constructor(page) {
    this.page = page;
    this.tab = "";
    this.place = page.part("details");
    this.again = new Calm(CALM_MS, () => this.fill());
  }

  open(tab) {
    const first = this.place?.dataset.first ?? "";
    this.tab = TABS[tab] || this.place?.querySelector(`[data-static="${tab}"]`) ? tab : "";
    const shown = this.tab || first;
    this.page.pressed("tab", shown);
    for (const each of this.place?.querySelectorAll("[data-static]") ?? []) each.hidden = each.dataset.static !== shown;
    for (const each of this.place?.querySelectorAll("[data-why]") ?? []) each.hidden = each.dataset.why !== shown;
    this.now = shown;
    this.again.run();
  }

  /** Another capture is shown. */
  shown() {
    if (TABS[this.now]?.arrays) this.again.draw();
  }

  heard(events) {
    if (TABS[this.now]?.news && events.some((event) => TABS[this.now].news.includes(event.type))) this.again.draw();
  }

  async fill() {
    const { page } = this;
    const tab = this.now;
    const kind = TABS[tab];
    const body = page.part("details-body");
    if (!body) return;
    body.hidden = !kind;
    if (!kind) return;
    const capture = page.replay.capture;
    if (kind.arrays && (!capture || !page.shown || !window.Plotly)) {
      if (page.run.captures.length === 0) body.replaceChildren(text(page.restored ? "Nothing is captured yet." : ""));
      return; // it is on its way
    }
    const address = kind.path ? `/api/v1/runs/${page.runId}${kind.path}` : `${capture.href}&arrays=${kind.arrays}`;
    try {
      const answer = await fetch(address, { signal: page.abort.signal });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const found = await (kind.plain ? answer.text() : answer.json());
      if (kind.ofTest && Object.keys(page.run.series.test ?? {}).length) await this.more(kind, capture, found);
      if (this.now !== tab) return;
      if (kind.figure) this.picture(body, kind, found);
      else body.replaceChildren(...kind.draw(page, found));
    } catch (error) {
      if (error.name !== "AbortError" && this.now === tab) body.replaceChildren(text(error.message, "bad-words"));
    }
  }

  /** Arrays of the test split, where the run has one. */
  async more(kind, capture, found) {
    const answer = await fetch(`${capture.href}&arrays=${kind.ofTest}`, { signal: this.page.abort.signal });
    if (answer.ok) Object.assign(found.arrays, (await answer.json()).arrays);
  }

  picture(body, kind, found) {
    const [traces, layout, which] = kind.fill(found);
    if (body.firstChild?.dataset?.figure === kind.figure) {
      window.Plotly.update(body.firstChild, traces, layout, which);
      return;
    }
    const place = document.createElement("div");
    place.dataset.figure = kind.figure;
    place.className = "detail-graph";
    body.replaceChildren(place);
    // With its data from the start: Plotly cannot lay out an axis that is tied to another one and has none.
    const figure = structuredClone(this.page.figures[kind.figure]);
    figure.data.forEach((trace, i) => {
      const at = (which ?? figure.data.map((_, j) => j)).indexOf(i);
      if (at < 0) return;
      for (const [key, value] of Object.entries(traces)) trace[key] = Array.isArray(value) ? value[at] : value;
    });
    window.Plotly.newPlot(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
    this.theme();
  }

  theme() {
    const graph = this.page.part("details-body")?.querySelector(".detail-graph");
    if (graph?._fullLayout) window.Plotly.relayout(graph, axesTheme(this.page.css));
  }

  focus(labels) {
    for (const each of this.place?.querySelectorAll(".class-name") ?? []) {
      each.closest("tr").classList.toggle("stands-out", labels.includes(Number(each.dataset.class)));
    }
  }

  close() {
    this.again.close();
  }
}
