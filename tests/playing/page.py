"""The page in a browser: Debian's chromium, driven by tests/page with what `npm ci` installed there."""

import json
import tempfile
from pathlib import Path

from .programs import BINARY, CLIP, ROOT, Failure, FileServer, ForeignServer, Relay, free_port, free_udp_pair, run

PAGE = ROOT / "tests/page"


def in_a_browser():
    """Pictures move, buttons do what they say, an outage is shown; nothing comes from elsewhere, nothing is inaccessible."""
    if not (PAGE / "node_modules/playwright-core").is_dir():
        raise Failure(f"first: npm ci --prefix {PAGE} (tests/run does)")
    clip = ("--loop", "--fps", "15", "--name", "jpeg")
    with (
        tempfile.TemporaryDirectory() as folder,
        FileServer(CLIP, *clip) as jpeg,
        ForeignServer() as h264,
    ):
        udp = free_udp_pair()
        listen = f"rtsp:\n  udp_ports: [{udp}, {udp + 1}]\n"
        config, guarded = Path(folder) / "fanlight.yml", Path(folder) / "guarded.yml"
        config.write_text(
            f"{listen}streams:\n  jpeg: {jpeg.url}\n  h264: {h264.url}/camera\n"
            f"  dead: rtsp://127.0.0.1:{free_port()}/dead\n"
        )
        guarded.write_text(
            f"rtsp: {{}}\nstreams:\n  demo: {{file: {CLIP}}}\n"
            "access:\n  - {deny: control}\n  - {allow: [watch, metrics]}\n"
        )
        with Relay("--config", config, stream="h264") as relay, Relay("--config", guarded) as other:
            given = {
                "page": f"http://127.0.0.1:{relay.http}/",
                "guarded": f"http://127.0.0.1:{other.http}/",
                "rtsp": relay.url_of(""),
                "camera": {
                    "pid": jpeg.process.pid,
                    "command": [str(BINARY), "serve-file", str(CLIP), "--listen", f"127.0.0.1:{jpeg.port}", *clip],
                },
            }
            status, said = run("node", PAGE / "browser.mjs", json.dumps(given), limit=150)
            for line in said.splitlines():
                print(f"      {line}", flush=True)
            if status != 0:
                raise Failure("the page does not hold")


CHECKS = {"page in a browser": in_a_browser}
