// Pictures on a canvas: frames that WebCodecs decodes, and JPEG files.

import { join } from "./live-rtp.js";
import { annexB } from "./live-video.js";

/** What decodes and draws; `onFrame(timestamp, width, height)` when a frame is on the canvas, `onTrouble(words, again)` when not. */
class Canvas {
  constructor(container, { onFrame, onTrouble }) {
    this.element = document.createElement("canvas");
    this.element.className = "live-picture";
    this.context = this.element.getContext("2d", { alpha: false });
    this.onFrame = onFrame;
    this.onTrouble = onTrouble;
    this.dropped = 0;
    this.paused = false;
    container.append(this.element);
  }

  /** The picture stands still at once: those that are on their way, or being decoded, are not drawn. */
  pause() {
    this.paused = true;
  }

  play() {
    this.paused = false;
  }

  draw(image, width, height, timestamp) {
    if (this.paused) return;
    if (this.element.width !== width || this.element.height !== height) {
      this.element.width = width;
      this.element.height = height;
    }
    this.context.drawImage(image, 0, 0, width, height);
    this.onFrame(timestamp, width, height);
  }

  snapshot() {
    return new Promise((resolve, reject) => {
      const done = (blob) => (blob ? resolve(blob) : reject(new Error("the browser makes no picture of it")));
      this.element.toBlob(done, "image/png");
    });
  }

  destroy() {
    this.element.remove();
  }
}

/** H.264, H.265 and AV1 by WebCodecs, drawn as soon as they are decoded. */
export class Decoded extends Canvas {
  way = "webcodecs";
  #track;
  #decoder = null;
  #configured = null;
  #count = 0;
  #timestamps = new Map();

  constructor(container, track, handlers) {
    super(container, handlers);
    this.#track = track;
  }

  /** Whether this browser decodes it. */
  static async can(codec) {
    if (!globalThis.VideoDecoder || !codec) return false;
    const answer = await VideoDecoder.isConfigSupported(config(codec)).catch(() => null);
    return answer?.supported === true;
  }

  push(frame) {
    const units = this.#track.complete(frame);
    const codec = this.#track.codec();
    if (frame.key && (this.#decoder?.state !== "configured" || this.#configured !== codec)) {
      if (!codec || !this.#configure(codec)) return;
    }
    if (this.#decoder?.state !== "configured") return;
    if (this.#decoder.decodeQueueSize > MOST_WAITING) {
      // What it cannot keep up with is left out as a whole, up to the next key frame.
      this.dropped += this.#decoder.decodeQueueSize;
      this.#decoder.reset();
      this.#configured = null;
      this.#track.restart();
      return;
    }
    // A number of its own: RTP timestamps may come twice where fields are sent as frames.
    this.#count += 1;
    this.#timestamps.set(this.#count, frame.timestamp);
    if (this.#timestamps.size > 4 * MOST_WAITING) this.#timestamps.delete(this.#timestamps.keys().next().value);
    const data = codec.startsWith("av01") ? join(units) : annexB(units);
    this.#decoder.decode(new EncodedVideoChunk({ type: frame.key ? "key" : "delta", timestamp: this.#count, data }));
  }

  #configure(codec) {
    if (!this.#decoder || this.#decoder.state === "closed") {
      this.#decoder = new VideoDecoder({
        output: (frame) => {
          const timestamp = this.#timestamps.get(frame.timestamp);
          this.#timestamps.delete(frame.timestamp);
          this.draw(frame, frame.displayWidth, frame.displayHeight, timestamp);
          frame.close();
        },
        error: (error) => {
          this.dropped += 1;
          this.#configured = null;
          this.#track.restart();
          this.onTrouble(`the browser's decoder: ${error.message}`, true);
        },
      });
    }
    try {
      this.#decoder.configure(config(codec));
      this.#configured = codec;
      return true;
    } catch (error) {
      this.onTrouble(`this browser does not decode ${codec}: ${error.message}`, false);
      return false;
    }
  }

  destroy() {
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    super.destroy();
  }
}

/** JPEG files. One that is still being decoded when the next comes is the last that is waited for. */
export class Jpegs extends Canvas {
  way = "jpeg";
  #busy = false;
  #next = null;
  #last = null;

  async push(frame) {
    if (this.#busy) {
      if (this.#next) this.dropped += 1;
      this.#next = frame;
      return;
    }
    this.#busy = true;
    for (let now = frame; now; now = this.#next) {
      this.#next = null;
      try {
        const blob = new Blob([now.jpeg], { type: "image/jpeg" });
        const image = await createImageBitmap(blob);
        this.#last = blob;
        this.draw(image, image.width, image.height, now.timestamp);
        image.close();
      } catch {
        this.dropped += 1;
      }
      if (!this.#next) break;
    }
    this.#busy = false;
  }

  /** As the camera made it. */
  async snapshot() {
    if (!this.#last) throw new Error("there is no picture yet");
    return this.#last;
  }
}

/** Frames given to the decoder and not decoded yet. */
const MOST_WAITING = 60;

function config(codec) {
  return { codec, optimizeForLatency: true };
}
