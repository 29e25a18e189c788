// How the page writes numbers and times. Pure, so that node can test it.

/** What stands where there is no number. */
export const NONE = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Frames a second: `25.0`. */
export function frames(value) {
  return known(value) ? value.toFixed(1) : NONE;
}

/** Bits a second: `640 kbit/s`, `4.2 Mbit/s`. */
export function bitRate(value) {
  if (!known(value)) return NONE;
  return value < 999_500 ? `${Math.round(value / 1e3)} kbit/s` : `${(value / 1e6).toFixed(1)} Mbit/s`;
}

/** Milliseconds, with as many digits as mean something: `0.31 ms`, `4.2 ms`, `118 ms`, `12.4 s`. */
export function milliseconds(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 9950) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(size < 0.995 ? 2 : size < 9.95 ? 1 : 0)} ms`;
}

/** A share from 0 to 1: `0 %`, `0.02 %`, `1.4 %`, `12 %`. */
export function percent(value) {
  if (!known(value)) return NONE;
  const share = value * 100;
  if (share === 0) return "0 %";
  return `${share.toFixed(share < 0.995 ? 2 : share < 9.95 ? 1 : 0)} %`;
}

/** Seconds, in the two units that matter: `0.4 s`, `42 s`, `3 min 20 s`, `5 h 12 min`, `4 d 3 h`. */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 9.95) return `${Math.max(seconds, 0).toFixed(1)} s`;
  const whole = Math.round(seconds);
  const steps = [[86_400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  for (const [size, unit, part, partUnit] of steps) {
    if (whole < size) continue;
    const rest = Math.floor((whole % size) / part);
    return rest ? `${Math.floor(whole / size)} ${unit} ${rest} ${partUnit}` : `${Math.floor(whole / size)} ${unit}`;
  }
  return `${whole} s`;
}

/** The same in whole seconds and one unit less, for what counts on while one looks: `7 s`, `3 min`, `5 h`. */
export function age(seconds) {
  if (!known(seconds)) return NONE;
  const text = duration(Math.max(Math.floor(seconds), 0));
  return seconds < 9.95 ? `${Math.max(Math.floor(seconds), 0)} s` : text;
}

/** Bytes: `940 B`, `12.4 MB`. */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(size < 9.95 ? 1 : 0)} ${units[unit]}`;
}

/** A moment on the visitor's clock: `14:03:10`, with the day where it is not `now`'s. */
export function clock(at, now = new Date()) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === now.toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** `1 viewer`, `3 viewers`. */
export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
