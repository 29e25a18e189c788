// The last day of a stream: a bar of what it did, and the latest changes in words.

import { draw, fillList, make, mark, write } from "./dom.js";
import { clock } from "./format.js";
import { inWords, marks, segments, spanOf, summary } from "./spells.js";

const HEIGHT = 36;
const SHOWN = 8;

export class Day {
  #bar = draw("svg", { role: "img", class: "daybar", height: HEIGHT });
  #hours = make("div", { class: "hours", "aria-hidden": "true" });
  #pointed = make("p", { class: "pointed", "aria-hidden": "true" });
  #summary = make("p", { class: "quiet" });
  #changes = make("ol", { class: "changes", "aria-label": "The latest changes" });
  #timeline = [];
  #found = [];

  constructor(root) {
    root.replaceChildren(this.#summary, this.#bar, this.#hours, this.#pointed, this.#changes);
    this.#bar.addEventListener("pointermove", (event) => this.#point(event));
    this.#bar.addEventListener("pointerleave", () => write(this.#pointed, ""));
    this.resized = new ResizeObserver(() => this.#draw());
    this.resized.observe(root);
  }

  /** `timeline` as the API gives it, the oldest first. */
  show(timeline) {
    this.#timeline = timeline;
    this.#draw();
  }

  destroy() {
    this.resized.disconnect();
  }

  #draw() {
    const [now, width] = [Date.now(), this.#bar.clientWidth || 600];
    const span = spanOf(this.#timeline, now);
    this.#found = segments(this.#timeline, now, width, span);
    this.#bar.replaceChildren(...this.#found.map(({ x, width, kind }) =>
      draw("rect", { class: kind, x: x.toFixed(2), y: 0, width: width.toFixed(2), height: HEIGHT })));
    write(this.#summary, summary(this.#timeline, now));
    mark(this.#bar, "aria-label", `Up to the last day as a bar. ${this.#summary.textContent}`);
    this.#label(now, width, span);
    const latest = this.#timeline.slice(-SHOWN).reverse();
    fillList(this.#changes, latest, {
      key: ({ from }) => from,
      create: () => make("li", {}, make("i"), make("time"), make("span")),
      fill: (item, spell) => {
        const [dot, time, words] = item.children;
        mark(dot, "class", segments([spell], now, 1)[0]?.kind ?? "off");
        write(time, clock(spell.from));
        write(words, inWords(spell, now));
      },
    });
  }

  #label(now, width, span) {
    const places = marks(span, now, width < 520).map((at) => [at, ((at - (now - span)) / span) * width]);
    this.#hours.replaceChildren(...places.filter(([, x]) => x > 18 && x < width - 18).map(([at, x]) => {
      const label = make("span", {}, new Date(at).toTimeString().slice(0, 5));
      label.style.left = `${x.toFixed(1)}px`;
      return label;
    }));
  }

  #point({ clientX }) {
    const x = clientX - this.#bar.getBoundingClientRect().left;
    const hit = this.#found.findLast((part) => x >= part.x && x <= part.x + part.width);
    write(this.#pointed, hit ? `${clock(hit.spell.from)}: ${inWords(hit.spell, Date.now())}` : "");
  }
}
