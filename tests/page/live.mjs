// Live pictures in a real browser: LivePicture alone, against a relay that runs.
//
//     node tests/page/live.mjs http://127.0.0.1:8580 STREAM [--way webcodecs|mse] [--stamped] [--sound]
//
// Prints one line of JSON: how many frames were shown, by which way, whether the picture moved, whether pause, play and
// snapshot did what they should; and with --stamped, for tests/gst_server.py's `/clock`, how old pictures were on the
// screen. The clock in them counts 25 a second, so that an age is too high by up to 40 ms.

import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const [base, stream, ...options] = process.argv.slice(2);
const way = options.includes("--way") ? options[options.indexOf("--way") + 1] : null;
const stamped = options.includes("--stamped");
const sound = options.includes("--sound");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
const complaints = [];
try {
  const page = await browser.newPage({ viewport: { width: 800, height: 600 } });
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  // The modules as they stand, under the relay's own origin.
  await page.route("**/live-test/**", async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").at(-1);
    const body = await readFile(new URL(`../../src/web/page/${name}`, import.meta.url), "utf8");
    return route.fulfill({ contentType: "text/javascript", body });
  });
  // A document of the relay's own, with its headers; what it says is replaced.
  await page.goto(`${base}/livez`);
  await page.evaluate(async ({ stream, way, sound }) => {
    document.body.replaceChildren(Object.assign(document.createElement("div"), { id: "place" }));
    const { LivePicture } = await import("/live-test/live.js");
    globalThis.told = {};
    globalThis.states = [];
    const onStatus = (status) => {
      if (globalThis.states.at(-1) !== status.state) globalThis.states.push(status.state);
      globalThis.told = status;
    };
    const began = performance.now();
    globalThis.picture = new LivePicture(document.querySelector("#place"), stream, { onStatus, way, audio: sound, muted: !sound });
    globalThis.picture.play();
    globalThis.drawn = () => {
      const shown = document.querySelector("#place > *");
      const canvas = new OffscreenCanvas(64, 36);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(shown, 0, 0, 64, 36);
      return context.getImageData(0, 0, 64, 36).data;
    };
    globalThis.began = began;
  }, { stream, way, sound });
  const until = async (what, holds, limit = 20_000) => {
    for (let waited = 0; waited < limit; waited += 25) {
      if (holds(await page.evaluate(() => globalThis.told))) return;
      await new Promise((done) => setTimeout(done, 25));
    }
    const told = JSON.stringify(await page.evaluate(() => [globalThis.told, globalThis.states]));
    throw new Error(`not so within ${limit} ms: ${what}; ${told} ${complaints.join("; ")}`);
  };
  await until("the first picture", ({ frame }) => frame > 0);
  const first = await page.evaluate(() => performance.now() - globalThis.began);
  await until("thirty pictures", ({ frame }) => frame > 30);
  const moved = await page.evaluate(async () => {
    const pictures = [];
    for (let count = 0; count < 4; count += 1) {
      pictures.push(globalThis.drawn());
      await new Promise((done) => setTimeout(done, 150));
    }
    const differ = (a, b) => a.some((value, at) => Math.abs(value - b[at]) > 24);
    return pictures.slice(1).filter((picture, at) => differ(picture, pictures[at])).length;
  });
  const ages = stamped ? await agesOf(page) : [];
  const playing = await page.evaluate(() => globalThis.told);
  const snapshot = await page.evaluate(async () => {
    const blob = await globalThis.picture.snapshot();
    return { kind: blob.type, bytes: blob.size };
  });
  await page.evaluate(() => globalThis.picture.pause());
  await page.waitForTimeout(400);
  const [before, after] = await page.evaluate(async () => {
    const before = globalThis.drawn();
    await new Promise((done) => setTimeout(done, 500));
    return [[...before], [...globalThis.drawn()]];
  });
  const still = before.every((value, at) => value === after[at]);
  const frames = await page.evaluate(() => globalThis.told.frame);
  await page.evaluate(() => globalThis.picture.play());
  await until("it plays on", ({ state, frame }) => state === "playing" && frame > frames + 5);
  await page.evaluate(() => globalThis.picture.destroy());
  const left = await page.evaluate(() => document.querySelector("#place").children.length);
  ages.sort((a, b) => a - b);
  const age = ages.length > 0 ? { median: ages[ages.length >> 1], p90: ages[Math.floor(ages.length * 0.9)], count: ages.length } : null;
  console.log(JSON.stringify({
    way: playing.way, size: [playing.width, playing.height], fps: Math.round(playing.fps * 10) / 10, bit_rate: Math.round(playing.bitRate),
    latency_ms: playing.latencyMs, dropped: playing.dropped, first_ms: Math.round(first), moved, still, snapshot, left, age_ms: age, complaints,
    states: await page.evaluate(() => globalThis.states),
  }));
} finally {
  await browser.close();
}

// How old the picture on the screen is whenever it changes: its top row is when it was made.
async function agesOf(page) {
  const clock = () => Number(process.hrtime.bigint()) / 1e6;
  let best = null;
  for (let count = 0; count < 10; count += 1) {
    const [sent, there, back] = [clock(), await page.evaluate(() => performance.now()), clock()];
    if (!best || back - sent < best.trip) best = { trip: back - sent, ahead: (sent + back) / 2 - there };
  }
  const seen = await page.evaluate(() => new Promise((done) => {
    const canvas = new OffscreenCanvas(16, 1);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const seen = [];
    let last = null;
    const look = () => {
      const shown = document.querySelector("#place > *");
      const width = shown.videoWidth || shown.width;
      if (width) {
        context.imageSmoothingEnabled = false;
        context.drawImage(shown, 0, 20, width, 1, 0, 0, 16, 1);
        const data = context.getImageData(0, 0, 16, 1).data;
        let number = 0;
        for (let bit = 0; bit < 16; bit += 1) number = number * 2 + (data[bit * 4] > 128 ? 1 : 0);
        if (number !== last) seen.push([performance.now(), number]);
        last = number;
      }
      if (seen.length < 150) requestAnimationFrame(look);
      else done(seen);
    };
    look();
  }));
  const ages = seen.slice(20).map(([now, number]) => {
    const ticks = ((now + best.ahead) / 1000) * 25;
    return ((ticks - number) % 65_536 + 65_536) % 65_536 * 40;
  });
  return ages.map((age) => Math.round(age)).filter((age) => age < 10_000);
}
