// Tooltips of the scene: their texts, and the images of training samples.

import { getJson } from "../core/api.mjs";
import { cosine, decodeArray, rowNorm } from "../core/arrays.mjs";
import { angleDegrees, formatAngle, formatDecimals } from "../core/formatting.mjs";

const IMAGE_SIZE_PX = 72;

const formatCosineAsAngle = (cos) => formatAngle(angleDegrees(cos));

/** The class whose mean has the smallest angle to a class's mean, and the cosine; null where rows are blocks of classes. */
export function nearestClass({ data, rows }, label, classCount) {
  if (rows !== classCount) return null;
  let nearest = label === 0 ? 1 : 0;
  for (let j = 0; j < classCount; j += 1) if (j !== label && data[label * rows + j] > data[label * rows + nearest]) nearest = j;
  return { label: nearest, cosine: data[label * rows + nearest] };
}

/**
 * Return the lines of a mark's tooltip: what it is, then what is known of it in this frame.
 * @param {{kind: string, index: number, label: number}} mark
 * @param {{trueLabel?: number | null, rotationDeg?: number | null}} known of a sample its true label, where labels may be
 *   wrong; of a vertex its rotation since the previous capture
 */
export function tooltipLines({ kind, index, label }, frame, started, { trueLabel = null, rotationDeg = null } = {}) {
  const names = started.class_names;
  // Angles are exact only if all coordinates of the ETF's frame are here.
  const hasAllCoordinates = started.vertices[0].length === frame.means.columns && !frame.serverView && frame.means.columns > 3;
  const isExact = hasAllCoordinates || names.length <= 4;
  const angleFromMean = (points) => {
    const cos = isExact ? cosine(points, index, frame.means, label) : null;
    return cos === null ? [] : [`${formatCosineAsAngle(cos)} from its class mean`];
  };
  if (kind === "vertices") {
    const rotation = rotationDeg === null ? [] : [`rotated by ${formatAngle(rotationDeg)} since the previous capture`];
    return [`Vertex of ${names[label]}`, "of the nearest simplex ETF", ...rotation];
  }
  if (kind === "weights") return [`Classifier weights of ${names[label]}`, ...angleFromMean(frame.weights)];
  if (kind === "features") {
    const predicted = frame.predictions?.[index] ?? label;
    const prediction = predicted === label ? [] : [`predicted as ${names[predicted]}`];
    const truth = trueLabel === null || trueLabel === label ? [] : [`true class: ${names[trueLabel]}`];
    return [`Training sample of ${names[label]}`, ...prediction, ...truth, ...angleFromMean(frame.features)];
  }
  return classMeanLines({ index, label }, frame, started, isExact);
}

function classMeanLines({ index, label }, frame, started, isExact) {
  const vertex = { data: Float32Array.from(started.vertices[label]), columns: started.vertices[label].length };
  const lines = [`Class mean of ${started.class_names[label]}`];
  if (isExact) {
    const cos = cosine(frame.means, index, vertex, 0);
    if (cos !== null) lines.push(`${formatCosineAsAngle(cos)} from its vertex`, `Relative norm ${formatDecimals(rowNorm(frame.means, index))}`);
  }
  const nearest = nearestClass(frame.cosines, label, started.class_names.length);
  if (nearest) lines.push(`Nearest class: ${started.class_names[nearest.label]}, ${formatCosineAsAngle(nearest.cosine)}`);
  return lines;
}

/** Convert one image, a row of bytes by pixel and channel, to RGBA bytes. */
export function imagePixels({ data, columns }, index, channels) {
  const rgba = new Uint8ClampedArray((columns / channels) * 4).fill(255);
  for (let i = 0; i < columns / channels; i += 1) {
    for (let c = 0; c < 3; c += 1) rgba[4 * i + c] = data[index * columns + i * channels + (channels === 1 ? 0 : c)];
  }
  return rgba;
}

/** The images and true labels of a run's samples. */
export class SampleImages {
  /** @param {{signal: AbortSignal, onError: (text: string) => void}} options */
  constructor(runId, run, { signal, onError }) {
    Object.assign(this, { runId, run, signal, onError });
  }

  /**
   * Return the image of a sample as a canvas and, under label noise, its true label. Empty while the images are being
   * fetched; `onLoad` is called when they are there.
   * @returns {{image?: HTMLCanvasElement, trueLabel?: number | null}}
   */
  get(index, onLoad) {
    if (!this.run.hasSampleImages) return {};
    if (!this.samples) {
      this.request ??= this.fetch().then((samples) => {
        this.samples = samples;
        onLoad();
      }).catch((error) => this.signal.aborted || this.onError(error.message));
      return {};
    }
    const { images, height, width, channels, trueLabels } = this.samples;
    if (index >= images.rows) return {};
    const image = Object.assign(document.createElement("canvas"), { width, height });
    image.getContext("2d").putImageData(new ImageData(imagePixels(images, index, channels), width, height), 0, 0);
    const scale = IMAGE_SIZE_PX / Math.max(width, height);
    Object.assign(image.style, { width: `${scale * width}px`, height: `${scale * height}px` });
    return { image, trueLabel: trueLabels ? trueLabels.data[index] : null };
  }

  async fetch() {
    const { images, height, width, channels, true_labels: trueLabels } = await getJson(`/runs/${this.runId}/samples`, {}, { signal: this.signal });
    return { images: decodeArray(images), height, width, channels, trueLabels: trueLabels && decodeArray(trueLabels) };
  }
}
