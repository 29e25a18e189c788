// From RTP payloads to the frames a decoder takes: H.264 (RFC 6184), H.265 (RFC 7798), AV1 (the AV1 RTP specification 1.0).
//
// `push(packet)` gives the frame that the packet completes: `{timestamp, key, units}`, the units being NAL units without
// start codes, or OBUs. After a loss (`lose()`) nothing comes before the next key frame.

import { join } from "./live-rtp.js";

/** What the three have in common: frames, and what becomes of them after a loss. */
class Frames {
  #units = [];
  #pieces = null;
  #timestamp = null;
  #broken = false;
  #waits = true;
  /** Frames that were given up. */
  dropped = 0;

  push({ marker, timestamp, payload }) {
    let before = null;
    // Some cameras set no marker, or not always.
    if (this.#timestamp !== null && timestamp !== this.#timestamp) before = this.#finish();
    this.#timestamp = timestamp;
    if (!this.unpack(payload)) this.#broken = true;
    if (!marker) return before ? [before] : [];
    const frame = this.#finish();
    return [before, frame].filter((frame) => frame !== null);
  }

  /** Packets are missing. */
  lose() {
    this.#broken = true;
    this.#pieces = null;
  }

  /** The decoder has lost its way. */
  restart() {
    this.#waits = true;
  }

  unit(unit) {
    if (unit.length > 0) this.#units.push(unit);
    return unit.length > 0;
  }

  /** A unit in pieces; `first` begins it, `last` ends it. */
  piece(first, last, ...pieces) {
    if (first) this.#pieces = [];
    if (!this.#pieces) return false;
    this.#pieces.push(...pieces);
    if (last) {
      this.unit(join(this.#pieces));
      this.#pieces = null;
    }
    return true;
  }

  #finish() {
    const units = this.#units;
    const whole = !this.#broken && this.#pieces === null;
    const timestamp = this.#timestamp;
    this.#units = [];
    this.#pieces = null;
    this.#broken = false;
    this.#timestamp = null;
    if (units.length === 0 && whole) return null;
    const key = this.isKey(units);
    if (!whole || (this.#waits && !key)) {
      this.#waits = true;
      this.dropped += 1;
      return null;
    }
    if (!this.isPicture(units)) return null;
    this.#waits = false;
    return { timestamp, key, units };
  }
}

export class H264 extends Frames {
  /** The parameter sets that came last, by kind (7 = SPS, 8 = PPS) and place. */
  sets = [];

  constructor(sets = []) {
    super();
    this.sets = sets;
  }

  unpack(payload) {
    const kind = payload[0] & 31;
    if (kind >= 1 && kind <= 23) return this.unit(payload);
    if (kind === 24) return aggregated(payload, 1, (unit) => this.unit(unit)); // STAP-A
    if (kind === 28 && payload.length > 2) { // FU-A
      const head = Uint8Array.of((payload[0] & 0xe0) | (payload[1] & 31));
      const first = (payload[1] & 0x80) !== 0;
      return this.piece(first, (payload[1] & 0x40) !== 0, ...(first ? [head] : []), payload.subarray(2));
    }
    return false;
  }

  isKey(units) {
    return units.some((unit) => (unit[0] & 31) === 5 || (unit[0] & 31) === 7);
  }

  isPicture(units) {
    return units.some((unit) => (unit[0] & 31) >= 1 && (unit[0] & 31) <= 5);
  }

  /** The frame's units, with the parameter sets in front of a key frame that has none. */
  complete({ key, units }) {
    return withSets(this, key, units, (unit) => unit[0] & 31, [7, 8]);
  }

  /** As WebCodecs names the stream, by its sequence parameter set (RFC 6381 section 3.3). */
  codec() {
    const sps = this.sets.find((unit) => (unit[0] & 31) === 7);
    return sps ? `avc1.${[...sps.subarray(1, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}` : null;
  }
}

export class H265 extends Frames {
  sets = [];
  #name;

  constructor(sets = [], name = null) {
    super();
    this.sets = sets;
    this.#name = name;
  }

  unpack(payload) {
    const kind = (payload[0] >> 1) & 63;
    if (payload.length < 3) return false;
    if (kind === 48) return aggregated(payload, 2, (unit) => this.unit(unit));
    if (kind === 49) {
      const head = Uint8Array.of((payload[0] & 0x81) | ((payload[2] & 63) << 1), payload[1]);
      const first = (payload[2] & 0x80) !== 0;
      return this.piece(first, (payload[2] & 0x40) !== 0, ...(first ? [head] : []), payload.subarray(3));
    }
    return kind < 48 && this.unit(payload);
  }

  isKey(units) {
    return units.some((unit) => kind265(unit) >= 16 && kind265(unit) <= 23);
  }

  isPicture(units) {
    return units.some((unit) => kind265(unit) < 32);
  }

  complete({ key, units }) {
    return withSets(this, key, units, kind265, [32, 33, 34]);
  }

  codec() {
    // With the parameter sets in the frames, not beside them.
    return this.#name?.replace("hvc1", "hev1") ?? null;
  }
}

export class Av1 extends Frames {
  #name;

  constructor(name) {
    super();
    this.#name = name;
  }

  unpack(payload) {
    const [continues, goesOn, count] = [(payload[0] & 0x80) !== 0, (payload[0] & 0x40) !== 0, (payload[0] >> 4) & 3];
    let [at, element] = [1, 0];
    while (at < payload.length) {
      element += 1;
      let length = payload.length - at;
      if (count === 0 || element < count) {
        const read = leb128(payload, at);
        if (!read) return false;
        [length, at] = read;
      }
      if (at + length > payload.length) return false;
      const piece = payload.subarray(at, at + length);
      at += length;
      const last = at >= payload.length;
      if (!this.piece(!(continues && element === 1), !(goesOn && last), piece)) return false;
    }
    return true;
  }

  // A sequence header (type 1) begins a coded video sequence.
  isKey(units) {
    return units.some((unit) => kindOfObu(unit) === 1);
  }

  isPicture(units) {
    return units.some((unit) => [3, 4, 6].includes(kindOfObu(unit)));
  }

  /** The OBUs, each with its size, without those that mark and pad (types 2, 8 and 15). */
  complete({ units }) {
    return units.filter((unit) => ![2, 8, 15].includes(kindOfObu(unit))).map(sized);
  }

  codec() {
    return this.#name;
  }
}

/** The units with start codes (ITU-T H.264 annex B). */
export function annexB(units) {
  return join(units.flatMap((unit) => [START, unit]));
}

/** The units with their lengths in front, as files have them (ISO/IEC 14496-15). */
export function withLengths(units) {
  return join(units.flatMap((unit) => [Uint8Array.of(unit.length >>> 24, unit.length >>> 16, unit.length >>> 8, unit.length), unit]));
}

const START = Uint8Array.of(0, 0, 0, 1);

const kind265 = (unit) => (unit[0] >> 1) & 63;
const kindOfObu = (unit) => (unit[0] >> 3) & 15;

function aggregated(payload, start, take) {
  let at = start;
  while (at + 2 <= payload.length) {
    const length = (payload[at] << 8) | payload[at + 1];
    if (at + 2 + length > payload.length || !take(payload.subarray(at + 2, at + 2 + length))) return false;
    at += 2 + length;
  }
  return at === payload.length;
}

function withSets(track, key, units, kindOf, kinds) {
  const own = units.filter((unit) => kinds.includes(kindOf(unit)));
  if (own.length > 0) {
    // Copied: a packet's memory is that of its whole message.
    const others = track.sets.filter((set) => !own.some((unit) => kindOf(unit) === kindOf(set)));
    track.sets = [...others, ...own.map((unit) => unit.slice())].sort((a, b) => kindOf(a) - kindOf(b));
  }
  if (!key || own.some((unit) => kindOf(unit) === kinds.at(-2))) return units;
  return [...track.sets, ...units.filter((unit) => !own.includes(unit))];
}

function leb128(bytes, start) {
  let value = 0;
  for (let index = 0; index < 4; index += 1) {
    const byte = bytes[start + index];
    if (byte === undefined) return null;
    value += (byte & 127) * 2 ** (7 * index);
    if (!(byte & 128)) return [value, start + index + 1];
  }
  return null;
}

function sized(obu) {
  if (obu[0] & 2) return obu;
  const head = obu[0] & 4 ? 2 : 1;
  const length = [];
  for (let left = obu.length - head; ; left >>>= 7) {
    length.push((left & 127) | (left > 127 ? 128 : 0));
    if (left <= 127) break;
  }
  const front = obu.slice(0, head);
  front[0] |= 2;
  return join([front, Uint8Array.from(length), obu.subarray(head)]);
}
