// What the page knows of the streams, fed by events.

import { byTrouble, troubleOf } from "./trouble.js";

/** All streams, by name. */
export class Streams {
  #entries = new Map();

  /** The whole list, as it is now. */
  replace(list) {
    const names = new Set(list.map(({ name }) => name));
    for (const name of this.#entries.keys()) if (!names.has(name)) this.#entries.delete(name);
    for (const stream of list) this.put(stream);
  }

  /** One stream, as it is now; gives its entry. */
  put(stream) {
    const heard = Date.now();
    const entry = { name: stream.name, stream, heard, trouble: troubleOf(stream, heard, heard) };
    this.#entries.set(stream.name, entry);
    return entry;
  }

  /** Time passed: what counts on without an event is said anew. */
  tick(now = Date.now()) {
    for (const entry of this.#entries.values()) entry.trouble = troubleOf(entry.stream, now, entry.heard);
  }

  /** A stream that is no more. */
  remove(name) {
    this.#entries.delete(name);
  }

  /** An entry: `{ name, stream, trouble, heard }`. */
  get(name) {
    return this.#entries.get(name);
  }

  /** All entries, the worst first. */
  sorted() {
    return byTrouble([...this.#entries.values()]);
  }
}
