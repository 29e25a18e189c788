// The page: events in, wall or one stream out.

import { mark, wantsLessMotion, write } from "./dom.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { streamOf } from "./route.js";
import { Settings } from "./settings.js";
import { Streams } from "./streams.js";
import { balance, summary } from "./trouble.js";
import { Wall } from "./wall.js";

const streams = new Streams();
const wall = new Wall();
const settings = new Settings();
const detail = new Detail(settings);
const byId = (id) => document.getElementById(id);
let known = false;
let drawn = 0;

// Several events come at once; what they change is drawn once.
function later() {
  drawn ||= requestAnimationFrame(() => {
    drawn = 0;
    show();
  });
}

function show() {
  const entries = streams.sorted();
  if (!known) return;
  // A live region: written only when the words change, which they do when a state does.
  write(byId("summary"), summary(entries));
  showBalance(entries);
  if (detail.name === null) wall.show(entries);
  else detail.show(streams.get(detail.name));
}

// The wide bar under the title: how much of the wall is well.
function showBalance(entries) {
  const parts = balance(entries).filter(({ count }) => count > 0);
  const key = parts.map(({ level, count }) => `${level}${count}`).join();
  const bar = byId("balance");
  if (bar.dataset.shown === key) return;
  bar.dataset.shown = key;
  bar.replaceChildren(...parts.map(({ level, count }) => {
    const part = document.createElement("i");
    part.dataset.level = level;
    part.style.flexGrow = count;
    return part;
  }));
}

function route() {
  const name = streamOf(location.hash);
  wall.hidden = name !== null;
  if (name === detail.name) return;
  const left = detail.close();
  if (name !== null) detail.open(name, pictures());
  show();
  if (name === null && left !== null) wall.focus(left);
}

// Whether pictures move by themselves is the visitor's choice, and who asked for less motion chose already.
function pictures() {
  const chosen = localStorage.getItem("pictures");
  return chosen === null ? !wantsLessMotion() : chosen === "on";
}

function showPictures() {
  const on = pictures();
  mark(byId("pictures"), "aria-pressed", String(on));
  wall.pictures = on;
}

function trouble(words) {
  byId("trouble").hidden = words === null;
  write(byId("trouble"), words ?? "");
}

byId("tools").hidden = false;
byId("find").addEventListener("input", ({ target }) => {
  if (detail.name !== null) location.hash = "#/";
  wall.find(target.value);
});
byId("add").addEventListener("click", () => settings.add());
byId("pictures").addEventListener("click", () => {
  localStorage.setItem("pictures", pictures() ? "off" : "on");
  showPictures();
});
addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  const busy = document.fullscreenElement || document.querySelector("dialog[open]");
  if (event.key === "Escape" && !busy && detail.name !== null) location.hash = "#/";
});

showPictures();
route();
new Feed("api/v1/events", {
  streams: ({ streams: list }) => {
    known = true;
    streams.replace(list);
    later();
  },
  stream: (stream) => {
    streams.put(stream);
    later();
  },
  removed: ({ name }) => {
    streams.remove(name);
    later();
  },
}, trouble);
// What counts on while nothing happens.
setInterval(() => {
  if (document.hidden) return;
  streams.tick();
  later();
}, 1000);
