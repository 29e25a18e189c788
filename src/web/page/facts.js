// The words and numbers of one stream: its source, its addresses, its tracks.

import { fillList, make, mark, write } from "./dom.js";
import { age, bitRate, clock, counted, duration, frames, milliseconds, NONE, percent } from "./format.js";
import { apiPath } from "./route.js";

/** What the source did, was decided and comes next. */
export function facts({ facts: list, learned }, { stream, heard }) {
  const { source } = stream;
  const failure = source.last_failure;
  const wait = source.next_try_in === null ? null : source.next_try_in - (Date.now() - heard) / 1000;
  const shown = [
    ["From", source.from?.join(", ") || null],
    ["Next try", wait === null ? null : wait >= 1 ? `in ${age(wait)}` : "now"],
    ["Decided", source.why],
    ["Last failure", failure && `${clock(failure.at)}: ${failure.message}`],
    ["Failed attempts", source.attempt || null],
    ["Strategy", source.strategy],
    ["Over", source.transport?.toUpperCase()],
    ["On demand", source.on_demand ? "connected only while somebody watches" : null],
    ["Sessions", source.sessions],
    ["Loss (1 min)", stream.loss === undefined || stream.loss === null ? null : percent(stream.loss)],
    ["Outages in a day", source.outages && (source.outages.count ? `${source.outages.count}, ${duration(source.outages.seconds)} in all` : "none")],
    ...(source.last_errors ?? []).slice(0, 4).map((error) => [
      "Error", `${clock(error.last)}: ${error.message}${error.count > 1 ? ` (${counted(error.count, "time")})` : ""}`,
    ]),
  ];
  pairs(list, shown);
  fillList(learned, source.learned ?? [], { key: (line) => line, create: () => make("li"), fill: write });
  learned.hidden = learned.childElementCount === 0;
}

/** The addresses, each with a button that copies it. */
export function urls({ urls: list, qr }, stream) {
  const given = Object.entries(stream.urls).filter(([, url]) => url);
  fillList(list, given, {
    key: ([kind]) => kind,
    create: ([kind]) => {
      const code = make("code");
      const button = make("button", { type: "button", class: "small", "aria-label": `Copy the ${kind.toUpperCase()} URL` }, "Copy");
      button.addEventListener("click", () => copy(code, button));
      return make("li", {}, make("span", { class: "kind" }, kind.toUpperCase()), code, button);
    },
    fill: (item, [, url]) => write(item.children[1], url),
  });
  if (!qr.firstChild && given.length > 0) {
    const image = make("img", { src: apiPath(stream.name, "qr.svg"), alt: `QR code of the URL of ${stream.name}`, width: 132, height: 132 });
    image.addEventListener("error", () => (qr.hidden = true));
    qr.append(image, make("figcaption", {}, "for a phone's player"));
  }
  qr.hidden ||= given.length === 0;
}

async function copy(code, button) {
  let copied = true;
  try {
    // Only there on secure origins, and a relay in a home network is none.
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    copied = document.execCommand("copy");
  }
  write(button, copied ? "Copied" : "Selected");
  setTimeout(() => write(button, "Copy"), 2000);
}

/** What is known of each track. */
export function tracks(root, list) {
  fillList(root, list, {
    key: ({ id }) => id,
    create: () => make("div", { class: "track" }, make("h4"), make("dl", { class: "facts" })),
    fill: (element, track) => {
      const [title, details] = element.children;
      write(title, `${track.id}: ${track.kind}, ${track.encoding ?? track.codec}`);
      pairs(details, trackFacts(track));
    },
  });
}

function trackFacts(track) {
  const some = (value, text) => (value === null || value === undefined ? null : text(value));
  return [
    ["Picture", some(track.width, () => `${track.width}×${track.height}`)],
    ["Profile", [track.profile, track.level && `level ${track.level}`].filter(Boolean).join(", ") || null],
    ["Channels", track.channels],
    ["Payload type", `${track.payload_type}, ${track.clock_rate} Hz`],
    [track.kind === "video" ? "Frames/s" : "Units/s", frames(track.fps)],
    ["Bit rate", bitRate(track.bit_rate)],
    ["Key frame every", some(track.key_frame_interval, duration)],
    ["Last frame", some(track.last_frame_age, (seconds) => `${age(seconds)} ago`)],
    ["Frames", track.frames],
    ["Packets", track.packets],
    ["Lost, reordered", `${track.lost}, ${track.reordered}`],
    ["Jitter", milliseconds(track.jitter_ms)],
    ["Behind its clock", some(track.camera_delay_ms, milliseconds)],
  ];
}

function pairs(list, shown) {
  const given = shown.filter(([, value]) => value !== null && value !== undefined && value !== NONE);
  fillList(list, given.map((pair, index) => [...pair, `${index}${pair[0]}`]), {
    key: ([, , key]) => key,
    create: ([name]) => make("div", {}, make("dt", {}, name), make("dd")),
    fill: (element, [, value]) => write(element.lastElementChild, String(value)),
  });
}
