// Sound: AAC (RFC 3640), Opus (RFC 7587), G.711 and linear samples (RFC 3551), played in step with the picture.

import { fromHex } from "./live-rtp.js";

/** What is known of a track with sound, or `null` where it cannot be played here. */
export function soundOf(track) {
  const rate = track.clock_rate;
  const channels = track.channels ?? 1;
  switch (track.encoding) {
    case "PCMU": return { kind: "samples", rate, channels, decode: (data) => Float32Array.from(data, (byte) => MU_LAW[byte]) };
    case "PCMA": return { kind: "samples", rate, channels, decode: (data) => Float32Array.from(data, (byte) => A_LAW[byte]) };
    case "L16": return { kind: "samples", rate, channels, decode: linear };
    case "OPUS": return { kind: "opus", codec: "opus", rate: 48_000, channels: 2, split: (payload) => [payload] };
    case "MPEG4-GENERIC": return aac(track);
    default: return null;
  }
}

/** The frames of a packet of AAC: their lengths stand in front, 13 bits each in the mode that everybody sends. */
export function aacFrames(payload, sizeLength = 13, indexLength = 3) {
  const frames = [];
  if (payload.length < 2) return frames;
  const bits = (payload[0] << 8) | payload[1];
  const each = sizeLength + indexLength;
  const count = each > 0 ? Math.floor(bits / each) : 0;
  let at = 2 + Math.ceil(bits / 8);
  for (let index = 0; index < count; index += 1) {
    let size = 0;
    for (let bit = 16 + index * each; bit < 16 + index * each + sizeLength; bit += 1) {
      size = size * 2 + ((payload[bit >> 3] >> (7 - (bit & 7))) & 1);
    }
    // A frame that is longer than its packet goes on in the next: so rare that it is left out.
    if (size === 0 || at + size > payload.length) break;
    frames.push(payload.subarray(at, at + size));
    at += size;
  }
  return frames;
}

function aac(track) {
  const parameter = (name) => track.fmtp?.match(new RegExp(`(?:^|[; ])${name}=([^; ]*)`, "i"))?.[1];
  const config = fromHex(parameter("config") ?? "");
  if (config.length < 2) return null;
  const [size, index] = [Number(parameter("sizelength") ?? 13), Number(parameter("indexlength") ?? 3)];
  const channels = ((config[1] >> 3) & 15) || track.channels || 1;
  return {
    kind: "aac", codec: track.codec_string, rate: track.clock_rate, channels, config, step: 1024,
    split: (payload) => aacFrames(payload, size, index),
  };
}

/** Plays one track. */
export class Sound {
  #sound;
  #context = null;
  #gain = null;
  #decoder = null;
  #next = 0;
  #muted;

  constructor(sound, muted) {
    this.#sound = sound;
    this.#muted = muted;
  }

  static can(sound) {
    return sound !== null && (sound.kind === "samples" || Boolean(globalThis.AudioDecoder));
  }

  set muted(muted) {
    this.#muted = muted;
    if (!muted) this.#open();
    if (this.#gain) this.#gain.gain.value = muted ? 0 : 1;
  }

  /** A packet that is to be heard `ahead` seconds from now, where that is known. */
  push(payload, ahead) {
    // A browser makes no sound before somebody has asked for it.
    if (this.#muted || !this.#open()) return;
    if (this.#sound.kind === "samples") {
      const samples = this.#sound.decode(payload);
      this.#play(samples.length / this.#sound.channels, this.#sound.rate, this.#sound.channels, (channel, into) => {
        for (let at = 0; at < into.length; at += 1) into[at] = samples[at * this.#sound.channels + channel];
      }, ahead);
      return;
    }
    for (const data of this.#sound.split(payload)) {
      if (this.#decoder?.state !== "configured" && !this.#configure()) return;
      if (this.#decoder.decodeQueueSize > MOST_WAITING) return;
      this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: Math.round((ahead ?? 0) * 1e6) + OFFSET, data: data.slice() }));
    }
  }

  destroy() {
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#context?.close().catch(() => {});
    this.#context = null;
  }

  #open() {
    if (!this.#context) {
      this.#context = new AudioContext({ latencyHint: "interactive" });
      this.#gain = this.#context.createGain();
      this.#gain.connect(this.#context.destination);
    }
    if (this.#context.state === "suspended") this.#context.resume().catch(() => {});
    return this.#context.state === "running";
  }

  #configure() {
    if (!globalThis.AudioDecoder) return false;
    const { codec, rate, channels, config } = this.#sound;
    this.#decoder = new AudioDecoder({
      output: (data) => {
        this.#play(data.numberOfFrames, data.sampleRate, data.numberOfChannels, (channel, into) => {
          data.copyTo(into, { planeIndex: channel, format: "f32-planar" });
        }, (data.timestamp - OFFSET) / 1e6);
        data.close();
      },
      error: () => {},
    });
    try {
      this.#decoder.configure({ codec, sampleRate: rate, numberOfChannels: channels, ...(config ? { description: config } : {}) });
    } catch {
      return false;
    }
    return true;
  }

  // Behind what plays, unless that has run dry or is out of step with the picture.
  #play(length, rate, channels, fill, ahead) {
    if (!this.#context || length === 0) return;
    const now = this.#context.currentTime;
    const wanted = now + Math.min(1, Math.max(LEAD, ahead ?? LEAD));
    if (this.#next < now + 0.005 || Math.abs(this.#next - wanted) > OUT_OF_STEP) this.#next = wanted;
    const buffer = this.#context.createBuffer(channels, length, rate);
    for (let channel = 0; channel < channels; channel += 1) fill(channel, buffer.getChannelData(channel));
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#gain);
    source.start(this.#next);
    this.#next += length / rate;
  }
}

/** Seconds that sound is ahead of its time, so that a packet that comes late is not heard. */
const LEAD = 0.06;
/** Seconds by which sound may be off before it jumps. */
const OUT_OF_STEP = 0.2;
/** Frames that wait for the decoder. */
const MOST_WAITING = 50;
/** Microseconds that keep the decoder's timestamps above zero. */
const OFFSET = 10_000_000;

function linear(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Float32Array.from({ length: data.length >> 1 }, (_, index) => view.getInt16(2 * index) / 32768);
}

// ITU-T G.711: 8 bits for 14 and 13.
const MU_LAW = Float32Array.from({ length: 256 }, (_, byte) => {
  const code = ~byte & 255;
  const value = ((((code & 15) << 3) + 132) << ((code >> 4) & 7)) - 132;
  return (code & 128 ? -value : value) / 32768;
});
const A_LAW = Float32Array.from({ length: 256 }, (_, byte) => {
  const code = byte ^ 0x55;
  const [exponent, mantissa] = [(code >> 4) & 7, code & 15];
  const value = exponent === 0 ? (mantissa << 4) + 8 : ((mantissa << 4) + 264) << (exponent - 1);
  return (code & 128 ? value : -value) / 32768;
});
