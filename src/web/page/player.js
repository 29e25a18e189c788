// The player of one stream: the live picture, its buttons and its status bar.

import { announce, mark, write } from "./dom.js";
import { bitRate, frames, milliseconds, NONE } from "./format.js";
import { LivePicture } from "./live.js";

export class Player {
  #name;
  #parts;
  #picture = null;
  #status = null;
  #trouble = null;
  #muted = true;

  constructor(name, parts) {
    this.#name = name;
    this.#parts = parts;
    const on = (part, does) => parts[part].addEventListener("click", () => {
      if (parts[part].getAttribute("aria-disabled") !== "true") does();
    });
    on("play", () => this.play());
    on("pause", () => this.#picture?.pause());
    on("stop", () => this.stop());
    on("snapshot", () => this.#snapshot());
    on("sound", () => this.#sound());
    on("full", () => this.#full());
    this.#show();
  }

  play() {
    if (!this.#picture) {
      this.#picture = new LivePicture(this.#parts.screen, this.#name, {
        audio: true,
        muted: this.#muted,
        onStatus: (status) => {
          this.#status = status;
          this.#show();
        },
      });
    }
    this.#picture.play();
  }

  stop() {
    this.#picture?.stop();
  }

  /** What the stream is in, in words; shown in place of a picture. */
  set trouble({ level, words }) {
    this.#trouble = level === "good" || level === "warn" ? null : words;
    this.#show();
  }

  /** Whether there is sound to be had. */
  set audible(audible) {
    this.#parts.sound.hidden = !audible;
  }

  destroy() {
    this.#picture?.destroy();
    this.#picture = null;
  }

  #show() {
    const parts = this.#parts;
    const status = this.#status ?? { state: "stopped", words: "", frame: 0 };
    const shown = ["playing", "paused"].includes(status.state) && status.frame > 0;
    mark(parts.player, "data-picture", shown ? "shown" : null);
    mark(parts.player, "data-state", status.state);
    write(parts.message, shown ? (status.state === "playing" && this.#trouble) || "" : this.#words(status));
    const able = (part, able) => mark(parts[part], "aria-disabled", able ? null : "true");
    const runs = status.state === "playing" || status.state === "connecting";
    able("play", !runs);
    able("pause", status.state === "playing");
    able("stop", status.state !== "stopped");
    able("snapshot", shown);
    const size = status.width ? `${status.width}×${status.height}${status.way ? ` ${WAYS[status.way] ?? status.way}` : ""}` : NONE;
    for (const [part, text] of Object.entries({
      "p-state": status.state,
      "p-frame": shown ? String(status.frame) : NONE,
      "p-fps": frames(shown ? status.fps : null),
      "p-rate": bitRate(shown ? status.bitRate : null),
      "p-latency": milliseconds(shown ? status.latencyMs : null),
      "p-dropped": shown ? String(status.dropped ?? 0) : NONE,
      "p-size": size,
    })) write(parts[part], text);
  }

  #words({ state, words }) {
    if (this.#trouble) return this.#trouble;
    if (state === "stopped") return "Press Play to watch.";
    return words ?? "";
  }

  async #snapshot() {
    try {
      const blob = await this.#picture.snapshot();
      const link = document.createElement("a");
      const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
      link.download = `${this.#name.replaceAll("/", "-")}-${stamp}.${blob.type === "image/png" ? "png" : "jpg"}`;
      link.href = URL.createObjectURL(blob);
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      announce(`Saved ${link.download}`);
    } catch (error) {
      announce(`No snapshot: ${error.message}`);
    }
  }

  #sound() {
    this.#muted = !this.#muted;
    if (this.#picture) this.#picture.muted = this.#muted;
    mark(this.#parts.sound, "aria-pressed", String(!this.#muted));
  }

  async #full() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await this.#parts.stage.requestFullscreen();
    } catch (error) {
      announce(`No full screen: ${error.message}`);
    }
  }
}

const WAYS = { webcodecs: "WebCodecs", mse: "Media Source", jpeg: "JPEG" };
