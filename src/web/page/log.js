// The last log lines of one stream, the newest first.

import { ask } from "./api.js";
import { make, write } from "./dom.js";
import { clock } from "./format.js";
import { apiPath } from "./route.js";

const KEPT = 200;

export class Log {
  #list;
  #empty;
  #box;
  #seen = new Set();

  constructor(parts) {
    this.#list = parts.log;
    this.#empty = parts["no-log"];
    this.#box = parts["log-box"];
    this.#show();
  }

  /** Takes lines `{ at, level, message }`, the oldest first; ones that are there already change nothing. */
  add(lines) {
    for (const line of [lines].flat()) {
      const key = `${line.at} ${line.message}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      const level = line.level.toLowerCase();
      const item = make("li", { class: level }, make("time", {}, clock(line.at)), make("b", {}, level), make("span", {}, line.message));
      item.dataset.key = key;
      this.#list.prepend(item);
    }
    while (this.#list.childElementCount > KEPT) {
      this.#seen.delete(this.#list.lastElementChild.dataset.key);
      this.#list.lastElementChild.remove();
    }
    this.#show();
  }

  /** Asks for the lines up to now. */
  async load(name) {
    try {
      this.add((await ask(apiPath(name, "log"))).lines);
    } catch (error) {
      write(this.#empty, error.message);
    }
  }

  #show() {
    const some = this.#list.childElementCount > 0;
    this.#empty.hidden = some;
    this.#box.hidden = !some;
  }
}
