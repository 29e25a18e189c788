// RTP and RTCP as they come in the messages of the WebSocket: `$`, channel, length, packet (RFC 2326 section 10.12).

/** The packets of a message: `{channel, data}`. What does not end with a packet ends where it makes no sense. */
export function* interleaved(buffer) {
  const bytes = new Uint8Array(buffer);
  let at = 0;
  while (at + 4 <= bytes.length && bytes[at] === 0x24) {
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    if (at + 4 + length > bytes.length) return;
    yield { channel: bytes[at + 1], data: bytes.subarray(at + 4, at + 4 + length) };
    at += 4 + length;
  }
}

/** A packet of RTP (RFC 3550 section 5.1), or `null`. */
export function parseRtp(data) {
  if (data.length < 12 || data[0] >> 6 !== 2) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let start = 12 + 4 * (data[0] & 15);
  if (data[0] & 0x10) {
    if (start + 4 > data.length) return null;
    start += 4 + 4 * view.getUint16(start + 2);
  }
  const end = data.length - (data[0] & 0x20 ? data[data.length - 1] : 0);
  if (start > end) return null;
  return {
    marker: (data[1] & 0x80) !== 0,
    sequence: view.getUint16(2),
    timestamp: view.getUint32(4),
    payload: data.subarray(start, end),
  };
}

/** The sender report of a compound packet: `{ms, timestamp}`, milliseconds since 1970 and the RTP time of them; or `null`. */
export function parseSenderReport(data) {
  if (data.length < 28 || data[1] !== 200) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  // The seconds of NTP begin in 1900 (RFC 3550 section 4).
  const seconds = view.getUint32(8) - 2_208_988_800;
  return { ms: seconds * 1000 + (view.getUint32(12) / 2 ** 32) * 1000, timestamp: view.getUint32(16) };
}

/** Counts the packets that are missing between those that come. */
export class Sequence {
  #last = null;

  /** How many are missing before this one. */
  lost(sequence) {
    const gap = this.#last === null ? 1 : (sequence - this.#last) & 0xffff;
    this.#last = sequence;
    return gap === 0 || gap > 0x8000 ? 0 : gap - 1;
  }
}

/** Makes one long count of a track's 32-bit timestamps, and says which moment each is. */
export class Timeline {
  #rate;
  #last = null;
  #long = 0;
  #report = null;
  #first = null;

  constructor(clockRate) {
    this.#rate = clockRate;
  }

  /** The timestamp as a count that does not wrap, from 2^32. */
  long(timestamp) {
    const step = this.#last === null ? 0 : (timestamp - this.#last) | 0;
    this.#long = this.#last === null ? 2 ** 32 + timestamp : this.#long + step;
    this.#last = timestamp;
    return this.#long;
  }

  /** A sender report came. */
  report({ ms, timestamp }) {
    this.#report = { ms, timestamp };
  }

  /** Milliseconds since 1970, on the clock of the reports, of a timestamp; `null` before there was a report. */
  wall(timestamp) {
    if (!this.#report) return null;
    return this.#report.ms + (((timestamp - this.#report.timestamp) | 0) / this.#rate) * 1000;
  }

  /** Seconds from the track's first timestamp to this long one. */
  seconds(long) {
    this.#first ??= long;
    return (long - this.#first) / this.#rate;
  }

  /** The timestamp that many seconds after the first one. */
  timestampAt(seconds) {
    return ((this.#first ?? 0) + Math.round(seconds * this.#rate)) % 2 ** 32;
  }
}

/** Several pieces in one. */
export function join(pieces) {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Bytes from base64. */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Bytes from hexadecimal digits. */
export function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
