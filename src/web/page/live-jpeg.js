// From RTP payloads to JPEG files (RFC 2435): the headers are made anew from what the payloads say of them.

import { join } from "./live-rtp.js";

export class Jpeg {
  #pieces = null;
  #length = 0;
  #timestamp = null;
  #tables = new Map();
  #size;
  /** Frames that were given up. */
  dropped = 0;

  /** `size` is `[width, height]` for cameras whose pictures are too large for the payload to say so. */
  constructor(size = null) {
    this.#size = size;
  }

  /** Every frame stands alone: the one under way is given up. */
  lose() {
    if (this.#pieces) this.dropped += 1;
    this.#pieces = null;
  }

  restart() {}

  push({ marker, timestamp, payload }) {
    if (payload.length < 8) return [];
    const offset = (payload[1] << 16) | (payload[2] << 8) | payload[3];
    const [kind, quality] = [payload[4], payload[5]];
    let at = 8;
    let restart = 0;
    if (kind >= 64) {
      restart = (payload[at] << 8) | payload[at + 1];
      at += 4;
    }
    if (offset === 0) {
      this.lose();
      let tables = null;
      if (quality >= 128) {
        const length = (payload[at + 2] << 8) | payload[at + 3];
        const precision = payload[at + 1];
        at += 4;
        if (length > 0) {
          if (at + length > payload.length) return [];
          tables = { precision, bytes: payload.slice(at, at + length) };
          if (quality < 255) this.#tables.set(quality, tables);
          at += length;
        } else tables = this.#tables.get(quality) ?? null;
      } else if (quality > 0 && quality < 100) tables = { precision: 0, bytes: scaled(quality) };
      const size = payload[6] && payload[7] ? [payload[6] * 8, payload[7] * 8] : this.#size;
      if (!tables || !size || (kind & 63) > 1) {
        this.dropped += 1;
        return [];
      }
      this.#pieces = [header(kind & 63, size, tables, restart)];
      this.#length = 0;
      this.#timestamp = timestamp;
    }
    if (!this.#pieces || this.#timestamp !== timestamp || this.#length !== offset || this.#length > LONGEST) {
      this.lose();
      return [];
    }
    const data = payload.subarray(at);
    this.#pieces.push(data);
    this.#length += data.length;
    if (!marker) return [];
    const ends = data.length > 1 && data.at(-2) === 0xff && data.at(-1) === 0xd9;
    const jpeg = join(ends ? this.#pieces : [...this.#pieces, Uint8Array.of(0xff, 0xd9)]);
    this.#pieces = null;
    return [{ timestamp, key: true, jpeg }];
  }
}

/** Bytes of a picture. */
const LONGEST = 8 << 20;

function header(kind, [width, height], { precision, bytes }, restart) {
  const segments = [Uint8Array.of(0xff, 0xd8)];
  const segment = (marker, ...content) => {
    const whole = join(content);
    segments.push(Uint8Array.of(0xff, marker, (whole.length + 2) >> 8, (whole.length + 2) & 255), whole);
  };
  let at = 0;
  let count = 0;
  while (at < bytes.length && count < 4) {
    const wide = (precision >> count) & 1;
    const length = wide ? 128 : 64;
    segment(0xdb, Uint8Array.of((wide << 4) | count), bytes.subarray(at, at + length));
    at += length;
    count += 1;
  }
  if (restart) segment(0xdd, Uint8Array.of(restart >> 8, restart & 255));
  // One table serves luma and chroma where there is only one.
  const chroma = count > 1 ? 1 : 0;
  segment(0xc0, Uint8Array.of(8, height >> 8, height & 255, width >> 8, width & 255, 3, 1, kind ? 0x22 : 0x21, 0, 2, 0x11, chroma, 3, 0x11, chroma));
  for (const [target, lengths, values] of HUFFMAN) segment(0xc4, Uint8Array.of(target, ...lengths), values);
  segment(0xda, Uint8Array.of(3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0));
  return join(segments);
}

/** The tables of ITU-T T.81 annex K for a quality from 1 to 99, in zigzag order (RFC 2435 section 4.2). */
function scaled(quality) {
  const factor = quality < 50 ? 5000 / quality : 200 - quality * 2;
  return Uint8Array.from([...LUMA, ...CHROMA], (entry) => Math.min(255, Math.max(1, Math.floor((entry * Math.floor(factor) + 50) / 100))));
}

// ITU-T T.81 tables K.1 and K.2, in zigzag order.
const LUMA = [
  16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
  56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
];
const CHROMA = [
  17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, ...new Array(50).fill(99),
];

// ITU-T T.81 tables K.3 to K.6: how many codes there are of each length, and their values.
const HUFFMAN = [
  [0x00, [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], Uint8Array.from({ length: 12 }, (_, index) => index)],
  [0x01, [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], Uint8Array.from({ length: 12 }, (_, index) => index)],
  [0x10, [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], hex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a"
    + "434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aa"
    + "b2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
  )],
  [0x11, [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], hex(
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a"
    + "434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aa"
    + "b2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
  )],
];

function hex(digits) {
  return Uint8Array.from(digits.replaceAll(" ", "").match(/../g), (pair) => Number.parseInt(pair, 16));
}
