// Live pictures: a WebSocket with the RTP of a stream, a decoder, and the numbers of both.

import { Sound, soundOf } from "./live-audio.js";
import { Decoded, Jpegs } from "./live-canvas.js";
import { Jpeg } from "./live-jpeg.js";
import { Sourced } from "./live-mse.js";
import { fromBase64, interleaved, parseRtp, parseSenderReport, Sequence, Timeline } from "./live-rtp.js";
import { Numbers } from "./live-numbers.js";
import { Av1, H264, H265 } from "./live-video.js";

export class LivePicture {
  #container;
  #name;
  #onStatus;
  #muted;
  #audio;
  #way;
  /** What is wanted: `playing`, `paused` or `stopped`. */
  #wish = "stopped";
  #state = "stopped";
  #words = "";
  #socket = null;
  #receiver = null;
  #numbers = new Numbers();
  #retry = 0;
  #timers = {};
  #visible = () => this.#seen();

  /** `way` forces `webcodecs` or `mse`, as `?way=` in the page's address does. */
  constructor(container, name, { onStatus = () => {}, muted = true, audio = false, way = null } = {}) {
    this.#container = container;
    this.#name = name;
    this.#onStatus = onStatus;
    this.#muted = muted;
    this.#audio = audio;
    this.#way = way ?? new URLSearchParams(location.search).get("way");
    document.addEventListener("visibilitychange", this.#visible);
    this.#timers.status = setInterval(() => this.#tell(), 500);
  }

  play() {
    if (this.#wish === "stopped") this.#numbers = new Numbers();
    this.#wish = "playing";
    if (document.hidden) return;
    if (this.#socket?.readyState === WebSocket.OPEN && this.#receiver) {
      this.#say({ do: "play" });
      this.#receiver.resume();
      this.#enter("playing");
    } else if (!this.#socket) this.#connect();
  }

  pause() {
    if (this.#wish !== "playing") return;
    this.#wish = "paused";
    this.#say({ do: "pause" });
    this.#receiver?.pause();
    this.#enter("paused");
  }

  stop() {
    this.#wish = "stopped";
    this.#close();
    this.#enter("stopped");
  }

  /** The picture that is shown, as a file. */
  async snapshot() {
    if (!this.#receiver) throw new Error("there is no picture");
    return this.#receiver.picture.snapshot();
  }

  set muted(muted) {
    this.#muted = muted;
    if (this.#receiver) this.#receiver.muted = muted;
  }

  destroy() {
    this.#wish = "stopped";
    this.#close();
    for (const timer of Object.values(this.#timers)) clearInterval(timer);
    document.removeEventListener("visibilitychange", this.#visible);
  }

  #seen() {
    if (this.#wish !== "playing") return;
    if (document.hidden) {
      this.#say({ do: "pause" });
      this.#receiver?.pause();
    } else if (this.#socket) this.play();
    else this.#connect();
  }

  #connect() {
    clearTimeout(this.#timers.retry);
    if (this.#state !== "failed") this.#enter("connecting", "connecting");
    const url = new URL(`api/v1/streams/${encodeURIComponent(this.#name)}/live`, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    // A watch link opens its stream here as well.
    const token = new URLSearchParams(location.search).get("token");
    url.search = (this.#audio ? "?video&audio" : "?video") + (token ? `&token=${token}` : "");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const mine = (does) => (event) => {
      if (this.#socket === socket) does(event);
    };
    socket.onmessage = mine(({ data }) => this.#take(data));
    socket.onclose = mine(({ code, reason }) => this.#lost(code, reason));
    // A relay that has gone without a word.
    this.#timers.ping = setInterval(() => {
      if (this.#numbers.silentFor() > SILENCE_MS) {
        socket.onclose = null;
        socket.close();
        this.#lost(1006, "the relay does not answer");
      } else if (this.#receiver) this.#say({ ping: performance.now() });
    }, PING_MS);
    this.#numbers.heard();
  }

  #lost(code, reason) {
    this.#close();
    if (this.#wish === "stopped") return;
    const words = reason || "the relay cannot be reached";
    // Once more would not help: somebody has to press Play.
    if (code === 1008) {
      this.#wish = "stopped";
      this.#enter("failed", words);
      return;
    }
    this.#enter("failed", words);
    if (document.hidden) return;
    const wait = Math.min(5000, 300 * 2 ** this.#retry) * (0.8 + 0.4 * Math.random());
    this.#retry += 1;
    this.#timers.retry = setTimeout(() => {
      if (this.#wish === "playing") this.#connect();
    }, wait);
  }

  #close() {
    clearTimeout(this.#timers.retry);
    clearInterval(this.#timers.ping);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
    }
    this.#receiver?.destroy();
    this.#receiver = null;
  }

  #say(wish) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(wish));
  }

  async #take(data) {
    this.#numbers.heard();
    if (typeof data !== "string") {
      this.#numbers.came(data.byteLength);
      this.#receiver?.packets(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.pong !== undefined) this.#numbers.pong(message);
    if (!message.tracks) return;
    // What comes while a decoder is looked for waits for it.
    const receiver = new Receiver(message.tracks, this.#numbers, {
      onFrame: (timestamp, width, height) => {
        this.#retry = 0;
        this.#numbers.shown(receiver.age(timestamp), width, height);
        if (this.#wish === "playing" && this.#state !== "playing") this.#enter("playing");
      },
      onTrouble: (words, again) => {
        if (again) this.#words = words;
        else this.#lost(1008, words);
      },
    });
    this.#receiver = receiver;
    receiver.muted = this.#muted;
    this.#say({ ping: performance.now() });
    setTimeout(() => this.#say({ ping: performance.now() }), 500);
    const words = await receiver.open(this.#container, this.#way, this.#audio);
    if (words && this.#receiver === receiver) this.#lost(1008, words);
  }

  #enter(state, words = "") {
    this.#state = state;
    this.#words = words;
    this.#tell();
  }

  #tell() {
    const { picture } = this.#receiver ?? {};
    this.#onStatus({
      state: this.#state, words: this.#words, way: picture?.way ?? null,
      ...this.#numbers.now(this.#receiver?.dropped ?? 0),
    });
  }
}

/** The tracks of one connection, on their way to a picture and to sound. */
class Receiver {
  picture = null;
  #video;
  #audio;
  #numbers;
  #handlers;
  #waiting = [];
  #sound = null;
  #muted = true;

  constructor(tracks, numbers, handlers) {
    this.#numbers = numbers;
    this.#handlers = handlers;
    const lane = (track) => track && { track, sequence: new Sequence(), timeline: new Timeline(track.clock_rate) };
    this.#video = lane(tracks.find(({ kind }) => kind === "video"));
    this.#audio = lane(tracks.find(({ kind }) => kind === "audio"));
  }

  /** Finds a way to show it. Returns why there is none, in words. */
  async open(container, way, audio) {
    if (!this.#video) return "the stream has no picture";
    const { track } = this.#video;
    const frames = framesOf(track);
    if (!frames) return `no browser shows ${track.encoding ?? track.codec}`;
    this.#video.frames = frames;
    const sound = audio && this.#audio ? soundOf(this.#audio.track) : null;
    const codec = track.codec === "jpeg" ? null : frames.codec();
    if (track.codec === "jpeg") this.picture = new Jpegs(container, this.#handlers);
    // Without parameter sets in its description a stream says what it is with its first key frame.
    else if (way !== "mse" && (await Decoded.can(codec ?? (track.codec === "h264" ? "avc1.42e01f" : null)))) {
      this.picture = new Decoded(container, frames, this.#handlers);
    } else if (way !== "webcodecs" && globalThis.MediaSource && (codec === null || Sourced.can(codec))) {
      const aac = sound?.kind === "aac" ? sound : null;
      this.picture = new Sourced(container, frames, this.#video.timeline, aac, this.#handlers);
      this.#audio = this.#audio && { ...this.#audio, inPicture: aac };
    } else return `this browser does not decode ${track.encoding} (${codec ?? "unknown profile"})`;
    if (sound && !this.#audio.inPicture && Sound.can(sound)) this.#sound = new Sound(sound, this.#muted);
    this.muted = this.#muted;
    const waiting = this.#waiting;
    this.#waiting = null;
    for (const data of waiting) this.packets(data);
    return null;
  }

  packets(data) {
    if (this.#waiting) {
      if (this.#waiting.length < MOST_WAITING) this.#waiting.push(data);
      return;
    }
    for (const { channel, data: packet } of interleaved(data)) {
      const lane = [this.#video, this.#audio].find((lane) => lane && channel >> 1 === lane.track.id);
      if (!lane) continue;
      if (channel & 1) {
        const report = parseSenderReport(packet);
        if (report) lane.timeline.report(report);
        continue;
      }
      const rtp = parseRtp(packet);
      if (!rtp) continue;
      const lost = lane.sequence.lost(rtp.sequence);
      if (lane === this.#video) {
        if (lost > 0) lane.frames.lose();
        for (const frame of lane.frames.push(rtp)) this.picture.push(frame);
      } else this.#hear(rtp);
    }
  }

  /** Milliseconds since the frame of this timestamp came to the relay, as far as the clocks are known. */
  age(timestamp) {
    const wall = timestamp === undefined ? null : this.#video.timeline.wall(timestamp);
    const now = this.#numbers.relayTime();
    return wall === null || now === null ? null : now - wall;
  }

  get dropped() {
    return (this.#video?.frames?.dropped ?? 0) + (this.picture?.dropped ?? 0);
  }

  set muted(muted) {
    this.#muted = muted;
    if (this.#sound) this.#sound.muted = muted;
    else if (this.#audio?.inPicture && this.picture) this.picture.muted = muted;
  }

  pause() {
    this.picture?.pause?.();
  }

  resume() {
    this.#video?.frames?.restart();
    this.picture?.play?.();
  }

  destroy() {
    this.picture?.destroy();
    this.#sound?.destroy();
  }

  #hear({ timestamp, payload }) {
    const { timeline, inPicture } = this.#audio;
    const wall = timeline.wall(timestamp);
    if (inPicture) {
      // On the line of the pictures: so many seconds after the first of them.
      const first = this.#video.timeline.wall(this.#video.timeline.timestampAt(0));
      if (wall === null || first === null) return;
      const step = inPicture.step / inPicture.rate;
      for (const [index, data] of inPicture.split(payload).entries()) this.picture.pushAudio((wall - first) / 1000 + index * step, data);
      return;
    }
    const now = this.#numbers.relayTime();
    const delay = this.#numbers.latency ?? 0;
    this.#sound?.push(payload, wall === null || now === null ? null : (wall + delay - now) / 1000);
  }
}

function framesOf(track) {
  const sets = track.parameter_sets.map(fromBase64);
  switch (track.codec) {
    case "h264": return new H264(sets);
    case "h265": return new H265(sets, track.codec_string);
    case "av1": return new Av1(track.codec_string);
    case "jpeg": return new Jpeg(track.size ?? null);
    default: return null;
  }
}

const PING_MS = 5000;
/** Nothing was heard for so long: not even an answer to two pings. */
const SILENCE_MS = 12_000;
/** Messages that wait for the decoder to be found. */
const MOST_WAITING = 500;
