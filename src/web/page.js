// Keeps the table true: asks the API every second and writes only what changed, so that a selection survives.
"use strict";

const EVERY_MS = 1000;
const table = document.getElementById("streams");
const empty = document.getElementById("empty");
const trouble = document.getElementById("trouble");
const summary = document.getElementById("summary");

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function element(tag, attributes, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The same row as the server renders.
function makeRow(name) {
  const cell = (key, label) =>
    element("td", { role: "cell", class: "number", "data-cell": key, "data-label": label });
  return element("tr", { role: "row", "data-stream": name }, [
    element("th", { role: "rowheader", scope: "row" }, [
      element("span", { class: "name" }, [name]),
      element("span", { class: "url" }, [element("code", { "data-cell": "url" })]),
    ]),
    element("td", { role: "cell", class: "source" }, [
      element("span", { class: "state", "data-cell": "state" }),
      element("span", { class: "decision", "data-cell": "decision" }),
      element("span", { class: "why", "data-cell": "why" }),
      element("span", { class: "failure" }, ["last failure ", element("span", { "data-cell": "failure" })]),
      element("details", { class: "history" }, [
        element("summary", {}, ["history"]),
        element("span", { class: "strategy", "data-cell": "strategy" }),
        element("ul", { "data-cell": "history" }),
      ]),
    ]),
    cell("fps", "Frames/s"),
    cell("bit_rate", "Bit rate"),
    cell("latency", "Latency"),
    cell("viewers", "Viewers"),
  ]);
}

function bitRate(bits) {
  return bits < 1e6 ? `${(bits / 1e3).toFixed(0)} kbit/s` : `${(bits / 1e6).toFixed(1)} Mbit/s`;
}

function clock(at) {
  return `${at.slice(0, 10)} ${at.slice(11, 19)} UTC`;
}

function seconds(seconds) {
  return seconds < 9.95 ? `${seconds.toFixed(1)} s` : `${seconds.toFixed(0)} s`;
}

const SHOWN = 8;

// The same lines as the server renders.
function historyLines({ learned, outages, last_errors }) {
  const lines = [...learned];
  if (outages.count > 0) {
    const word = outages.count === 1 ? "outage" : "outages";
    lines.push(`${outages.count} ${word} in the last day, ${seconds(outages.seconds)} in all`);
  }
  for (const outage of outages.list.slice(0, SHOWN)) {
    const away = outage.end ? "away for" : "away, so far for";
    lines.push(`${clock(outage.start)}: ${away} ${seconds(outage.seconds)}: ${outage.message}`);
  }
  for (const error of last_errors.slice(0, SHOWN)) {
    const times = error.count > 1 ? `, ${error.count} times` : "";
    lines.push(`${clock(error.last)}: ${error.class}${times}: ${error.message}`);
  }
  return lines;
}

function fillHistory(list, lines) {
  lines.forEach((line, index) => {
    if (!list.children[index]) list.append(element("li", {}));
    write(list.children[index], line);
  });
  while (list.children.length > lines.length) list.lastElementChild.remove();
  list.parentElement.hidden = lines.length === 0;
}

function failureText(failure, decision) {
  const time = clock(failure.at);
  return decision.endsWith(failure.message) ? time : `${time}: ${failure.message}`;
}

function fill(row, stream) {
  const cell = (key) => row.querySelector(`[data-cell="${key}"]`);
  const { source } = stream;
  const state = cell("state");
  write(state, source.state);
  state.className = `state ${source.state}`;
  write(cell("decision"), source.decision);
  const failure = source.last_failure;
  write(cell("failure"), failure ? failureText(failure, source.decision) : "");
  cell("failure").parentElement.hidden = !failure;
  for (const key of ["why", "strategy"]) {
    write(cell(key), source[key] ?? "");
    cell(key).hidden = !source[key];
  }
  fillHistory(cell("history"), historyLines(source));
  write(cell("url"), stream.urls.rtsp ?? "");
  cell("url").parentElement.hidden = !stream.urls.rtsp;
  write(cell("fps"), stream.fps === null ? "–" : stream.fps.toFixed(1));
  write(cell("bit_rate"), stream.fps === null ? "–" : bitRate(stream.bit_rate));
  write(cell("latency"), stream.latency_ms ? `${stream.latency_ms.mean.toFixed(2)} ms` : "–");
  write(cell("viewers"), String(stream.viewers.count));
  addCopy(row, stream.name);
}

// Without a script there is nothing a button could do, so the server renders none.
function addCopy(row, name) {
  const url = row.querySelector(".url");
  if (url.querySelector("button")) return;
  const button = element("button", { type: "button", "aria-label": `copy the URL of ${name}` }, ["copy"]);
  button.addEventListener("click", async () => {
    const code = url.querySelector("code");
    let copied = false;
    try {
      // Only there on secure origins, and a relay in a home network is none.
      await navigator.clipboard.writeText(code.textContent);
      copied = true;
    } catch {
      getSelection().selectAllChildren(code);
      copied = document.execCommand("copy");
    }
    write(button, copied ? "copied" : "selected");
    setTimeout(() => write(button, "copy"), 2000);
  });
  url.append(button);
}

function show(streams) {
  const rows = new Map([...table.rows].map((row) => [row.dataset.stream, row]));
  streams.forEach((stream, index) => {
    const row = rows.get(stream.name) ?? makeRow(stream.name);
    rows.delete(stream.name);
    fill(row, stream);
    if (table.rows[index] !== row) table.insertBefore(row, table.rows[index] ?? null);
  });
  for (const gone of rows.values()) gone.remove();
  empty.hidden = streams.length > 0;
  const counts = new Map();
  for (const { source } of streams) counts.set(source.state, (counts.get(source.state) ?? 0) + 1);
  const states = [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
  const total = streams.length === 1 ? "1 stream" : `${streams.length} streams`;
  write(summary, streams.length === 0 ? "no streams" : `${total}: ${states}`);
}

async function update() {
  if (!document.hidden) {
    try {
      const answer = await fetch("api/v1/streams", { signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      show((await answer.json()).streams);
      trouble.hidden = true;
    } catch (error) {
      const text = `The relay does not answer (${error.message}). What stands here is old.`;
      write(trouble, text);
      trouble.hidden = false;
    }
  }
  setTimeout(update, EVERY_MS);
}

for (const row of table.rows) addCopy(row, row.dataset.stream);
update();
