"""Live pictures in Debian's chromium: the page's module against the relay, both ways, and how old a picture is on the screen."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from .programs import ROOT, Failure, ForeignServer, Relay, Skipped

SCRIPT = ROOT / "tests/page/live.mjs"
LIMIT = 90
"""Seconds for one picture; chromium starts slowly on a busy machine."""
OLDEST = 600
"""Milliseconds on a machine that does other things as well; README says what it is on one that does not."""


def shown(relay, stream, *options):
    """What chromium showed of a stream."""
    if not (shutil.which("node") and shutil.which("chromium")):
        raise Skipped("node or chromium is not installed")
    if not (SCRIPT.parent / "node_modules/playwright-core").exists():
        raise Skipped("playwright-core is not installed: npm ci in tests/page")
    command = ("node", SCRIPT, f"http://127.0.0.1:{relay.http}", stream, *options)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    if ended.returncode != 0:
        raise Failure(f"{stream} {' '.join(options)}: {ended.stderr[-2000:]}")
    print(f"    {stream} {' '.join(options)}: {ended.stdout.strip()}", flush=True)
    return json.loads(ended.stdout)


def check(what, found, **expected):
    wrong = {key: found[key] for key, value in expected.items() if found[key] != value}
    if wrong:
        raise Failure(f"{what}: {wrong}, not {expected}")


def live_picture_in_chromium():
    with ForeignServer() as camera, tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "live.yml")
        streams = {"clock": "/clock/1", "camera": "/camera", "mjpeg": "/mjpeg"}
        listed = "".join(f"  {name}: {camera.url}{path}\n" for name, path in streams.items())
        config.write_text(f"streams:\n{listed}")
        with Relay("--config", config, stream="camera") as relay:
            for stream, way, options in (
                ("mjpeg", "jpeg", ()),
                ("camera", "webcodecs", ("--sound",)),
                ("clock", "webcodecs", ("--stamped",)),
                ("clock", "mse", ("--stamped", "--way", "mse")),
            ):
                found = shown(relay, stream, *options)
                what = f"{stream} by {way}"
                check(what, found, way=way, size=[640, 360], still=True, left=0, complaints=[])
                if found["moved"] == 0:
                    raise Failure(f"{what}: the picture stands still")
                if found["snapshot"]["bytes"] < 1000:
                    raise Failure(f"{what}: the snapshot is empty: {found['snapshot']}")
                if way == "webcodecs" and found["age_ms"] and found["age_ms"]["median"] > OLDEST:
                    raise Failure(f"{what}: pictures are {found['age_ms']} ms old on the screen")


CHECKS = {"live picture in chromium": live_picture_in_chromium}
