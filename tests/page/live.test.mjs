// The pure part of live pictures: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as path } from "node:path";
import test from "node:test";

import { aacFrames, soundOf } from "../../src/web/page/live-audio.js";
import { Jpeg } from "../../src/web/page/live-jpeg.js";
import { audioHead, fragment, sample, sizeOf, videoHead } from "../../src/web/page/live-mp4.js";
import { fromBase64, interleaved, join, parseRtp, parseSenderReport, Sequence, Timeline } from "../../src/web/page/live-rtp.js";
import { annexB, Av1, H264, H265, withLengths } from "../../src/web/page/live-video.js";

const bytes = (...values) => Uint8Array.from(values);
const packet = (payload, { marker = true, timestamp = 1000 } = {}) => ({ marker, timestamp, payload });
const SPS = fromBase64("Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=");
const PPS = fromBase64("aO48gA==");
const IDR = bytes(0x65, 1, 2, 3, 4, 5, 6, 7, 8);
const INTER = bytes(0x41, 9, 9);

test("a message is taken apart into its packets, and one that is cut ends it", () => {
  const message = bytes(0x24, 0, 0, 2, 7, 8, 0x24, 1, 0, 1, 9, 0x24, 0, 0, 9, 1);
  assert.deepEqual([...interleaved(message.buffer)].map(({ channel, data }) => [channel, ...data]), [[0, 7, 8], [1, 9]]);
});

test("a packet's payload stands behind contributing sources and extension, and in front of padding", () => {
  const header = [0xb1, 0xe0, 0xff, 0xfe, 0, 0, 4, 0, 1, 2, 3, 4];
  const rtp = parseRtp(bytes(...header, 5, 5, 5, 5, 0xbe, 0xde, 0, 1, 6, 6, 6, 6, 42, 43, 0, 2));
  assert.deepEqual([rtp.marker, rtp.sequence, rtp.timestamp, ...rtp.payload], [true, 0xfffe, 1024, 42, 43]);
  assert.equal(parseRtp(bytes(1, 2, 3)), null);
  assert.equal(parseRtp(bytes(0x40, ...header.slice(1))), null, "another version");
});

test("a sender report tells which moment a timestamp is", () => {
  const report = new Uint8Array(28);
  const view = new DataView(report.buffer);
  report.set([0x80, 200, 0, 6]);
  view.setUint32(8, 2_208_988_800 + 100);
  view.setUint32(12, 2 ** 31);
  view.setUint32(16, 0xffff_ff00);
  const timeline = new Timeline(1000);
  assert.equal(timeline.wall(1), null);
  timeline.report(parseSenderReport(report));
  assert.equal(timeline.wall(0xffff_ff00), 100_500);
  assert.equal(timeline.wall(0xf4), 101_000, "beyond the wrap");
  assert.equal(timeline.wall(0xffff_fe06), 100_250);
});

test("losses are counted through the wrap, and what comes late is none", () => {
  const sequence = new Sequence();
  assert.deepEqual([65_534, 65_535, 0, 3, 2, 4].map((number) => sequence.lost(number)), [0, 0, 0, 2, 0, 1]);
});

test("H.264 comes as single units, together, and in pieces", () => {
  const h264 = new H264();
  const stap = bytes(0x78, 0, SPS.length, ...SPS, 0, PPS.length, ...PPS);
  assert.deepEqual(h264.push(packet(stap, { marker: false })), []);
  const fu = (flags, data) => packet(bytes(0x7c, flags | 5, ...data), { marker: Boolean(flags & 0x40) });
  assert.deepEqual(h264.push(fu(0x80, IDR.subarray(1, 4))), []);
  assert.deepEqual(h264.push(fu(0, IDR.subarray(4, 7))), []);
  const [frame] = h264.push(fu(0x40, IDR.subarray(7)));
  assert.deepEqual(frame, { timestamp: 1000, key: true, units: [SPS, PPS, IDR] });
  assert.deepEqual(h264.complete(frame), [SPS, PPS, IDR]);
  assert.equal(h264.codec(), "avc1.4d002a");
  assert.equal(h264.push(packet(INTER, { timestamp: 2000 }))[0].key, false);
});

test("nothing comes before the first key frame, nor after a loss before the next", () => {
  const h264 = new H264([SPS, PPS]);
  assert.deepEqual(h264.push(packet(INTER)), []);
  const [key] = h264.push(packet(IDR));
  assert.deepEqual(h264.complete(key), [SPS, PPS, IDR], "with the parameter sets of the description");
  assert.equal(h264.push(packet(INTER)).length, 1);
  h264.lose();
  assert.deepEqual(h264.push(packet(INTER)), []);
  assert.deepEqual(h264.push(packet(INTER)), []);
  assert.equal(h264.push(packet(IDR)).length, 1);
  assert.equal(h264.dropped, 3);
});

test("a frame without a marker ends with the next timestamp", () => {
  const h264 = new H264([SPS, PPS]);
  assert.deepEqual(h264.push(packet(IDR, { marker: false, timestamp: 1 })), []);
  const frames = h264.push(packet(INTER, { marker: true, timestamp: 2 }));
  assert.deepEqual(frames.map(({ timestamp, key }) => [timestamp, key]), [[1, true], [2, false]]);
});

test("a piece whose beginning is missing harms its own frame only", () => {
  const h264 = new H264([SPS, PPS]);
  h264.push(packet(IDR));
  assert.deepEqual(h264.push(packet(bytes(0x7c, 0x41, 1))), []);
  assert.equal(h264.push(packet(IDR)).length, 1);
});

test("H.265 has headers of two bytes", () => {
  const h265 = new H265([bytes(0x40, 1, 1), bytes(0x42, 1, 2), bytes(0x44, 1, 3)], "hvc1.1.6.L93.B0");
  const idr = bytes(0x26, 1, 10, 11, 12);
  h265.push(packet(bytes(0x62, 1, 0x93, 10, 11), { marker: false }));
  const [frame] = h265.push(packet(bytes(0x62, 1, 0x53, 12)));
  assert.deepEqual(frame.units, [idr]);
  assert.equal(frame.key, true);
  assert.deepEqual(h265.complete(frame).map((unit) => unit[0]), [0x40, 0x42, 0x44, 0x26]);
  assert.equal(h265.codec(), "hev1.1.6.L93.B0");
  const both = bytes(0x60, 1, 0, 3, 0x02, 1, 5, 0, 3, 0x02, 1, 6);
  assert.equal(h265.push(packet(both))[0].units.length, 2);
});

test("AV1 elements become OBUs with their sizes, and pieces one", () => {
  const av1 = new Av1("av01.0.04M.08");
  // W = 2, N = 1: a sequence header with its length, then the first piece of a frame, which goes on.
  assert.deepEqual(av1.push(packet(bytes(0x68, 3, 0x08, 1, 2, 0x30, 7), { marker: false })), []);
  const [frame] = av1.push(packet(bytes(0x90, 8, 9)));
  assert.equal(frame.key, true);
  assert.deepEqual(av1.complete(frame).map((unit) => [...unit]), [[0x0a, 2, 1, 2], [0x32, 3, 7, 8, 9]]);
});

test("units get start codes or lengths", () => {
  assert.deepEqual([...annexB([bytes(1, 2)])], [0, 0, 0, 1, 1, 2]);
  assert.deepEqual([...withLengths([bytes(1, 2), bytes(3)])], [0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3]);
});

test("a JPEG of RTP is one that ffmpeg decodes without a word, whatever tells its tables", (t) => {
  const scan = scanOf(readFileSync(new URL("../../src/demo.mjpeg", import.meta.url)));
  const folder = mkdtempSync(path(tmpdir(), "fanlight-jpeg-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const tables = (at) => (at === 0 ? [0, 0, 0, scan.tables.length, ...scan.tables] : []);
  const jpeg = new Jpeg();
  let pictures = [];
  for (let at = 0; at < scan.data.length; at += 1000) {
    const piece = scan.data.subarray(at, at + 1000);
    const head = [0, at >> 16, (at >> 8) & 255, at & 255, scan.kind, 255, scan.width / 8, scan.height / 8];
    pictures = jpeg.push(packet(bytes(...head, ...tables(at), ...piece), { marker: at + 1000 >= scan.data.length }));
  }
  const file = path(folder, "picture.jpg");
  writeFileSync(file, pictures[0].jpeg);
  const decoded = execFileSync("ffmpeg", ["-v", "error", "-xerror", "-i", file, "-f", "rawvideo", "-pix_fmt", "gray", "-"], { stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 24 });
  assert.equal(decoded.length, scan.width * scan.height);
  writeFileSync(file, scan.file);
  const original = execFileSync("ffmpeg", ["-v", "error", "-i", file, "-f", "rawvideo", "-pix_fmt", "gray", "-"], { maxBuffer: 1 << 24 });
  assert.ok(decoded.equals(original), "the same picture");
});

test("a JPEG with a gap is given up, and the next one is not", () => {
  const jpeg = new Jpeg();
  const piece = (offset, marker) => packet(bytes(0, 0, 0, offset, 1, 50, 8, 8, 1, 2, 3, 4), { marker });
  assert.deepEqual(jpeg.push(piece(0, false)), []);
  assert.deepEqual(jpeg.push(piece(8, true)), []);
  assert.equal(jpeg.dropped, 1);
  jpeg.push(piece(0, false));
  assert.equal(jpeg.push(piece(4, true)).length, 1);
});

test("AAC frames stand behind their lengths", () => {
  const two = bytes(0, 32, 0, 2 << 3, 0, 3 << 3, 1, 2, 3, 4, 5);
  assert.deepEqual(aacFrames(two).map((frame) => [...frame]), [[1, 2], [3, 4, 5]]);
  assert.deepEqual(aacFrames(bytes(0, 16, 0xff, 0xf8, 1)), [], "longer than the packet");
  assert.deepEqual(aacFrames(bytes(1)), []);
});

test("G.711 is what the tables of the ITU say", () => {
  const [mu, a] = ["PCMU", "PCMA"].map((encoding) => soundOf({ encoding, clock_rate: 8000, channels: 1 }));
  assert.deepEqual([...mu.decode(bytes(0xff, 0x7f, 0x00, 0x80))].map((value) => Math.round(value * 32768)), [0, -0, -32124, 32124].map((value) => value));
  assert.deepEqual([...a.decode(bytes(0xd5, 0x55, 0x2a, 0xaa))].map((value) => Math.round(value * 32768)), [8, -8, -32256, 32256]);
  assert.equal(soundOf({ encoding: "G722", clock_rate: 8000 }), null);
});

test("the size of a picture is read from its parameter set", () => {
  assert.deepEqual(sizeOf(SPS), [1920, 1080]);
  assert.deepEqual(sizeOf(fromBase64("Z00AH5WoFAFuQA==")), [1280, 720]);
  assert.equal(sizeOf(bytes(0x67, 100)), null);
});

test("what ffmpeg encodes and we put into MP4 ffmpeg decodes again, frame by frame", (t) => {
  const folder = mkdtempSync(path(tmpdir(), "fanlight-mp4-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const raw = path(folder, "raw.h264");
  const source = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=25", "-frames:v", "12", "-c:v", "libx264", "-g", "6", "-bf", "0", "-x264-params", "slices=1"];
  execFileSync("ffmpeg", ["-v", "error", ...source, "-pix_fmt", "yuv420p", raw]);
  const units = split(readFileSync(raw));
  const h264 = new H264();
  const file = [];
  let number = 0;
  for (const unit of units) {
    const isPicture = (unit[0] & 31) <= 5;
    for (const frame of h264.push(packet(unit, { marker: isPicture, timestamp: number * 3600 }))) {
      const data = sample(h264.complete(frame));
      if (number === 0) {
        const [width, height] = sizeOf(h264.sets[0]);
        assert.deepEqual([width, height], [320, 180]);
        file.push(videoHead({ codec: h264.codec(), sets: h264.sets, width, height, timescale: 90_000 }));
      }
      number += 1;
      file.push(fragment({ number, time: number * 3600, duration: 3600, key: frame.key, data }));
    }
  }
  const mp4 = path(folder, "ours.mp4");
  writeFileSync(mp4, join(file));
  const hash = (input) => execFileSync("ffmpeg", ["-v", "error", "-xerror", "-i", input, "-f", "framehash", "-"], { encoding: "utf8" })
    .split("\n").filter((line) => line && !line.startsWith("#")).map((line) => line.split(",").at(-1).trim());
  assert.equal(hash(mp4).length, 12);
  assert.deepEqual(hash(mp4), hash(raw));
});

test("a head of AAC has the decoder's configuration in it", () => {
  const head = audioHead({ config: bytes(0x11, 0x90), channels: 2, rate: 48_000, timescale: 90_000 });
  const text = Buffer.from(head).toString("latin1");
  assert.ok(text.includes("mp4a") && text.includes("\x05\x80\x80\x80\x02\x11\x90"));
  assert.equal(new DataView(head.buffer).getUint32(0) + new DataView(head.buffer).getUint32(24), head.length);
});

/** The NAL units of a file. */
function split(file) {
  const units = [];
  let start = -1;
  for (let at = 0; at + 2 < file.length; at += 1) {
    if (file[at] !== 0 || file[at + 1] !== 0 || file[at + 2] !== 1) continue;
    if (start >= 0) units.push(new Uint8Array(file.subarray(start, file[at - 1] === 0 ? at - 1 : at)));
    start = at + 3;
  }
  units.push(new Uint8Array(file.subarray(start)));
  return units;
}

/** What RTP carries of the first picture of a file of JPEGs with the standard Huffman tables. */
function scanOf(file) {
  const start = file.indexOf(Buffer.of(0xff, 0xd8));
  let at = start + 2;
  const found = { tables: [] };
  for (;;) {
    const [marker, length] = [file[at + 1], file.readUInt16BE(at + 2)];
    const content = file.subarray(at + 4, at + 2 + length);
    if (marker === 0xdb) for (let table = 0; table + 65 <= content.length; table += 65) found.tables.push(...content.subarray(table + 1, table + 65));
    if (marker === 0xc0) Object.assign(found, { height: content.readUInt16BE(1), width: content.readUInt16BE(3), kind: content[7] === 0x22 ? 1 : 0 });
    at += 2 + length;
    if (marker === 0xda) break;
  }
  const end = file.indexOf(Buffer.of(0xff, 0xd9), at);
  return { ...found, data: file.subarray(at, end), file: file.subarray(start, end + 2) };
}
