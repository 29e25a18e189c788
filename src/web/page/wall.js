// The wall: a tile a stream, the ones in trouble first.

import { copyOf, fillList, mark, parts, write } from "./dom.js";
import { columns, widest } from "./fit.js";
import { age, bitRate, frames, milliseconds, percent } from "./format.js";
import { Pictures } from "./pictures.js";
import { hashOf } from "./route.js";
import { sinceOf } from "./trouble.js";

/** Tiles keep their places while somebody points at them: one that slid away would be clicked wrongly. */
const STEADY_MS = 2500;

export class Wall {
  #root = document.getElementById("wall");
  #tiles = document.getElementById("tiles");
  #pictures = new Pictures();
  #entries = [];
  #order = [];
  #wanted = "";
  #pointed = -Infinity;

  constructor() {
    const moved = () => (this.#pointed = performance.now());
    for (const event of ["pointermove", "pointerdown", "focusin"]) this.#tiles.addEventListener(event, moved);
    new ResizeObserver(() => this.#fit()).observe(this.#root);
    addEventListener("resize", () => this.#fit());
  }

  /** Shows the streams; `entries` are sorted. */
  show(entries) {
    this.#entries = entries;
    const found = entries.filter(({ name }) => name.toLowerCase().includes(this.#wanted));
    const byName = new Map(found.map((entry) => [entry.name, entry]));
    if (performance.now() - this.#pointed > STEADY_MS) this.#order = found.map(({ name }) => name);
    // While they keep their places, new ones come last and the others go.
    const kept = this.#order.filter((name) => byName.has(name));
    const late = found.map(({ name }) => name).filter((name) => !kept.includes(name));
    this.#order = [...kept, ...late];
    const focused = document.activeElement;
    fillList(this.#tiles, this.#order.map((name) => byName.get(name)), {
      key: ({ name }) => name,
      create: (entry) => this.#create(entry),
      fill,
    });
    if (this.#tiles.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
    this.#pictures.update(this.#order.map((name) => byName.get(name)));
    document.getElementById("empty").hidden = entries.length > 0;
    document.getElementById("unfound").hidden = entries.length === 0 || found.length > 0;
    this.#fit();
  }

  /** Shows only streams with this in their names. */
  find(text) {
    this.#wanted = text.trim().toLowerCase();
    this.#pointed = -Infinity;
    this.show(this.#entries);
  }

  set hidden(hidden) {
    this.#root.hidden = hidden;
    this.#pictures.on = !hidden;
    if (!hidden) this.#fit();
  }

  /** Whether tiles show live pictures. */
  set pictures(wanted) {
    this.#pictures.wanted = wanted;
  }

  /** Puts the focus on a stream's tile. */
  focus(name) {
    [...this.#tiles.children].find(({ dataset }) => dataset.key === name)?.querySelector("a").focus();
  }

  #create({ name }) {
    const tile = copyOf("tile");
    tile.parts = parts(tile);
    write(tile.parts.link, name);
    tile.parts.link.href = hashOf(name);
    this.#pictures.add(name, tile);
    return tile;
  }

  #fit() {
    const [tile] = this.#tiles.children;
    if (this.#root.hidden || !tile) return;
    const foot = tile.offsetHeight - tile.firstElementChild.offsetHeight;
    const top = this.#root.getBoundingClientRect().top + scrollY;
    const height = innerHeight - top - MARGIN;
    const count = this.#tiles.childElementCount;
    this.#tiles.style.setProperty("--columns", columns(count, this.#root.clientWidth, height, foot));
    this.#tiles.style.setProperty("max-width", count === 1 ? `${widest(height, foot)}px` : "none");
  }
}

/** Kept free below the wall. */
const MARGIN = 16;

function fill(tile, { stream, trouble }) {
  const { parts } = tile;
  const { source } = stream;
  const live = source.state === "live";
  mark(tile, "data-level", trouble.level);
  write(parts.word, trouble.word);
  const seconds = (Date.now() - sinceOf(stream)) / 1000;
  write(parts.since, live ? "" : `for ${age(seconds)}`);
  write(parts.fps, frames(live ? stream.fps : null));
  write(parts.rate, bitRate(live ? stream.bit_rate : null));
  write(parts.latency, milliseconds(stream.latency_ms?.mean));
  write(parts.viewers, String(stream.viewers.count));
  write(parts.loss, percent(live ? stream.loss : null));
  write(parts.uptime, live ? age(seconds) : "–");
  tile.words = trouble.words;
}
