// The live pictures of the wall: only of tiles in sight, only so many at once, and never a camera woken up for it.

import { mark, write } from "./dom.js";
import { LivePicture } from "./live.js";

/** Pictures at once: each is a connection and a decoder. */
const AT_ONCE = matchMedia("(max-width: 40rem)").matches ? 4 : 16;
/** A tile that was scrolled past does not start. */
const SETTLED_MS = 150;

export class Pictures {
  #tiles = new Map();
  #playing = new Map();
  #seen = new Set();
  #entries = [];
  #on = true;
  #wanted = true;
  #timer = 0;
  #observer = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting) this.#seen.add(target.dataset.key);
      else this.#seen.delete(target.dataset.key);
    }
    this.#later();
  }, { rootMargin: "80px" });

  /** A new tile. */
  add(name, tile) {
    this.#tiles.set(name, tile);
    this.#observer.observe(tile);
  }

  /** What is on the wall now, in its order. */
  update(entries) {
    this.#entries = entries;
    const names = new Set(entries.map(({ name }) => name));
    for (const [name, tile] of this.#tiles) {
      if (names.has(name)) continue;
      this.#observer.unobserve(tile);
      this.#tiles.delete(name);
      this.#seen.delete(name);
    }
    this.#choose();
  }

  /** Whether the wall is what is looked at. */
  set on(on) {
    this.#on = on;
    this.#choose();
  }

  /** Whether the visitor wants pictures. */
  set wanted(wanted) {
    this.#wanted = wanted;
    this.#choose();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#choose(), SETTLED_MS);
  }

  #choose() {
    const able = this.#entries.filter((entry) => this.#plays(entry)).map(({ name }) => name);
    const chosen = new Set(able.slice(0, AT_ONCE));
    for (const [name, picture] of this.#playing) {
      if (chosen.has(name)) continue;
      picture.destroy();
      this.#playing.delete(name);
    }
    for (const name of chosen) if (!this.#playing.has(name)) this.#start(name);
    for (const entry of this.#entries) this.#say(entry, able);
  }

  #plays({ name, stream }) {
    return this.#on && this.#wanted && this.#seen.has(name) && stream.source.state === "live" && !stream.source.on_demand && hasVideo(stream);
  }

  #start(name) {
    const { screen } = this.#tiles.get(name).parts;
    const picture = new LivePicture(screen, name, {
      audio: false,
      onStatus: (status) => {
        const tile = this.#tiles.get(name);
        if (!tile || this.#playing.get(name) !== picture) return;
        tile.picture = status;
        mark(tile, "data-picture", status.frame > 0 && status.state === "playing" ? "shown" : null);
      },
    });
    this.#playing.set(name, picture);
    picture.play();
  }

  // In place of a picture, why there is none.
  #say({ name, stream }, able) {
    const tile = this.#tiles.get(name);
    const plays = this.#playing.has(name);
    if (!plays) mark(tile, "data-picture", null);
    const { message } = tile.parts;
    if (stream.source.state !== "live" || tile.dataset.level === "bad") write(message, tile.words);
    else if (!hasVideo(stream)) write(message, "no video track");
    else if (stream.source.on_demand) write(message, "on demand: open it to watch");
    else if (!this.#wanted) write(message, "pictures are off");
    else if (plays) write(message, tile.picture?.state === "failed" ? tile.picture.words : "");
    else if (able.includes(name)) write(message, `open it to watch: ${AT_ONCE} pictures play at once`);
    else write(message, "");
  }
}

function hasVideo(stream) {
  return stream.tracks.some(({ kind }) => kind === "video");
}
