// Live pictures.

export class LivePicture {
  #onStatus;

  constructor(_container, _name, { onStatus = () => {} } = {}) {
    this.#onStatus = onStatus;
  }

  play() {
    this.#onStatus({ state: "failed", words: "this version has no live pictures", frame: 0 });
  }

  pause() {}

  stop() {
    this.#onStatus({ state: "stopped", words: "", frame: 0 });
  }

  async snapshot() {
    throw new Error("there is no picture");
  }

  set muted(_muted) {}

  destroy() {}
}
