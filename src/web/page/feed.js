// The relay's server-sent events: kept open, opened again, and honest about how old the page is.

import { ask } from "./api.js";

/** Pauses before the feed is opened again: a relay that restarts is back soon, one that is gone is not asked all the time. */
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];
/** The relay says something every 15 s at least; longer, and the connection died without anybody's noticing. */
const SILENCE_MS = 35_000;

/**
 * One feed. `path` is relative to the page, `handlers` are by event name and get parsed JSON, `onState` gets null while
 * all is well and words otherwise. `refused` is asked for the words when the relay does not let us listen.
 */
export class Feed {
  #path;
  #handlers;
  #onState;
  #source = null;
  #timer = 0;
  #watch = 0;
  #tries = 0;
  #heard = Date.now();
  #visibility = () => this.#seen();

  constructor(path, handlers, onState = () => {}) {
    this.#path = path;
    this.#handlers = handlers;
    this.#onState = onState;
    document.addEventListener("visibilitychange", this.#visibility);
    this.#seen();
  }

  /** Ends it for good. */
  close() {
    document.removeEventListener("visibilitychange", this.#visibility);
    this.#stop();
  }

  // A hidden page needs nothing, and a browser has only six connections for all its tabs.
  #seen() {
    if (document.hidden) this.#stop();
    else if (!this.#source) this.#open();
  }

  #stop() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#stop();
    this.#heard = Date.now();
    const source = new EventSource(this.#path);
    this.#source = source;
    for (const [name, handler] of Object.entries(this.#handlers)) {
      source.addEventListener(name, ({ data }) => {
        this.#alive();
        handler(JSON.parse(data));
      });
    }
    source.addEventListener("alive", () => this.#alive());
    source.onopen = () => this.#alive();
    source.onerror = () => this.#lost();
    this.#watch = setInterval(() => Date.now() - this.#heard > SILENCE_MS && this.#lost(), 2000);
  }

  #alive() {
    this.#heard = Date.now();
    this.#tries = 0;
    this.#onState(null);
  }

  // The browser would try again by itself, but not after an answer like 503, and it says nothing.
  #lost() {
    this.#stop();
    const pause = PAUSES_MS[Math.min(this.#tries, PAUSES_MS.length - 1)];
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#open(), pause * (0.8 + Math.random() * 0.4));
    this.#explain();
  }

  // An event source hides the answer, so the list is asked for: it brings the page up to date, or says what is wrong.
  async #explain() {
    try {
      const { streams } = await ask("api/v1/streams");
      this.#handlers.streams?.({ streams });
      if (this.#tries > 1) this.#onState("Live updates do not come through; the page is brought up to date every few seconds.");
    } catch (error) {
      this.#onState(`${error.message} What stands here is old; trying again.`);
    }
  }
}
