// The 3D scene: fills the traces of the figure that the server sent (dashboard/figures/scene.py), frame by frame.

import { place, screen } from "./labels.mjs";
import { decode, fromRows, project } from "./typed.mjs";

export const TRAIL = 8;
const NAMES_UP_TO = 30;
const SOFTWARE = /swiftshader|llvmpipe|software/i;

export class Scene {
  constructor(graph, traces) {
    this.graph = graph;
    this.traces = traces; // name → index
    this.view = null;
    this.colours = graph.data[traces.means].marker.color;
    this.names = [];
    this.layers = { features: true, trails: true, classifier: true, names: true };
    this.means = null;
    this.sparePixels();
    graph.on("plotly_relayout", () => this.drawNames());
    graph.addEventListener("dblclick", () => this.resetCamera());
  }

  /** Plotly draws twice the pixels each way for smoothness: free on a GPU, and most of a frame's time in software. */
  sparePixels() {
    const { glplot } = this.graph._fullLayout.scene._scene;
    const named = glplot.gl.getExtension("WEBGL_debug_renderer_info");
    if (!named || !SOFTWARE.test(glplot.gl.getParameter(named.UNMASKED_RENDERER_WEBGL))) return;
    const { canvas } = glplot;
    glplot.pixelRatio = 1;
    canvas.width = canvas.clientWidth;
    canvas.height = canvas.clientHeight;
  }

  /** Draw what never moves: the ETF's vertices and spokes. */
  begin(started) {
    this.view = started.view_matrix;
    this.names = started.class_names;
    const [x, y, z] = project(fromRows(started.vertices), this.view);
    const spokes = [x, y, z].map((axis) => Array.from(axis).flatMap((value) => [0, value, null]));
    window.Plotly.restyle(this.graph, { x: [spokes[0], x], y: [spokes[1], y], z: [spokes[2], z] }, [
      this.traces.spokes, this.traces.vertices,
    ]);
  }

  /** Return a capture's arrays as coordinates in the picture. */
  prepare(arrays) {
    const labels = decode(arrays.labels).data;
    return {
      means: project(decode(arrays.means), this.view),
      weights: project(decode(arrays.weights), this.view),
      features: project(decode(arrays.features), this.view),
      featureColours: Array.from(labels, (label) => this.colours[label]),
      cosines: decode(arrays.cosines_means),
    };
  }

  /** Draw one prepared capture, with trails through the means of those `before` it. */
  draw(frame, before) {
    this.means = frame.means;
    const { features, trails, weights, means } = this.traces;
    const trail = this.trail([...before, frame]);
    const parts = [frame.features, trail.points, frame.weights, frame.means];
    const change = {
      x: parts.map((p) => p[0]), y: parts.map((p) => p[1]), z: parts.map((p) => p[2]),
      "marker.color": [frame.featureColours, undefined, this.colours, this.colours],
      "line.color": [undefined, trail.colours, undefined, undefined],
    };
    const names = this.placeNames();
    if (names) {
      change.text = [undefined, undefined, undefined, names.text];
      change.textposition = [undefined, undefined, undefined, names.textposition];
    }
    window.Plotly.restyle(this.graph, change, [features, trails, weights, means]);
  }

  trail(frames) {
    const points = [[], [], []];
    const colours = [];
    if (frames.length > 1) {
      this.colours.forEach((colour, label) => {
        for (const frame of frames) {
          frame.means.forEach((axis, i) => points[i].push(axis[label]));
          colours.push(colour);
        }
        points.forEach((axis) => axis.push(null));
        colours.push(colour);
      });
    }
    return { points, colours };
  }

  show(layer, on) {
    this.layers[layer] = on;
    if (layer === "names") this.drawNames();
    else {
      const index = { features: this.traces.features, trails: this.traces.trails, classifier: this.traces.weights }[layer];
      window.Plotly.restyle(this.graph, { visible: on }, [index]);
    }
  }

  /** Draw the names anew where they have to move: the camera or a layer has changed. */
  drawNames() {
    const names = this.means && this.placeNames();
    if (names) window.Plotly.restyle(this.graph, { text: [names.text], textposition: [names.textposition] }, [this.traces.means]);
  }

  /** Return the names' text and positions, or null where they are as drawn: drawing text is the dearest part. */
  placeNames() {
    const wanted = this.layers.names && this.names.length <= NAMES_UP_TO;
    const { camera, aspectratio } = this.scene();
    const unit = 3.2 / (Math.min(this.graph.clientWidth, this.graph.clientHeight) * aspectratio.x);
    const size = { charWidth: 7.4 * unit, lineHeight: 13 * unit, gap: 7 * unit };
    const placed = wanted ? place(screen(this.means, camera), this.names, size) : this.names.map(() => null);
    const text = this.names.map((name, i) => (placed[i] ? name : ""));
    const textposition = placed.map((position) => position ?? "top center");
    const key = JSON.stringify([text, textposition]);
    if (key === this.namesDrawn) return null;
    this.namesDrawn = key;
    return { text, textposition };
  }

  scene() {
    const { camera, aspectratio } = this.graph._fullLayout.scene;
    return { camera: this.graph._fullLayout.scene._scene?.getCamera?.() ?? camera, aspectratio };
  }

  /** The camera as the service takes it: ex,ey,ez,ux,uy,uz,zoom. */
  cameraText() {
    const { camera, aspectratio } = this.scene();
    const numbers = [camera.eye.x, camera.eye.y, camera.eye.z, camera.up.x, camera.up.y, camera.up.z];
    return [...numbers, aspectratio.x / this.graph.layout.meta.zoom].map((v) => v.toFixed(4)).join(",");
  }

  resetCamera() {
    const { camera, zoom } = this.graph.layout.meta;
    window.Plotly.relayout(this.graph, { "scene.camera": camera, "scene.aspectratio": { x: zoom, y: zoom, z: zoom } });
  }

  theme(css) {
    const { guides, spokes, means } = this.traces;
    const change = {
      "line.color": [css("guide"), css("spoke"), undefined],
      "marker.line.color": [undefined, undefined, css("panel")],
      "textfont.color": [undefined, undefined, css("ink")],
    };
    window.Plotly.restyle(this.graph, change, [guides, spokes, means]);
  }
}
