// Pictures by Media Source, for browsers without WebCodecs: plain http from another machine, mostly. The frames go into
// fragments of MP4 as they come, and the player is kept near the newest.

import { audioHead, fragment, sample, sizeOf, videoHead } from "./live-mp4.js";

export class Sourced {
  way = "mse";
  dropped = 0;
  #track;
  #timeline;
  #audio;
  #handlers;
  #media = new MediaSource();
  #video = null;
  #sound = null;
  #sets = "";
  #timer;
  #url;
  #running = true;
  /** Frames that came before there was a place for them. */
  #early = [];

  /** `audio` is `{config, channels, rate, codec}` of AAC, or `null`. */
  constructor(container, track, timeline, audio, handlers) {
    this.#track = track;
    this.#timeline = timeline;
    this.#audio = audio;
    this.#handlers = handlers;
    this.element = document.createElement("video");
    this.element.className = "live-picture";
    this.element.muted = true;
    this.element.autoplay = true;
    this.element.playsInline = true;
    this.element.disablePictureInPicture = true;
    this.#media.addEventListener("sourceopen", () => {
      for (const frame of this.#early.splice(0)) this.push(frame);
    });
    this.#url = URL.createObjectURL(this.#media);
    this.element.src = this.#url;
    this.element.addEventListener("error", () => {
      handlers.onTrouble(`the browser's player: ${this.element.error?.message || "it gave up"}`, true);
    });
    container.append(this.element);
    this.#watch();
    this.#timer = setInterval(() => this.#follow(), 250);
  }

  static can(codec) {
    return Boolean(codec && globalThis.MediaSource?.isTypeSupported(`video/mp4; codecs="${codec}"`));
  }

  push(frame) {
    if (this.#media.readyState !== "open") {
      if (this.#early.length < MOST_WAITING) this.#early.push(frame);
      else this.#track.restart();
      return;
    }
    const units = this.#track.complete(frame);
    if (frame.key) this.#begin();
    if (!this.#video) return;
    const time = START + Math.round(this.#timeline.seconds(this.#timeline.long(frame.timestamp)) * SCALE);
    this.#video.put(time, frame.key, sample(units));
  }

  /** A frame of AAC, so many seconds after the first picture. */
  pushAudio(seconds, data) {
    this.#sound?.put(START + Math.round(seconds * SCALE), true, data);
  }

  set muted(muted) {
    this.element.muted = muted;
  }

  pause() {
    this.#running = false;
    this.element.pause();
  }

  play() {
    this.#running = true;
    this.#toTheEdge();
    this.element.play().catch(() => {});
  }

  async snapshot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.element.videoWidth, this.element.videoHeight];
    if (canvas.width === 0) throw new Error("there is no picture yet");
    canvas.getContext("2d").drawImage(this.element, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  destroy() {
    clearInterval(this.#timer);
    this.element.removeAttribute("src");
    this.element.load();
    this.element.remove();
    URL.revokeObjectURL(this.#url);
  }

  // The head, again where the parameter sets have changed.
  #begin() {
    const codec = this.#track.codec();
    const sets = this.#track.sets;
    const known = `${codec} ${sets.join(";")}`;
    if (!codec || sets.length < 2 || known === this.#sets) return;
    this.#sets = known;
    const sps = codec.startsWith("avc1") ? sets.find((unit) => (unit[0] & 31) === 7) : null;
    const [width, height] = (sps && sizeOf(sps)) || [1920, 1080];
    const type = `video/mp4; codecs="${codec}"`;
    try {
      this.#media.duration = Number.POSITIVE_INFINITY;
      const first = this.#video === null;
      this.#video ??= new Track(this.#media.addSourceBuffer(type), () => this.#full());
      if (first && this.#audio && MediaSource.isTypeSupported(`audio/mp4; codecs="${this.#audio.codec}"`)) {
        this.#sound = new Track(this.#media.addSourceBuffer(`audio/mp4; codecs="${this.#audio.codec}"`), () => this.#full());
        this.#sound.append(audioHead({ ...this.#audio, timescale: SCALE }));
      }
      this.#video.append(videoHead({ codec, sets, width, height, timescale: SCALE }));
    } catch (error) {
      this.#handlers.onTrouble(`this browser does not play ${codec}: ${error.message}`, false);
    }
  }

  #full() {
    this.dropped += 1;
    this.#track.restart();
  }

  // Tells of the frames that are shown.
  #watch() {
    const seen = (_now, { mediaTime, width, height }) => {
      this.#handlers.onFrame(this.#timeline.timestampAt(mediaTime - START / SCALE), width, height);
      this.element.requestVideoFrameCallback(seen);
    };
    if (this.element.requestVideoFrameCallback) this.element.requestVideoFrameCallback(seen);
    else this.element.addEventListener("timeupdate", () => {
      const { currentTime, videoWidth, videoHeight } = this.element;
      this.#handlers.onFrame(this.#timeline.timestampAt(currentTime - START / SCALE), videoWidth, videoHeight);
    });
  }

  // Near the live edge: a little behind is made up for by playing faster, more by a jump.
  #follow() {
    const { buffered, currentTime, paused } = this.element;
    if (buffered.length === 0 || !this.#running) return;
    // Nothing begins by itself before there is something at its place.
    if (paused) {
      this.play();
      return;
    }
    const behind = buffered.end(buffered.length - 1) - currentTime;
    if (behind > JUMP || currentTime < buffered.start(buffered.length - 1)) this.#toTheEdge();
    this.element.playbackRate = behind > BEHIND ? 1.1 : 1;
    for (const track of [this.#video, this.#sound]) track?.forget(currentTime - KEPT);
  }

  #toTheEdge() {
    const { buffered } = this.element;
    if (buffered.length > 0) this.element.currentTime = Math.max(buffered.start(buffered.length - 1), buffered.end(buffered.length - 1) - 0.1);
  }
}

/** One SourceBuffer, and what waits for it. */
class Track {
  #buffer;
  #waiting = [];
  #number = 0;
  #last = null;
  #held = null;
  #onFull;

  constructor(buffer, onFull) {
    this.#buffer = buffer;
    this.#onFull = onFull;
    buffer.addEventListener("updateend", () => this.#next());
  }

  /** A frame shown at `time`. Those with pictures between them that are shown later are decoded in the order they come. */
  put(time, key, data) {
    const decoded = this.#last === null ? time : Math.max(time, this.#last + 1);
    const duration = this.#held ?? SCALE / 25;
    if (this.#last !== null && decoded - this.#last < SCALE) this.#held = Math.max(1, decoded - this.#last);
    this.#last = decoded;
    this.#number += 1;
    this.append(fragment({ number: this.#number, time: decoded, duration: Math.round(duration), later: time - decoded, key, data }));
  }

  append(bytes) {
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.length = 0;
      this.#onFull();
      return;
    }
    this.#waiting.push(bytes);
    this.#next();
  }

  forget(before) {
    const { updating, buffered } = this.#buffer;
    if (!updating && before > 0 && buffered.length > 0 && buffered.start(0) < before - KEPT) this.#buffer.remove(0, before);
  }

  #next() {
    while (!this.#buffer.updating && this.#waiting.length > 0) {
      try {
        this.#buffer.appendBuffer(this.#waiting[0]);
        this.#waiting.shift();
      } catch (error) {
        if (error.name !== "QuotaExceededError") this.#waiting.length = 0;
        this.#onFull();
        return;
      }
    }
  }
}

/** Units of a second. */
const SCALE = 90_000;
/** Where the first frame stands: sound may begin before it. */
const START = 10 * SCALE;
/** Seconds behind the newest frame from which on it plays faster, and from which on it jumps. */
const BEHIND = 0.5;
const JUMP = 2;
/** Seconds that stay behind the picture. */
const KEPT = 5;
/** Frames, or fragments, that wait for the browser. */
const MOST_WAITING = 300;
