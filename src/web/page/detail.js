// One stream, opened: player, source, history, viewers, log.

import { ask } from "./api.js";
import { Charts } from "./charts.js";
import { Day } from "./day.js";
import { copyOf, mark, parts, write } from "./dom.js";
import { facts, tracks, urls } from "./facts.js";
import { Feed } from "./feed.js";
import { age } from "./format.js";
import { Log } from "./log.js";
import { Player } from "./player.js";
import { apiPath } from "./route.js";
import { sinceOf } from "./trouble.js";
import { Viewers } from "./viewers.js";

/** A sample is taken every ten seconds; what lies between is in the tiles. */
const HISTORY_EVERY_MS = 10_000;

export class Detail {
  #root = document.getElementById("detail");
  #settings;
  #open = null;

  /** `settings` has the dialogs. */
  constructor(settings) {
    this.#settings = settings;
  }

  /** The stream that is open, or null. */
  get name() {
    return this.#open?.name ?? null;
  }

  /** Opens a stream, with the focus on its name. `play`: whether pictures start by themselves. */
  open(name, play) {
    this.close();
    const article = copyOf("detail-view");
    this.#root.replaceChildren(article);
    this.#root.hidden = false;
    const shown = parts(article);
    const open = { name, play, article, parts: shown, word: null, started: false };
    open.player = new Player(name, shown);
    open.viewers = new Viewers(shown);
    open.log = new Log(shown);
    open.charts = new Charts(shown.charts);
    open.day = new Day(shown.day);
    open.feed = new Feed(`api/v1/events?stream=${encodeURIComponent(name)}`, {
      viewers: ({ viewers }) => open.viewers.show(viewers),
      log: (lines) => open.log.add(lines.lines ?? lines),
    });
    open.timer = setInterval(() => this.#history(open), HISTORY_EVERY_MS);
    this.#open = open;
    write(shown.name, name);
    document.title = `${name} – Fanlight`;
    this.#wire(open);
    this.#history(open);
    open.log.load(name);
    shown.name.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  /** Closes it; gives the name of what was open. */
  close() {
    const open = this.#open;
    if (!open) return null;
    this.#open = null;
    clearInterval(open.timer);
    for (const part of ["feed", "player", "charts", "day"]) (open[part].close ?? open[part].destroy).call(open[part]);
    this.#root.hidden = true;
    this.#root.replaceChildren();
    document.title = "Fanlight";
    return open.name;
  }

  /** Shows the stream as it is now; without an entry it is not there. */
  show(entry) {
    const open = this.#open;
    if (!open) return;
    const { parts: shown } = open;
    if (!entry) {
      mark(open.article, "data-level", "off");
      write(shown.word, "not there");
      write(shown.since, "");
      write(shown.message, `There is no stream ${open.name}.`);
      return;
    }
    const { stream, trouble } = entry;
    mark(open.article, "data-level", trouble.level);
    write(shown.word, trouble.word);
    write(shown.since, `for ${age((Date.now() - sinceOf(stream)) / 1000)}`);
    write(shown.decision, trouble.words);
    open.player.trouble = trouble;
    open.player.audible = stream.tracks.some(({ kind }) => kind === "audio");
    facts(shown, entry);
    urls(shown, stream);
    tracks(shown.tracks, stream.tracks);
    if (open.word !== trouble.word && open.word !== null) this.#history(open);
    open.word = trouble.word;
    if (!open.started && open.play && !stream.source.on_demand) open.player.play();
    open.started = true;
  }

  async #history(open) {
    if (document.hidden && open.known) return;
    try {
      const { timeline, samples } = await ask(apiPath(open.name, "history"));
      if (open !== this.#open) return;
      open.known = true;
      open.day.show(timeline);
      open.charts.show(samples);
    } catch {
      // The feed of the streams says what is wrong.
    }
  }

  #wire(open) {
    const { parts: shown, name } = open;
    shown.reconnect.addEventListener("click", () =>
      this.#try(open, shown.reconnect, () => ask(apiPath(name, "reconnect"), { method: "POST" }), "Asked for a new connection."));
    shown.change.addEventListener("click", async () => {
      try {
        await this.#settings.edit(name, (told) => write(shown.outcome, told));
      } catch (error) {
        write(shown.outcome, error.message);
      }
    });
    shown.remove.addEventListener("click", () => this.#settings.remove(name));
  }

  async #try(open, button, does, done) {
    mark(button, "aria-disabled", "true");
    try {
      await does();
      write(open.parts.outcome, done);
      setTimeout(() => write(open.parts.outcome, ""), 6000);
    } catch (error) {
      write(open.parts.outcome, error.message);
    }
    mark(button, "aria-disabled", null);
  }
}
