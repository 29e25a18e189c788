// Which streams need somebody's eye, in words and in order. Pure, so that node can test it.

import { age, counted, duration, percent } from "./format.js";

/** Levels by how much they need a look. Each has a colour and a pattern in the style, and words here. */
export const LEVELS = ["bad", "warn", "busy", "good", "off"];

/** A picture older than this is no live picture; a slow camera of one frame a second is one. */
const FROZEN_AFTER_S = 4;
/** Share of packets lost in the last minute from which pictures suffer visibly. */
const LOSSY = 0.005;
/** Outages in the last hour from which a camera is unsteady, though live now. */
const UNSTEADY = 3;
const HOUR_MS = 3_600_000;

const hour = (outages, now) => (outages?.list ?? []).filter(({ start }) => now - Date.parse(start) < HOUR_MS).length;

/** What the relay says it does, with a pause that goes on shrinking between two events. */
function decision({ decision, next_try_in: pause }, since) {
  if (pause === null || pause === undefined) return decision;
  const left = pause - since / 1000;
  return decision.replace(/^retrying (in [\d.]+ s|now)/, left >= 1 ? `retrying in ${age(left)}` : "retrying now");
}

function mainTrack(stream) {
  return stream.tracks.find(({ kind }) => kind === "video") ?? stream.tracks[0];
}

/**
 * `{ level, word, words }` of a stream: `word` is short (`live`, `retrying`, `frozen`), `words` a sentence.
 * The stream was heard of at `heard`.
 */
export function troubleOf(stream, now = Date.now(), heard = now) {
  const { source, loss = null } = stream;
  const told = decision(source, now - heard);
  switch (source.state) {
    case "retrying":
      return { level: "bad", word: "retrying", words: told };
    case "connecting":
      // Between two tries it connects for a moment: the word stays, or it would flicker.
      return source.attempt > 0
        ? { level: "bad", word: "retrying", words: told }
        : { level: "busy", word: "connecting", words: told };
    case "live":
      break;
    default:
      return { level: "off", word: source.state, words: told };
  }
  const idle = mainTrack(stream)?.last_frame_age ?? 0;
  if (idle > FROZEN_AFTER_S) {
    return { level: "bad", word: "frozen", words: `connected, but no picture for ${duration(idle)}` };
  }
  if (loss !== null && loss >= LOSSY) {
    return { level: "warn", word: "losing packets", words: `${percent(loss)} of its packets were lost in the last minute` };
  }
  const outages = hour(source.outages, now);
  if (outages >= UNSTEADY) {
    return { level: "warn", word: "unsteady", words: `${counted(outages, "outage")} in the last hour` };
  }
  return { level: "good", word: "live", words: told };
}

/** Since when a stream has been as it is: an outage goes on from one try to the next. */
export function sinceOf({ source }) {
  const outage = source.outages?.list?.[0];
  return Date.parse(outage && outage.end === null ? outage.start : source.since);
}

/** Sorts entries `{ name, trouble }` in place: the worst level first, and by name, so that little moves. */
export function byTrouble(entries) {
  const rank = ({ trouble }) => LEVELS.indexOf(trouble.level);
  return entries.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** `12 streams: 1 retrying, 11 live`; the worst first. */
export function summary(entries) {
  if (entries.length === 0) return "no streams";
  const counts = new Map();
  for (const { trouble } of byTrouble([...entries])) counts.set(trouble.word, (counts.get(trouble.word) ?? 0) + 1);
  const parts = [...counts].map(([word, count]) => `${count} ${word}`);
  return `${counted(entries.length, "stream")}: ${parts.join(", ")}`;
}

/** How many streams are on each level, in the order of [LEVELS]. */
export function balance(entries) {
  return LEVELS.map((level) => ({ level, count: entries.filter(({ trouble }) => trouble.level === level).length }));
}
