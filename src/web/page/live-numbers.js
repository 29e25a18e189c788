// The numbers of a live picture: frames, rates, and how old what is shown is.

export class Numbers {
  latency = null;
  #frame = 0;
  #shown = [];
  #bytes = [];
  #size = [0, 0];
  #heard = performance.now();
  /** The relay's clock less ours, and the round trip that told it: the shortest of late is the truest. */
  #clocks = [];

  /** Something came. */
  heard() {
    this.#heard = performance.now();
  }

  /** Milliseconds since something came. */
  silentFor() {
    return performance.now() - this.#heard;
  }

  /** So many bytes came. */
  came(bytes) {
    this.#bytes.push([performance.now(), bytes]);
  }

  /** The relay answered a ping. */
  pong({ pong, clock }) {
    const now = performance.now();
    this.#clocks.push({ ahead: clock - (pong + now) / 2, trip: now - pong });
    if (this.#clocks.length > 6) this.#clocks.shift();
  }

  /** The relay's clock, in milliseconds since 1970; `null` before it has answered. */
  relayTime() {
    if (this.#clocks.length === 0) return null;
    const best = this.#clocks.reduce((a, b) => (b.trip < a.trip ? b : a));
    return performance.now() + best.ahead;
  }

  /** A frame of this age is on the screen. */
  shown(age, width, height) {
    this.#frame += 1;
    this.#shown.push(performance.now());
    this.#size = [width, height];
    if (age !== null) this.latency = this.latency === null ? age : this.latency + (age - this.latency) / 8;
  }

  /** What is to be told. */
  now(dropped) {
    const now = performance.now();
    const recent = (list, at) => {
      while (list.length > 0 && now - at(list[0]) > WINDOW_MS) list.shift();
      return list;
    };
    const shown = recent(this.#shown, (time) => time);
    const bytes = recent(this.#bytes, ([time]) => time);
    const span = (first) => Math.max(500, now - first) / 1000;
    return {
      frame: this.#frame,
      fps: shown.length > 1 ? (shown.length - 1) / Math.max(0.001, (shown.at(-1) - shown[0]) / 1000) : 0,
      bitRate: bytes.length > 0 ? (bytes.reduce((sum, [, count]) => sum + count, 0) * 8) / span(bytes[0][0]) : 0,
      latencyMs: shown.length > 0 && this.latency !== null ? Math.max(0, this.latency) : null,
      dropped,
      width: this.#size[0],
      height: this.#size[1],
    };
  }
}

const WINDOW_MS = 2000;
