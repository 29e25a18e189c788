// The page's pure modules: `node --test tests/page/*.test.mjs`.

import assert from "node:assert/strict";
import { test } from "node:test";

const page = new URL("../../src/web/page/", import.meta.url);
const [format, trouble, fit, route, scale, spells, settings] = await Promise.all(
  ["format", "trouble", "fit", "route", "scale", "spells", "settings"].map((name) => import(new URL(`${name}.js`, page))),
);

const NOW = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds) => new Date(NOW - seconds * 1000).toISOString();

function stream(changes = {}, source = {}) {
  return {
    name: "door",
    tracks: [{ id: 0, kind: "video", last_frame_age: 0.04 }],
    loss: 0,
    ...changes,
    source: {
      state: "live", attempt: 0, next_try_in: null, decision: "packets arrive over TCP", outages: { list: [] }, ...source,
    },
  };
}

test("numbers have as many digits as mean something, and a dash where there is none", () => {
  assert.equal(format.frames(25), "25.0");
  assert.equal(format.frames(null), "–");
  assert.deepEqual([0, 64_400, 999_499, 999_500, 4_250_000].map(format.bitRate), ["0 kbit/s", "64 kbit/s", "999 kbit/s", "1.0 Mbit/s", "4.3 Mbit/s"]);
  assert.deepEqual([0.314, 0.996, 4.25, 118.2, 12_360].map(format.milliseconds), ["0.31 ms", "1.0 ms", "4.3 ms", "118 ms", "12.4 s"]);
  assert.deepEqual([0, 0.0002, 0.0141, 0.12, undefined, NaN].map(format.percent), ["0 %", "0.02 %", "1.4 %", "12 %", "–", "–"]);
  assert.deepEqual([940, 12_400, 999_600, 4.2e9].map(format.bytes), ["940 B", "12 kB", "1.0 MB", "4.2 GB"]);
});

test("durations have the two units that matter", () => {
  const said = [0.42, 9.96, 59.4, 60, 200, 3600, 18_720, 86_400, 356_400].map(format.duration);
  assert.deepEqual(said, ["0.4 s", "10 s", "59 s", "1 min", "3 min 20 s", "1 h", "5 h 12 min", "1 d", "4 d 3 h"]);
  assert.equal(format.duration(-3), "0.0 s", "clocks that disagree");
  assert.deepEqual([0.9, 7.8, 61].map(format.age), ["0 s", "7 s", "1 min 1 s"]);
});

test("a moment has its day where that is not today", () => {
  const now = new Date(2026, 2, 1, 12, 0, 0);
  assert.equal(format.clock(new Date(2026, 2, 1, 3, 4, 5), now), "03:04:05");
  assert.equal(format.clock(new Date(2026, 1, 28, 3, 4, 5), now), "2026-02-28 03:04:05");
  assert.equal(format.clock("nonsense", now), "");
});

test("trouble has a level, a word and a sentence", () => {
  const of = (changes, source) => {
    const { level, word } = trouble.troubleOf(stream(changes, source), NOW);
    return `${level}: ${word}`;
  };
  assert.equal(of(), "good: live");
  assert.equal(of({}, { state: "retrying", attempt: 2 }), "bad: retrying");
  assert.equal(of({}, { state: "connecting", attempt: 0 }), "busy: connecting");
  assert.equal(of({}, { state: "connecting", attempt: 3 }), "bad: retrying", "the word does not flicker");
  assert.equal(of({}, { state: "idle" }), "off: idle");
  assert.equal(of({ tracks: [{ kind: "video", last_frame_age: 9 }] }), "bad: frozen");
  assert.equal(of({ tracks: [{ kind: "audio", last_frame_age: 9 }, { kind: "video", last_frame_age: 0 }] }), "good: live", "the picture counts");
  assert.equal(of({ loss: 0.02 }), "warn: losing packets");
  assert.equal(of({ loss: null }), "good: live");
  const outages = (count, seconds) => ({ outages: { list: Array.from({ length: count }, () => ({ start: ago(seconds) })) } });
  assert.equal(of({}, outages(3, 600)), "warn: unsteady");
  assert.equal(of({}, outages(2, 600)), "good: live");
  assert.equal(of({}, outages(9, 4000)), "good: live", "an hour ago");
});

test("an outage goes on from one try to the next", () => {
  const trying = stream({}, { state: "connecting", attempt: 3, since: ago(0.1), outages: { list: [{ start: ago(90), end: null }, { start: ago(900), end: ago(890) }] } });
  assert.equal(trouble.sinceOf(trying), NOW - 90_000);
  const back = stream({}, { since: ago(5), outages: { list: [{ start: ago(90), end: ago(5) }] } });
  assert.equal(trouble.sinceOf(back), NOW - 5000);
});

test("the pause before the next try goes on shrinking between two events", () => {
  const waiting = stream({}, {
    state: "retrying", attempt: 2, next_try_in: 6.4, decision: "retrying in 6.4 s after 2 failed attempts: connection refused",
  });
  const words = (since) => trouble.troubleOf(waiting, NOW, NOW - since).words;
  assert.equal(words(0), "retrying in 6 s after 2 failed attempts: connection refused");
  assert.equal(words(4000), "retrying in 2 s after 2 failed attempts: connection refused");
  assert.equal(words(9000), "retrying now after 2 failed attempts: connection refused");
});

test("streams are sorted by trouble, then by name as people count", () => {
  const entry = (name, level, word = level) => ({ name, trouble: { level, word } });
  const entries = [
    entry("cam10", "good", "live"), entry("cam9", "good", "live"), entry("z", "off", "idle"), entry("m", "bad", "retrying"),
    entry("k", "warn", "losing packets"), entry("b", "busy", "connecting"), entry("a", "bad", "frozen"),
  ];
  assert.deepEqual(trouble.byTrouble([...entries]).map(({ name }) => name), ["a", "m", "k", "b", "cam9", "cam10", "z"]);
  assert.equal(trouble.summary(entries), "7 streams: 1 frozen, 1 retrying, 1 losing packets, 1 connecting, 2 live, 1 idle");
  assert.equal(trouble.summary([entries[0]]), "1 stream: 1 live");
  assert.equal(trouble.summary([]), "no streams");
  assert.deepEqual(trouble.balance(entries).map(({ count }) => count), [2, 1, 1, 2, 1]);
});

test("a wall has the largest tiles that all fit, and scrolls only where they would be too small to read", () => {
  assert.equal(fit.columns(1, 2528, 1340, 120), 1);
  assert.equal(fit.widest(1340, 120), 2168, "and that one is in sight as a whole");
  assert.equal(fit.columns(4, 1900, 1000, 100), 3);
  assert.equal(fit.columns(24, 2528, 1340, 120), 7);
  assert.equal(fit.columns(24, 366, 700, 120), 1, "a phone");
  assert.equal(fit.columns(500, 2528, 1340, 120), 8, "as many as are legible");
  for (const [count, width, height] of [[2, 1400, 900], [9, 1900, 1000], [16, 2528, 1340]]) {
    const columns = fit.columns(count, width, height, 120);
    const tile = (width - 12 * (columns - 1)) / columns;
    assert.ok(Math.ceil(count / columns) * ((tile * 9) / 16 + 120 + 12) - 12 <= height, `${count} fit`);
  }
});

test("every name of a stream has an address of its own and comes back from it", () => {
  for (const name of ["door", "site/door", "a~b.c-d_e", "viewers"]) assert.equal(route.streamOf(route.hashOf(name)), name);
  assert.equal(route.hashOf("site/door"), "#/site/door");
  assert.equal(route.apiPath("site/viewers", "log"), "api/v1/streams/site%2Fviewers/log");
  for (const none of ["", "#", "#/", "#%", "#/%ff", "#main"]) assert.equal(route.streamOf(none), null, none);
});

test("a scale ends at a number people count in, at or above the largest", () => {
  assert.deepEqual([0, 0.3, 1, 1.01, 23, 27, 4.4e6, 99].map(scale.ceiling), [1, 0.3, 1, 1.5, 25, 30, 5e6, 100]);
  assert.equal(scale.ceiling(NaN), 1);
  assert.equal(scale.largest([1, null, 7], [], [3]), 7);
});

test("a line has a hole where nothing is known, and ends at the right edge", () => {
  const runs = scale.runs([1, 2, null, 4], 5, 100, 40, 4);
  assert.deepEqual(runs, [[[25, 30], [50, 20]], [[100, 0]]]);
  assert.equal(scale.line(runs), "M25 30L50 20M99.3 0h1.5");
  assert.equal(scale.area(runs, 40), "M25 40L25 30L50 20L50 40Z");
  assert.deepEqual(scale.runs([9], 2, 100, 40, 4), [[[100, 0]]], "never out of the chart");
  assert.deepEqual(scale.runs([null, undefined], 5, 100, 40, 4), []);
});

test("a chart shows no more time than is known, and at most an hour", () => {
  assert.deepEqual([0, 60, 61, 200, 360].map(scale.slotsFor), [60, 60, 180, 360, 360]);
});

test("pointing at a chart finds the sample under it", () => {
  assert.equal(scale.indexAt(100, 4, 5, 100), 3);
  assert.equal(scale.indexAt(30, 4, 5, 100), 0);
  assert.equal(scale.indexAt(2, 4, 5, 100), null, "before the first one");
});

const DAY = [
  { from: ago(30 * 3600), to: ago(20 * 3600), state: "live", why: null },
  { from: ago(20 * 3600), to: ago(20 * 3600 - 10), state: "retrying", why: "connection refused" },
  { from: ago(20 * 3600 - 10), to: null, state: "live", why: null },
];

test("a short outage is seen in the bar of a day, on top of everything", () => {
  const found = spells.segments(DAY, NOW, 600);
  assert.deepEqual(found.map(({ kind }) => kind), ["good", "good", "bad"]);
  assert.equal(found[0].x, 0, "cut off where the day begins");
  assert.equal(found.at(-1).width, 2);
  assert.ok(Math.abs(found[1].x + found[1].width - 600) < 1e-9, "up to now");
  assert.deepEqual(spells.segments([{ ...DAY[0], from: ago(50 * 3600), to: ago(25 * 3600) }], NOW, 600), [], "of yesterday");
  const last = spells.segments([{ from: ago(0.1), to: null, state: "retrying" }], NOW, 600)[0];
  assert.ok(last.x + last.width <= 600);
});

test("a bar shows no more time than is known, and at most a day", () => {
  const spans = [600, 5400, 7 * 3600, 30 * 3600].map((seconds) => spells.spanOf([{ from: ago(seconds) }], NOW) / 3_600_000);
  assert.deepEqual(spans, [1, 3, 12, 24]);
  assert.equal(spells.spanOf([], NOW), 3_600_000);
  const [bar] = spells.segments([{ from: ago(1800), to: null, state: "live" }], NOW, 600, 3_600_000);
  assert.deepEqual([bar.x, bar.width], [300, 300]);
  for (const span of [1, 3, 6, 12, 24].map((hours) => hours * 3_600_000)) {
    const marks = spells.marks(span, NOW, false);
    assert.ok(marks.length >= 4 && marks.length <= 9, `${span}: ${marks.length}`);
    assert.ok(marks.every((at) => at >= NOW - span && at <= NOW && at % 900_000 === 0));
    assert.ok(spells.marks(span, NOW, true).length <= 5);
  }
});

test("the day is told in words", () => {
  assert.equal(spells.inWords(DAY[1], NOW), "away for 10 s: connection refused");
  assert.equal(spells.inWords({ ...DAY[1], why: { class: "refused", message: "no" } }, NOW), "away for 10 s: no");
  assert.equal(spells.inWords(DAY[2], NOW), "live for 19 h 59 min, so far");
  assert.equal(spells.summary(DAY, NOW), "Live for 99.9 % of 1 d; one outage, 10 s in all.");
  assert.equal(spells.summary([DAY[2]], NOW), "Live for 100 % of 19 h 59 min, without an outage.");
  assert.equal(spells.summary([], NOW), "Nothing is known yet.");
});

/** The fields of the dialog, as far as they are read and written. */
function form() {
  const field = () => ({ value: "", checked: false, closest: () => null });
  return Object.fromEntries(["source", "username", "password", "transport", "on_demand", "more"].map((name) => [name, field()]));
}

test("settings that are saved as the dialog shows them are the same settings", () => {
  for (const had of [
    { source: "rtsp://***@10.0.0.7/main" },
    { source: ["rtsp://10.0.0.7/main", "rtsp://10.0.0.7/sub"], username: "relay", password: "***", transport: "auto", on_demand: true },
    { source: "rtsp://10.0.0.7/main", on_demand: false, outage_grace: "5m", tracks: ["video"], proxy: "http://***@10.0.0.1:3128" },
  ]) {
    const fields = form();
    settings.fill(fields, had);
    assert.equal(fields.password.value, "", "a password is never shown");
    assert.deepEqual(settings.settingsOf(fields, had), had);
  }
});

test("what is changed in the dialog is saved", () => {
  const fields = form();
  const had = { source: "rtsp://10.0.0.7/main", password: "***", on_demand: true };
  settings.fill(fields, had);
  fields.password.value = "new";
  fields.on_demand.checked = false;
  fields.transport.value = "udp";
  assert.deepEqual(settings.settingsOf(fields, had), { source: "rtsp://10.0.0.7/main", password: "new", transport: "udp", on_demand: false });
  const named = { source: "rtsp://10.0.0.7/main", username: "relay", password: "***" };
  settings.fill(fields, named);
  [fields.password.value, fields.username.value, fields.transport.value] = ["", "", ""];
  assert.deepEqual(settings.settingsOf(fields, named), { source: "rtsp://10.0.0.7/main" }, "no log-in any more");
});
