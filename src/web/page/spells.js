// What a stream did in the last day, as parts of a bar and in words. Pure, so that node can test it.

import { duration } from "./format.js";

const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** The shortest of these times before `now` that holds all that is known, in milliseconds: at most a day. */
export function spanOf(timeline, now) {
  const known = timeline.length ? now - Date.parse(timeline[0].from) : 0;
  return [1, 3, 6, 12].map((hours) => hours * HOUR_MS).find((span) => known <= span) ?? DAY_MS;
}

/** The full hours, halves or quarters to write under a bar of this span, as milliseconds; `few`: where it is narrow. */
export function marks(span, now, few) {
  const hours = { 1: 0.25, 3: 0.5, 6: 1, 12: 2, 24: 3 }[span / HOUR_MS] * (few ? 2 : 1);
  const midnight = new Date(now - span).setHours(0, 0, 0, 0);
  const found = [];
  for (let at = midnight; at <= now; at += hours * HOUR_MS) if (at >= now - span) found.push(at);
  return found;
}

const KINDS = { live: "good", retrying: "bad", connecting: "busy", idle: "off", stopped: "off" };
const WORDS = { live: "live", retrying: "away", connecting: "connecting", idle: "idle: nobody watched", stopped: "stopped" };

/**
 * The parts of a bar of `width` pixels that shows `span` milliseconds up to `now`: `{ x, width, kind, spell }`. What was trouble is drawn last
 * and at least two pixels wide, since an outage of ten seconds is what one looks for.
 */
export function segments(timeline, now, width, span = DAY_MS) {
  const start = now - span;
  const at = (time) => ((Math.min(Math.max(time, start), now) - start) / span) * width;
  const found = [];
  for (const spell of timeline) {
    const to = spell.to ? Date.parse(spell.to) : now;
    if (to < start) continue;
    const [left, right] = [at(Date.parse(spell.from)), at(to)];
    const kind = KINDS[spell.state] ?? "off";
    const least = kind === "bad" ? 2 : 0.5;
    const wide = Math.max(right - left, least);
    found.push({ x: Math.min(left, width - wide), width: wide, kind, spell });
  }
  return found.sort((a, b) => Number(a.kind === "bad") - Number(b.kind === "bad"));
}

/** How long a spell took, in seconds. */
export function length(spell, now) {
  return ((spell.to ? Date.parse(spell.to) : now) - Date.parse(spell.from)) / 1000;
}

/** `away for 12 s: connection refused`. */
export function inWords(spell, now) {
  const soFar = spell.to ? "" : ", so far";
  const text = `${WORDS[spell.state] ?? spell.state} for ${duration(length(spell, now))}${soFar}`;
  return spell.why ? `${text}: ${reason(spell.why)}` : text;
}

/** A reason is words, or a class with words. */
function reason(why) {
  return typeof why === "string" ? why : (why.message ?? why.class ?? "");
}

/** `live for 99.2 % of the time known; 3 outages, 4 min 12 s in all`. */
export function summary(timeline, now) {
  const start = now - DAY_MS;
  let [known, live, away, outages] = [0, 0, 0, 0];
  for (const spell of timeline) {
    const from = Math.max(Date.parse(spell.from), start);
    const seconds = Math.max(((spell.to ? Date.parse(spell.to) : now) - from) / 1000, 0);
    known += seconds;
    if (spell.state === "live") live += seconds;
    if (spell.state === "retrying") {
      away += seconds;
      outages += 1;
    }
  }
  if (known === 0) return "Nothing is known yet.";
  const share = Math.floor((live / known) * 1000) / 10;
  const told = `Live for ${share === 100 ? "100" : share.toFixed(1)} % of ${duration(known)}`;
  if (outages === 0) return `${told}, without an outage.`;
  return `${told}; ${outages === 1 ? "one outage" : `${outages} outages`}, ${duration(away)} in all.`;
}
