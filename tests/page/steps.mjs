// The steps of tests/page/browser.mjs, in order.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";

import { accessible, api, fits, moves, stands, tile, until } from "./looking.mjs";

/** A change of state is shown within 2 s; three times as long for a machine that stands still in between. */
const SHOWN_WITHIN_S = 6;

/** The wall: both cameras move, numbers are there, the worst is first. */
async function wall({ given, open }) {
  const page = await open();
  for (const name of ["jpeg", "h264"]) {
    await moves(tile(page, name));
    const text = () => tile(page, name).innerText();
    await until(`numbers of ${name}`, async () => /live/.test(await text()) && /\d\.\d/.test(await text()) && /bit\/s/.test(await text()));
  }
  const names = await page.locator(".tile h2").allInnerTexts();
  assert.equal(names[0], "dead", `the one in trouble is first of ${names}`);
  const dead = await tile(page, "dead").innerText();
  assert.match(dead, /retrying/);
  assert.match(dead, /refused/, "it says why");
  assert.match(await page.locator("#summary").innerText(), /^3 streams: 1 retrying, 2 live$/);
  assert.equal(await tile(page, "dead").getAttribute("data-level"), "bad");
  assert.ok((await api(given, "streams")).streams.length >= 3);
}

/** The keyboard alone: a tile opens, its name has the focus, Escape closes, the focus is back on the tile. */
async function keyboard({ open }) {
  const page = await open();
  await tile(page, "h264").waitFor();
  await page.locator("#add").focus();
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  for (let presses = 0; (await focused()) !== "h264"; presses += 1) {
    assert.ok(presses < 6, "Tab reaches every tile");
    await page.keyboard.press("Tab");
  }
  const ring = await tile(page, "h264").evaluate((tile) => getComputedStyle(tile).outlineStyle);
  assert.equal(ring, "solid", "the focus is seen");
  await page.keyboard.press("Enter");
  await page.locator(".detail h2").waitFor();
  assert.equal(await page.evaluate(() => location.hash), "#/h264");
  assert.equal(await focused(), "h264");
  assert.equal(await page.title(), "h264 – Fanlight");
  await page.keyboard.press("Escape");
  await page.locator("#wall").waitFor();
  assert.equal(await focused(), "h264");
  assert.equal(await page.evaluate(() => document.activeElement.className + document.activeElement.tagName), "A");
}

const button = (page, name) => page.locator(".detail").getByRole("button", { name, exact: true });
const status = (page, part) => page.locator(`[data-part="p-${part}"]`).innerText();

/** The player of one stream: status bar, Pause, Play, Snapshot, full screen, Stop. */
async function player({ given, open }, name) {
  const page = await open({ hash: `#/${name}` });
  const stage = page.locator(".player");
  await moves(stage);
  const frame = async () => Number(await status(page, "frame"));
  const first = await frame();
  await until("the frame number grows", async () => (await frame()) > first);
  await until("rates in the status bar", async () => /\d/.test(await status(page, "fps")) && /bit\/s/.test(await status(page, "rate")));
  assert.match(await status(page, "size"), /640×360/);

  const [download] = await Promise.all([page.waitForEvent("download"), button(page, "Snapshot").click()]);
  const picture = await readFile(await download.path());
  const [jpeg, png] = [picture.subarray(0, 2).toString("hex") === "ffd8", picture.subarray(1, 4).toString() === "PNG"];
  assert.ok((jpeg || png) && picture.length > 2000, `a picture: ${picture.length} bytes`);
  assert.match(download.suggestedFilename(), new RegExp(`^${name}-.*\\.${jpeg ? "jpg" : "png"}$`));

  await button(page, "Pause").click();
  await until("paused", async () => (await status(page, "state")) === "paused");
  await page.waitForTimeout(300);
  await stands(page, stage);
  await button(page, "Play").click();
  await moves(stage);

  await button(page, "Full screen").click();
  await until("full screen", () => page.evaluate(() => document.fullscreenElement !== null));
  await page.evaluate(() => document.exitFullscreen());

  const watching = async () => (await api(given, `streams/${name}/viewers`)).viewers.length;
  await until("the player is a viewer", async () => (await watching()) > 0);
  await button(page, "Stop").click();
  await until("stopped", async () => (await status(page, "state")) === "stopped");
  await until("nobody watches", async () => (await watching()) === 0);
  return `latency ${await status(page, "latency")}`;
}

/** A player elsewhere is listed, and its button ends it. */
async function disconnect({ given, open }) {
  const page = await open({ hash: "#/h264" });
  const player = spawn("ffmpeg", ["-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", given.rtsp + "h264", "-f", "null", "-"], { stdio: "ignore" });
  try {
    const ended = new Promise((done) => player.on("exit", done));
    const row = page.locator("tr", { has: page.locator('td[title*="Lavf"]') });
    await row.waitFor();
    assert.match(await row.innerText(), /tcp/);
    await row.getByRole("button").click();
    await until("the player ended", () => Promise.race([ended.then(() => true), new Promise((done) => setTimeout(done, 50))]));
    await row.waitFor({ state: "detached" });
  } finally {
    player.kill("SIGKILL");
  }
}

/** Reconnect now: one more session of the camera, and the page says that it was asked for. */
async function reconnect({ given, open }) {
  const page = await open({ hash: "#/h264" });
  const sessions = async () => (await api(given, "streams/h264")).source.sessions;
  const before = await sessions();
  await button(page, "Reconnect now").click();
  await until("it is said", async () => /Asked/.test(await page.locator('[data-part="outcome"]').innerText()));
  await until("another session", async () => (await sessions()) > before);
  await moves(page.locator(".player"));
}

/** The camera is killed and comes back: in colour, in words, on the wall and in the timeline. */
async function outage({ given, open }) {
  const [wall, detail] = [await open(), await open({ hash: "#/jpeg" })];
  await moves(tile(wall, "jpeg"));
  await detail.locator(".daybar rect.good").first().waitFor();
  const shown = async (page, root, level, word) => {
    const locator = page.locator(root);
    const matches = async () => (await locator.getAttribute("data-level")) === level && word.test(await locator.locator('[data-part="word"]').innerText());
    await until(`${level} in ${root}`, matches, 40);
    return Date.now();
  };
  const both = async (level, word) => {
    const at = await Promise.all([shown(wall, '.tile[data-key="jpeg"]', level, word), shown(detail, ".detail", level, word)]);
    const { outages, since } = (await api(given, "streams/jpeg")).source;
    return Math.max(...at) - Date.parse(level === "bad" ? outages.list[0].start : since);
  };
  process.kill(given.camera.pid, "SIGKILL");
  const away = await both("bad", /^retrying$/);
  await detail.locator(".daybar rect.bad").first().waitFor({ state: "attached" });
  assert.match(await detail.locator(".changes li").first().innerText(), /away for .*, so far: \w+/s);
  assert.match(await detail.locator('[data-part="facts"]').innerText(), /Last failure/);
  assert.equal(await wall.locator(".tile h2").first().innerText() !== "h264", true, "those in trouble come first");
  const camera = spawn(given.camera.command[0], given.camera.command.slice(1), { stdio: "ignore" });
  try {
    const back = await both("good", /^live$/);
    await until("it is back in the timeline", async () => /live for/.test(await detail.locator(".changes li").first().innerText()));
    await moves(tile(wall, "jpeg"));
    await moves(detail.locator(".player"));
    for (const [what, took] of [["the outage", away], ["its end", back]]) {
      assert.ok(took < SHOWN_WITHIN_S * 1000, `${what} was shown after ${took} ms`);
    }
    return `shown ${away} and ${back} ms after the relay knew`;
  } finally {
    camera.kill("SIGTERM");
  }
}

/** A stream is added, changed and removed from the page; a mistake is said with its key. */
async function settings({ given, open, complaints }) {
  const page = await open();
  await page.locator("#add").click();
  const dialog = page.locator("#settings");
  const field = (name) => dialog.locator(`[name="${name}"]`);
  await field("name").fill("added");
  await field("source").fill("gopher://nowhere");
  await dialog.getByRole("button", { name: "Save" }).click();
  await until("the mistake is said", async () => /source/.test(await dialog.locator(".wrong").innerText()));
  // The refusal is what was asked for, and the browser reports every answer of that kind.
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("400")));
  await accessible(page, "the dialog");
  await field("source").fill(`${given.rtsp}h264`);
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.locator(".detail h2", { hasText: "added" }).waitFor();
  assert.match(await page.locator("#spoken").textContent(), /Added added.*(configuration file|restarts)/);
  await moves(page.locator(".player"));
  await button(page, "Edit").click();
  await until("the settings are there", async () => (await field("source").inputValue()) === `${given.rtsp}h264`);
  await field("source").fill(`${given.rtsp}jpeg`);
  await dialog.getByRole("button", { name: "Save" }).click();
  await until("it is said", async () => /Changed added/.test(await page.locator('[data-part="outcome"]').innerText()));
  await button(page, "Remove").click();
  await page.locator("#confirm").getByRole("button", { name: "Remove" }).click();
  await page.locator("#wall").waitFor();
  await tile(page, "added").waitFor({ state: "detached" });
}

/** What may only be watched says so, in words. */
async function not_allowed({ given, open, complaints }) {
  const page = await open({ url: given.guarded, hash: "#/demo" });
  await button(page, "Reconnect now").click();
  await until("it is said", async () => /Not allowed/.test(await page.locator('[data-part="outcome"]').innerText()));
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("403")));
}

const SIZES = { phone: { width: 390, height: 844 }, small: { width: 360, height: 640 }, wall: { width: 2560, height: 1440 } };

/** Both themes, the wall and a stream, at a phone's size and a wall's: no serious fault, nothing too wide. */
async function looks({ open, shots }) {
  const page = await open();
  for (const hash of ["#/", "#/h264"]) {
    await page.evaluate((hash) => (location.hash = hash), hash);
    await moves(hash === "#/" ? tile(page, "h264") : page.locator(".player"), 1);
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme });
      for (const [size, viewport] of Object.entries(SIZES)) {
        const what = `${hash === "#/" ? "wall" : "stream"}-${size}-${colorScheme}`;
        await page.setViewportSize(viewport);
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        await fits(page, what);
        if (size === "phone" || colorScheme === "dark") await accessible(page, what);
        if (shots) await page.screenshot({ path: `${shots}/${what}.png`, fullPage: what.startsWith("stream-phone") });
      }
    }
  }
}

/** Who asked for less motion gets no pictures until asking for them. */
async function less_motion({ open }) {
  const page = await open({ reducedMotion: "reduce" });
  await until("it is said", async () => /pictures are off/.test(await tile(page, "h264").innerText()));
  await page.getByRole("button", { name: "Pictures" }).click();
  await moves(tile(page, "h264"));
}

/** Without a script there is a table. */
async function no_script({ open }) {
  const page = await open({ javaScriptEnabled: false });
  const table = await page.locator("table").first().innerText();
  assert.match(table, /h264[\s\S]*live/);
  assert.match(table, /dead[\s\S]*refused/);
}

export const steps = {
  wall,
  keyboard,
  "player, JPEG": (site) => player(site, "jpeg"),
  "player, H.264": (site) => player(site, "h264"),
  disconnect,
  reconnect,
  settings,
  "not allowed": not_allowed,
  looks,
  "less motion": less_motion,
  "no script": no_script,
  outage,
};
