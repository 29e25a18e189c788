// Fragmented MP4 for Media Source (ISO/IEC 14496-12, -14 and -15): a head that describes one track, then a fragment a frame.

import { join } from "./live-rtp.js";
import { withLengths } from "./live-video.js";

/** The head of a track of H.264 or H.265 pictures; `sets` are its parameter sets. */
export function videoHead({ codec, sets, width, height, timescale }) {
  const hevc = codec.startsWith("hev1") || codec.startsWith("hvc1");
  const entry = box(hevc ? "hev1" : "avc1",
    zeros(6), u16(1), zeros(16), u16(width), u16(height), u32(0x480000), u32(0x480000), zeros(4), u16(1), zeros(32), u16(24), u16(0xffff),
    hevc ? box("hvcC", hvcC(sets)) : box("avcC", avcC(sets)));
  return head("vide", timescale, entry, full("vmhd", 0, 1, zeros(8)), width, height);
}

/** The head of a track of AAC; `config` is its AudioSpecificConfig. */
export function audioHead({ config, channels, rate, timescale }) {
  const descriptor = (tag, ...content) => {
    const whole = join(content);
    return join([Uint8Array.of(tag, 0x80, 0x80, 0x80, whole.length), whole]);
  };
  const decoder = descriptor(4, Uint8Array.of(0x40, 0x15), zeros(11), descriptor(5, config));
  const esds = full("esds", 0, 0, descriptor(3, u16(1), Uint8Array.of(0), decoder, descriptor(6, Uint8Array.of(2))));
  const entry = box("mp4a", zeros(6), u16(1), zeros(8), u16(channels), u16(16), zeros(4), u32(Math.min(rate, 0xffff) * 0x10000), esds);
  return head("soun", timescale, entry, full("smhd", 0, 0, zeros(4)), 0, 0);
}

/** One frame: its decoding time, how long it lasts, how much later it is shown, all in units of the track's timescale. */
export function fragment({ number, time, duration, later = 0, key, data }) {
  const flags = key ? 0x02000000 : 0x01010000;
  const traf = (offset) => box("traf",
    full("tfhd", 0, 0x020000, u32(1)),
    full("tfdt", 1, 0, u64(time)),
    full("trun", 1, 0x000f01, u32(1), u32(offset), u32(duration), u32(data.length), u32(flags), u32(later >>> 0)));
  const moof = (offset) => box("moof", full("mfhd", 0, 0, u32(number)), traf(offset));
  return join([moof(moof(0).length + 8), box("mdat", data)]);
}

/** NAL units as a fragment has them: parameter sets stand in the head, but a change of them is known in the frame only. */
export function sample(units) {
  return withLengths(units);
}

/** Width and height that an H.264 sequence parameter set says (ITU-T H.264 section 7.3.2.1.1), or `null`. */
export function sizeOf(sps) {
  const bits = new Bits(withoutEscapes(sps.subarray(1)));
  const profile = bits.read(8);
  bits.read(16);
  bits.golomb();
  let chroma = 1;
  if ([100, 110, 122, 244, 44, 83, 86, 118, 128].includes(profile)) {
    chroma = bits.golomb();
    if (chroma === 3) bits.read(1);
    bits.golomb();
    bits.golomb();
    bits.read(1);
    if (bits.read(1)) {
      for (let list = 0; list < (chroma === 3 ? 12 : 8); list += 1) if (bits.read(1)) skipScaling(bits, list < 6 ? 16 : 64);
    }
  }
  bits.golomb();
  const order = bits.golomb();
  if (order === 0) bits.golomb();
  else if (order === 1) {
    bits.read(1);
    bits.golomb();
    bits.golomb();
    for (let left = bits.golomb(); left > 0; left -= 1) bits.golomb();
  }
  bits.golomb();
  bits.read(1);
  const wide = bits.golomb() + 1;
  const high = bits.golomb() + 1;
  const frames = bits.read(1);
  if (!frames) bits.read(1);
  bits.read(1);
  let [left, right, top, bottom] = [0, 0, 0, 0];
  if (bits.read(1)) [left, right, top, bottom] = [bits.golomb(), bits.golomb(), bits.golomb(), bits.golomb()];
  const [unitX, unitY] = [chroma === 1 || chroma === 2 ? 2 : 1, (chroma === 1 ? 2 : 1) * (2 - frames)];
  const size = [wide * 16 - (left + right) * unitX, high * 16 * (2 - frames) - (top + bottom) * unitY];
  return bits.over || size.some((side) => side <= 0 || side > 16384) ? null : size;
}

function head(handler, timescale, entry, media, width, height) {
  const matrix = join([u32(0x10000), zeros(12), u32(0x10000), zeros(12), u32(0x40000000)]);
  const tables = ["stts", "stsc", "stco"].map((name) => full(name, 0, 0, u32(0)));
  const stbl = box("stbl", full("stsd", 0, 0, u32(1), entry), ...tables, full("stsz", 0, 0, zeros(8)));
  const dinf = box("dinf", full("dref", 0, 0, u32(1), full("url ", 0, 1)));
  const mdia = box("mdia",
    full("mdhd", 0, 0, zeros(8), u32(timescale), zeros(4), u16(0x55c4), zeros(2)),
    full("hdlr", 0, 0, zeros(4), text(handler), zeros(13)),
    box("minf", media, dinf, stbl));
  const volume = u16(handler === "soun" ? 0x100 : 0);
  const tkhd = full("tkhd", 0, 3, zeros(8), u32(1), zeros(16), zeros(4), volume, zeros(2), matrix, u32(width * 0x10000), u32(height * 0x10000));
  const mvhd = full("mvhd", 0, 0, zeros(8), u32(1000), zeros(4), u32(0x10000), u16(0x100), zeros(10), matrix, zeros(24), u32(2));
  const mvex = box("mvex", full("trex", 0, 0, u32(1), u32(1), zeros(12)));
  return join([box("ftyp", text("isom"), u32(512), text("isomiso5")), box("moov", mvhd, box("trak", tkhd, mdia), mvex)]);
}

function avcC(sets) {
  const [sps, pps] = [7, 8].map((kind) => sets.filter((unit) => (unit[0] & 31) === kind));
  const listed = (units) => units.flatMap((unit) => [u16(unit.length), unit]);
  return join([
    Uint8Array.of(1, ...sps[0].subarray(1, 4), 0xff, 0xe0 | sps.length), ...listed(sps), Uint8Array.of(pps.length), ...listed(pps),
  ]);
}

function hvcC(sets) {
  const kind = (unit) => (unit[0] >> 1) & 63;
  const sps = withoutEscapes(sets.find((unit) => kind(unit) === 33));
  const arrays = [32, 33, 34].map((wanted) => sets.filter((unit) => kind(unit) === wanted)).filter((units) => units.length > 0);
  // Profile, tier and level as they stand; chroma and depths as of the main profiles: decoders look into the sets.
  return join([
    Uint8Array.of(1), sps.subarray(3, 15), Uint8Array.of(0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, arrays.length),
    ...arrays.flatMap((units) => [Uint8Array.of(kind(units[0])), u16(units.length), ...units.flatMap((unit) => [u16(unit.length), unit])]),
  ]);
}

class Bits {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get over() {
    return this.#at > this.#bytes.length * 8;
  }

  read(count) {
    let value = 0;
    for (let left = count; left > 0; left -= 1, this.#at += 1) {
      value = value * 2 + (((this.#bytes[this.#at >> 3] ?? 0) >> (7 - (this.#at & 7))) & 1);
    }
    return value;
  }

  golomb() {
    let zeros = 0;
    while (zeros < 32 && !this.over && this.read(1) === 0) zeros += 1;
    return 2 ** zeros - 1 + this.read(zeros);
  }
}

function skipScaling(bits, size) {
  let [last, next] = [8, 8];
  for (let index = 0; index < size && next !== 0; index += 1) {
    const code = bits.golomb();
    next = (last + (code & 1 ? (code + 1) / 2 : -code / 2) + 256) % 256;
    if (next !== 0) last = next;
  }
}

/** Without the bytes that keep start codes out. */
function withoutEscapes(bytes) {
  return bytes.filter((byte, at) => !(byte === 3 && at >= 2 && bytes[at - 1] === 0 && bytes[at - 2] === 0));
}

function box(name, ...content) {
  const whole = join(content);
  return join([u32(whole.length + 8), text(name), whole]);
}

function full(name, version, flags, ...content) {
  return box(name, u32(version * 0x1000000 + flags), ...content);
}

const zeros = (count) => new Uint8Array(count);
const u16 = (value) => Uint8Array.of(value >> 8, value);
const u32 = (value) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
const u64 = (value) => join([u32(Math.floor(value / 2 ** 32)), u32(value % 2 ** 32 >>> 0)]);
const text = (value) => Uint8Array.from(value, (letter) => letter.charCodeAt(0));
