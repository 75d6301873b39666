// Small pictures of the training samples in the scene, fetched once, when one is pointed at for the first time.

import { decode } from "../core/arrays.mjs";

const SIDE = 72; // pixels on the screen

/** The RGBA bytes of one of the images, which are rows of bytes by pixel and channel. */
export function pixels({ data, columns }, index, channels) {
  const out = new Uint8ClampedArray((columns / channels) * 4).fill(255);
  for (let i = 0; i < columns / channels; i += 1) {
    for (let c = 0; c < 3; c += 1) out[4 * i + c] = data[index * columns + i * channels + (channels === 1 ? 0 : c)];
  }
  return out;
}

export class Samples {
  /** `failed` is told, once, why there are no pictures. */
  constructor(runId, run, { signal, failed }) {
    Object.assign(this, { runId, run, signal, failed });
  }

  /** The `picture` and, under label noise, the `truth` of a sample; empty before they are here, and `then` is called. */
  of(index, then) {
    if (!this.run.pictured) return {};
    if (!this.held) {
      this.asked ??= this.fetch().then((held) => {
        this.held = held;
        then();
      }).catch((error) => this.signal.aborted || this.failed(error.message));
      return {};
    }
    const { images, height, width, channels, truth } = this.held;
    if (index >= images.rows) return {};
    const picture = Object.assign(document.createElement("canvas"), { width, height });
    picture.getContext("2d").putImageData(new ImageData(pixels(images, index, channels), width, height), 0, 0);
    Object.assign(picture.style, { width: `${(SIDE * width) / Math.max(width, height)}px`, height: `${(SIDE * height) / Math.max(width, height)}px` });
    return { picture, truth: truth ? truth.data[index] : null };
  }

  async fetch() {
    const answer = await fetch(`/api/v1/runs/${this.runId}/samples`, { signal: this.signal });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const { images, height, width, channels, true_labels: truth } = await answer.json();
    return { images: decode(images), height, width, channels, truth: truth && decode(truth) };
  }
}
