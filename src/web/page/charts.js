// The charts of the last hour: one small chart a number, with one moment pointed at in all of them.

import { draw, make, mark, write } from "./dom.js";
import { bitRate, clock, frames, milliseconds, NONE } from "./format.js";
import { area, ceiling, indexAt, largest, latest, line, runs, slotsFor } from "./scale.js";

const HEIGHT = 64;

const whole = (value) => (value === null || value === undefined ? NONE : String(value));

const CHARTS = [
  { title: "Frames/s", format: frames, series: [{ key: "fps", name: "" }] },
  { title: "Bit rate", format: bitRate, series: [{ key: "bit_rate", name: "" }] },
  {
    title: "Latency",
    format: milliseconds,
    series: [{ key: "latency_p99_ms", name: "p99" }, { key: "latency_p50_ms", name: "p50" }],
  },
  { title: "Viewers", format: whole, least: 2, series: [{ key: "viewers", name: "" }] },
  { title: "Packets lost in 10 s", format: whole, least: 4, bad: true, series: [{ key: "lost", name: "" }] },
];

export class Charts {
  #charts;
  #axis = make("p", { class: "axis" });
  #samples = null;
  #at = null;

  constructor(root) {
    this.#charts = CHARTS.map((what) => new Chart(what));
    root.replaceChildren(...this.#charts.map(({ root }) => root), this.#axis);
    root.addEventListener("pointermove", (event) => this.#point(event));
    root.addEventListener("pointerleave", () => this.#show(null));
    this.resized = new ResizeObserver(() => this.#draw());
    this.resized.observe(root);
  }

  /** `samples` as the API gives them. */
  show(samples) {
    this.#samples = samples;
    this.#draw();
  }

  destroy() {
    this.resized.disconnect();
  }

  #draw() {
    if (!this.#samples) return;
    for (const chart of this.#charts) chart.draw(this.#samples);
    const minutes = (slotsFor(count(this.#samples)) * this.#samples.every_seconds) / 60;
    const labels = [1, 0.5, 0].map((part) => (part ? `${minutes * part} min ago` : "now"));
    if (this.#axis.textContent !== labels.join("")) this.#axis.replaceChildren(...labels.map((text) => make("span", {}, text)));
    this.#show(this.#at);
  }

  #point({ target, clientX }) {
    const plot = target.closest?.("svg");
    if (!plot || !this.#samples) return this.#show(null);
    const box = plot.getBoundingClientRect();
    this.#show(indexAt(clientX - box.left, count(this.#samples), slotsFor(count(this.#samples)), box.width));
  }

  #show(at) {
    this.#at = at;
    if (this.#samples) for (const chart of this.#charts) chart.point(this.#samples, at);
  }
}

class Chart {
  #what;
  #value = make("span", { class: "value" });
  #when = make("span", { class: "when" });
  #top = make("span", { class: "top" });
  #plot = draw("svg", { role: "img", height: HEIGHT });
  #areas;
  #lines;
  #cursor = draw("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });

  constructor(what) {
    this.#what = what;
    this.#areas = what.series.map(() => draw("path", { class: "area" }));
    this.#lines = what.series.map(() => draw("path", { class: "line" }));
    const grid = [0.5, HEIGHT / 2, HEIGHT - 0.5].map((y) => draw("line", { class: "grid", x1: 0, x2: "100%", y1: y, y2: y }));
    this.#plot.append(...grid, ...this.#areas, ...this.#lines, this.#cursor);
    this.root = make(
      "figure",
      { class: `chart${what.bad ? " bad" : ""}` },
      make("figcaption", {}, make("span", { class: "name" }, what.title), this.#when, this.#value),
      make("div", { class: "plot" }, this.#plot, this.#top),
    );
  }

  draw(samples) {
    const { series, least = 0, format, title } = this.#what;
    const width = this.#plot.clientWidth || 300;
    const slots = slotsFor(count(samples));
    const lists = series.map(({ key }) => samples[key] ?? []);
    // A little air above, or a steady value would look like a limit.
    const top = ceiling(Math.max(largest(...lists) * 1.08, least, 1e-6));
    lists.forEach((values, index) => {
      const found = runs(values.slice(-slots), slots, width, HEIGHT - 1, top);
      this.#lines[index].setAttribute("d", line(found));
      this.#areas[index].setAttribute("d", area(found, HEIGHT - 1));
    });
    write(this.#top, format(top));
    const known = lists.flat().filter((value) => value !== null && value !== undefined);
    mark(this.#plot, "aria-label", known.length
      ? `${title}: now ${this.#text(lists.map(latest))}, from ${format(Math.min(...known))} to ${format(Math.max(...known))} in the last hour`
      : `${title}: no numbers yet`);
  }

  /** Shows the values at an index, or with null the latest ones. */
  point(samples, at) {
    const lists = this.#what.series.map(({ key }) => samples[key] ?? []);
    write(this.#value, this.#text(lists.map((values) => (at === null ? latest(values) : (values[at] ?? null)))));
    write(this.#when, at === null ? "" : clock(timeOf(samples, at)));
    if (at === null) return mark(this.#cursor, "visibility", "hidden");
    const width = this.#plot.clientWidth;
    const x = width - (count(samples) - 1 - at) * (width / (slotsFor(count(samples)) - 1));
    for (const end of ["x1", "x2"]) mark(this.#cursor, end, x.toFixed(1));
    mark(this.#cursor, "visibility", "visible");
  }

  #text(values) {
    const { series, format } = this.#what;
    const texts = series.map(({ name }, index) => `${name} ${format(values[index])}`.trim());
    return texts.reverse().join(" · ");
  }
}

function count(samples) {
  return samples.fps?.length ?? 0;
}

function timeOf(samples, index) {
  return Date.parse(samples.from) + index * samples.every_seconds * 1000;
}
