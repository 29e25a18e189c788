// Where the values of a chart lie. Pure, so that node can test it.

/** How many samples the width of a chart holds: no more than needed of ten minutes, half an hour and an hour. */
export function slotsFor(count) {
  return [60, 180].find((slots) => count <= slots) ?? 360;
}

/** The next number of the kind people count in (1, 2, 2.5, 5 and so on), at or above `value`. */
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => value <= step * power * (1 + 1e-9));
  return Number((step * power).toPrecision(6));
}

/** The largest of several lists of numbers with holes, 0 without any. */
export function largest(...lists) {
  return lists.reduce((most, list) => list.reduce((most, value) => Math.max(most, value ?? 0), most), 0);
}

/** The last number of a list with holes; null without any. */
export function latest(list) {
  return list.at(-1) ?? null;
}

/**
 * Runs of points `[x, y]` without holes. `values` are evenly spaced and the last one stands at the right edge; `slots`
 * is how many the whole width holds.
 */
export function runs(values, slots, width, height, top) {
  const step = width / Math.max(slots - 1, 1);
  const found = [];
  let run = [];
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      run = [];
      return;
    }
    if (run.length === 0) found.push(run);
    const x = width - (values.length - 1 - index) * step;
    run.push([round(x), round(height - (Math.min(value, top) / top) * height)]);
  });
  return found;
}

/** The path of a line through runs; a single point becomes a short dash. */
export function line(runs) {
  return runs.map((run) => {
    const [[x, y]] = run;
    if (run.length === 1) return `M${round(x - 0.75)} ${y}h1.5`;
    return `M${run.map((point) => point.join(" ")).join("L")}`;
  }).join("");
}

/** The path of the area under runs. */
export function area(runs, height) {
  return runs.filter((run) => run.length > 1).map((run) => {
    const [first, last] = [run[0][0], run.at(-1)[0]];
    return `M${first} ${height}L${run.map((point) => point.join(" ")).join("L")}L${last} ${height}Z`;
  }).join("");
}

/** The index of the value at `x`, or null where there is none. */
export function indexAt(x, count, slots, width) {
  const index = Math.round(count - 1 - ((width - x) / width) * Math.max(slots - 1, 1));
  return index >= 0 && index < count ? index : null;
}

function round(value) {
  return Math.round(value * 10) / 10;
}
