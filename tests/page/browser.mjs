// The page in Debian's chromium, against a running relay: `tests/players --only page` starts both.
//
//     node tests/page/browser.mjs '{"page": URL, "jpeg": {...}, "h264": {...}, ...}'
//
// Prints a line for each step, and ends with 1 at the first that does not hold. PAGE_SHOTS=FOLDER keeps screenshots.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

import { steps } from "./steps.mjs";

const given = JSON.parse(process.argv[2]);
const shots = process.env.PAGE_SHOTS;
if (shots) await mkdir(shots, { recursive: true });

/** What anything on the page may take on a busy machine. */
const PATIENCE_MS = 15_000;

const root = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: root });

/** What no page may do: ask another host for something, or complain. */
const complaints = [];
const asked = new Set();

/** A page of its own, watched from its first request. */
async function open({ url = given.page, hash = "", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("request", (request) => asked.add(request.url()));
  page.on("websocket", (socket) => asked.add(socket.url()));
  page.on("console", (message) => message.type() === "error" && complaints.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  await page.goto(url + hash);
  return page;
}

const started = Date.now();
let status = 0;
let current = "the start";
try {
  for (const [name, step] of Object.entries(steps)) {
    current = name;
    const from = Date.now();
    const told = await step({ given, open, shots, complaints });
    console.log(`${name}: ${((Date.now() - from) / 1000).toFixed(1)} s${told ? `, ${told}` : ""}`);
    for (const context of browser.contexts()) await context.close();
  }
  current = "what the page did beside";
  const hosts = [given.page, given.guarded].map((url) => new URL(url).host);
  const elsewhere = [...asked].filter((url) => !/^(blob|data):/.test(url) && !hosts.includes(new URL(url).host));
  assert.deepEqual(elsewhere, [], "requests to other hosts");
  assert.deepEqual(complaints, [], "complaints of the browser");
  console.log(`the page holds, ${((Date.now() - started) / 1000).toFixed(0)} s`);
} catch (error) {
  console.log(`FAILED at: ${current}: ${error.message}\n${error.stack}`);
  if (shots) {
    const pages = browser.contexts().flatMap((context) => context.pages());
    for (const [index, page] of pages.entries()) await page.screenshot({ path: `${shots}/failed-${index}.png` }).catch(() => {});
  }
  status = 1;
}
await browser.close();
process.exit(status);
