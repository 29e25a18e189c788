// What the steps look at: pixels, words, accessibility, the relay's own answers.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

/** Asks the relay. */
export async function api(given, path, method = "GET") {
  const answer = await fetch(new URL(`api/v1/${path}`, given.page), { method });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

/** Waits until `condition` gives something true. */
export async function until(what, condition, seconds = 15) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** The tile of a stream on the wall. */
export function tile(page, name) {
  return page.locator(`.tile[data-key="${name}"]`);
}

/** The picture in `root` as it is now: small, as numbers; null without one. */
async function pixels(root) {
  return root.locator(".screen").first().evaluate((screen) => {
    const picture = screen.querySelector("canvas, video, img");
    if (!picture || !(picture.width || picture.videoWidth)) return null;
    const small = new OffscreenCanvas(48, 27).getContext("2d");
    small.drawImage(picture, 0, 0, 48, 27);
    return [...small.getImageData(0, 0, 48, 27).data];
  });
}

const differing = (a, b) => a.filter((value, index) => Math.abs(value - b[index]) > 12).length;

/** Waits until there is a picture in `root` that is not of one colour, and that changes at least `changes` times. */
export async function moves(root, changes = 3, seconds = 20) {
  let last = null;
  let seen = 0;
  await until("a moving picture", async () => {
    const now = await pixels(root);
    if (!now || differing(now, now.map((_, index) => now[index % 4])) < 6) return false;
    if (last && differing(now, last) > 4) seen += 1;
    last = now;
    return seen >= changes;
  }, seconds);
}

/** That the picture in `root` stands still. */
export async function stands(page, root) {
  const before = await pixels(root);
  await page.waitForTimeout(700);
  assert.equal(differing(before, await pixels(root)), 0, "the picture stands still");
}

const AXE = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** That axe finds nothing serious on the page as it is. */
export async function accessible(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const told = serious.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`).join("; ")}`);
  assert.deepEqual(told, [], `axe, ${what}`);
}

/** That nothing is wider than the window. */
export async function fits(page, what) {
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= window, `${what}: ${wide} pixels wide in a window of ${window}`);
}
