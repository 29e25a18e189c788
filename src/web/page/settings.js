// The dialogs that add, change and remove streams.

import { ask } from "./api.js";
import { announce, make, mark, parts, write } from "./dom.js";
import { apiPath, hashOf } from "./route.js";

/** Stands for a secret that is not shown. */
const HIDDEN = "***";

/** As the configuration's defaults have it. */
const DEFAULT = "";

const HINT = `Saved are all settings of this stream. ${HIDDEN} and a password that is not entered stay what they are, for the same camera; without the user name the password goes, too.`;

export class Settings {
  #dialog = document.getElementById("settings");
  #form = this.#dialog.querySelector("form");
  #parts = parts(this.#dialog);
  #confirm = document.getElementById("confirm");
  #confirmed = parts(this.#confirm);
  #name = null;
  /** The settings the stream has, without secrets. */
  #had = {};
  #done = () => {};

  constructor() {
    for (const [dialog, { cancel }] of [[this.#dialog, this.#parts], [this.#confirm, this.#confirmed]]) {
      cancel.addEventListener("click", () => dialog.close());
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.#confirm.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#removeNow();
    });
  }

  /** Asks for a new stream. */
  add() {
    this.#done = () => {};
    this.#show(null, "Add a stream", "");
  }

  /** Asks for other settings of a stream, beginning with those it has; `done` is told what became of them. */
  async edit(name, done) {
    this.#done = done;
    const settings = await ask(apiPath(name, "config"));
    this.#show(name, `Edit ${name}`, HINT, settings);
  }

  /** Asks whether a stream shall go. */
  remove(name) {
    this.#name = name;
    write(document.getElementById("confirm-title"), `Remove ${name}?`);
    write(this.#confirmed.text, "Its viewers are disconnected, and its camera is let go.");
    write(this.#confirmed.go, "Remove");
    write(this.#confirmed.wrong, "");
    this.#confirm.showModal();
  }

  #show(name, title, hint, settings = {}) {
    this.#name = name;
    this.#form.reset();
    this.#had = settings;
    write(document.getElementById("settings-title"), title);
    write(this.#parts.hint, hint);
    this.#parts.hint.hidden = !hint;
    this.#parts.wrong.replaceChildren();
    const { elements } = this.#form;
    elements.name.value = name ?? "";
    elements.name.readOnly = name !== null;
    elements.password.placeholder = settings.password === undefined ? "" : "as it is";
    fill(elements, settings);
    this.#dialog.showModal();
    (name === null ? elements.name : elements.source).focus();
  }

  async #save() {
    const { elements } = this.#form;
    const name = elements.name.value.trim();
    let body;
    try {
      body = settingsOf(elements, this.#had);
      if (!name) throw new Error("Name: what is the stream to be called?");
    } catch (error) {
      return this.#wrong(error);
    }
    mark(this.#parts.save, "aria-disabled", "true");
    try {
      const told = await ask(apiPath(name), { method: "PUT", body });
      this.#dialog.close();
      const words = outcome(name, told);
      announce(words);
      if (this.#name === null) location.hash = hashOf(name);
      this.#done(words);
    } catch (error) {
      this.#wrong(error);
    }
    mark(this.#parts.save, "aria-disabled", null);
  }

  #wrong({ message, problems = [] }) {
    const list = make("ul", {}, ...problems.map(({ key, message }) => make("li", {}, key ? `${key}: ${message}` : message)));
    this.#parts.wrong.replaceChildren(make("p", {}, message), ...(problems.length ? [list] : []));
  }

  async #removeNow() {
    try {
      const told = await ask(apiPath(this.#name), { method: "DELETE" });
      this.#confirm.close();
      location.hash = "#/";
      announce(outcome(this.#name, told));
    } catch (error) {
      write(this.#confirmed.wrong, error.message);
    }
  }
}

/** Puts a stream's settings into the form: keys without a field of their own go under "More settings". */
export function fill({ source, username, transport, on_demand, more }, settings) {
  const { source: from = [], username: user = "", password: _, transport: way, on_demand: waits, ...others } = settings;
  source.value = [from].flat().join("\n");
  username.value = user;
  transport.value = way ?? DEFAULT;
  on_demand.checked = String(waits) === "true"; // as text where it was written so
  more.value = Object.keys(others).length ? JSON.stringify(others, null, 1) : "";
  const details = more.closest("details");
  if (details) details.open = more.value !== "";
}

/** The settings as the form has them; a password that the stream `had` and that is not entered again stays. */
export function settingsOf({ source, username, password, transport, on_demand, more }, had = {}) {
  const urls = source.value.split(/\s+/).filter(Boolean);
  if (urls.length === 0) throw new Error("Camera: where does the stream come from?");
  let extra = {};
  if (more.value.trim()) {
    try {
      extra = JSON.parse(more.value);
    } catch (error) {
      throw new Error(`More settings: this is not JSON (${error.message}).`);
    }
  }
  // Without the user name it had, its password goes as well.
  const stays = had.password !== undefined && (username.value || !had.username);
  return {
    source: urls.length === 1 ? urls[0] : urls,
    ...(username.value ? { username: username.value } : {}),
    ...(password.value ? { password: password.value } : stays ? { password: HIDDEN } : {}),
    ...(transport.value === DEFAULT ? {} : { transport: transport.value }),
    ...(on_demand.checked || had.on_demand !== undefined ? { on_demand: on_demand.checked } : {}),
    ...extra,
  };
}

/** What became of a stream, and for how long. */
function outcome(name, { change, written, why_not_written: reason } = {}) {
  const done = { created: "Added", replaced: "Changed", unchanged: "Nothing to change in", removed: "Removed" }[change] ?? "Saved";
  if (written) return `${done} ${name}, in the configuration file as well.`;
  return `${done} ${name} until the relay restarts: the configuration file is as it was${reason ? ` (${reason})` : ""}.`;
}
