// Images of the training samples in the scene, fetched when one of them is hovered for the first time.

import { decodeArray } from "../core/arrays.mjs";

const DISPLAY_SIZE_PX = 72;

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
    const scale = DISPLAY_SIZE_PX / Math.max(width, height);
    Object.assign(image.style, { width: `${scale * width}px`, height: `${scale * height}px` });
    return { image, trueLabel: trueLabels ? trueLabels.data[index] : null };
  }

  async fetch() {
    const response = await fetch(`/api/v1/runs/${this.runId}/samples`, { signal: this.signal });
    if (!response.ok) throw new Error((await response.json()).detail);
    const { images, height, width, channels, true_labels: trueLabels } = await response.json();
    return { images: decodeArray(images), height, width, channels, trueLabels: trueLabels && decodeArray(trueLabels) };
  }
}
