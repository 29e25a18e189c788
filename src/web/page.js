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
      element("span", { class: "failure" }, ["last failure ", element("span", { "data-cell": "failure" })]),
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

function failureText(failure, decision) {
  const time = `${failure.at.slice(0, 10)} ${failure.at.slice(11, 19)} UTC`;
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
