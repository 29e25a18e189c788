// Who watches a stream, and the button that ends it.

import { ask } from "./api.js";
import { announce, fillList, make, mark, write } from "./dom.js";
import { age, bytes, NONE } from "./format.js";

export class Viewers {
  #parts;

  constructor(parts) {
    this.#parts = parts;
    this.show([]);
  }

  /** `viewers` as the API gives them. */
  show(viewers) {
    const parts = this.#parts;
    write(parts["viewer-count"], viewers.length ? String(viewers.length) : "");
    parts["no-viewers"].hidden = viewers.length > 0;
    parts["viewer-box"].hidden = viewers.length === 0;
    fillList(parts.viewers, viewers, { key: ({ id }) => id, create: row, fill });
  }
}

function row(viewer) {
  const cells = ["", "", "number", "number", "number", "number"].map((kind) => make("td", kind ? { class: kind } : {}));
  const button = make("button", { type: "button", class: "small", "aria-label": `Disconnect ${viewer.peer}, viewer ${viewer.id}` }, "Disconnect");
  button.addEventListener("click", () => disconnect(viewer, button));
  const made = make("tr", {}, ...cells, make("td", {}, button));
  made.fields = cells;
  return made;
}

function fill(row, viewer) {
  const [peer, transport, lag, skipped, sent, since] = row.fields;
  write(peer, viewer.peer);
  mark(peer, "title", viewer.user_agent ?? "");
  write(transport, viewer.transport);
  write(lag, viewer.lag_seconds === null ? "paused" : `${viewer.lag_seconds.toFixed(1)} s`);
  mark(row, "data-late", viewer.lag_seconds > 1 ? "yes" : null);
  write(skipped, String(viewer.skipped_frames));
  write(sent, bytes(viewer.bytes));
  write(since, viewer.since ? age((Date.now() - Date.parse(viewer.since)) / 1000) : NONE);
}

async function disconnect(viewer, button) {
  button.setAttribute("aria-disabled", "true");
  try {
    await ask(`api/v1/viewers/${viewer.id}`, { method: "DELETE" });
    announce(`Disconnected ${viewer.peer}`);
  } catch (error) {
    button.removeAttribute("aria-disabled");
    write(button, error.status === 404 ? "Gone" : "Not allowed");
    button.title = error.message;
    announce(error.message);
  }
}
