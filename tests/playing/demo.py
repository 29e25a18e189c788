"""What the demo must do with real players. Each check is given one running relay of the demo."""

import json
import subprocess
import tempfile
import textwrap
from pathlib import Path

from .players import all_at_once, contains_run, ffmpeg, gstreamer, hashes, mpv, sees_mjpeg, FRAMES
from .programs import BINARY, CLIP, LIMIT, ROOT, Failure, Relay, free_port, free_udp_pair, run, run_apart
from .wire import Crowd

FPS = 15


def prints_its_urls(relay):
    expected = [relay.url, f"http://127.0.0.1:{relay.http}/", f"http://127.0.0.1:{relay.http}/metrics"]
    said = [line.split()[-1] for line in relay.said().splitlines()]
    if said != expected:
        raise Failure(f"stdout is not these URLs and nothing else: {expected}\n{relay.said()}")


def healthcheck(relay):
    for port, expected in ((relay.http, 0), (free_port(), 1)):
        for path in ("livez", "readyz", "healthz"):
            status, said = run(BINARY, "healthcheck", f"http://127.0.0.1:{port}/{path}", limit=15)
            if status != expected:
                raise Failure(f"port {port}, /{path}: exit {status} and not {expected}: {said}")


def configurations(_relay):
    """The files that the project ships are valid, and the documented one plays as it is."""
    for file in ("config/fanlight.yml", "config/compose.yml", "config/image.yml"):
        status, said, complaints = run_apart(BINARY, "check", ROOT / file)
        if status != 0 or complaints or "no problems" not in said:
            raise Failure(f"fanlight check {file}: exit {status}: {said}{complaints}")
    with tempfile.TemporaryDirectory() as folder:
        manifest = (ROOT / "config/kubernetes.yml").read_text()
        inside = manifest.split("  fanlight.yml: |\n")[1].split("\n---\n")[0]
        config = Path(folder) / "kubernetes.yml"
        config.write_text(textwrap.dedent(inside))
        status, said, complaints = run_apart("env", "DOOR_PASSWORD=known", BINARY, "check", config)
        if status != 0 or complaints or "no problems" not in said:
            raise Failure(f"the configuration in config/kubernetes.yml: exit {status}: {said}{complaints}")
        # But for its UDP ports, which another program may have.
        port, config = free_udp_pair(), Path(folder) / "fanlight.yml"
        documented = (ROOT / "config/fanlight.yml").read_text()
        config.write_text(documented.replace("udp_ports: [8000, 8001]", f"udp_ports: [{port}, {port + 1}]"))
        with Relay("--config", config, stream="clip"):
            pass


def pictures_are_the_clips(relay):
    """RTP/JPEG leaves headers out and the player makes them anew: the pictures must be the file's all the same."""
    clip = hashes(CLIP, before=("-f", "mjpeg"))
    seen = hashes(relay.url, "-frames:v", "45", before=("-rtsp_transport", "tcp"))
    if len(clip) != 120 or len(set(clip)) < 110:
        raise Failure(f"the clip has {len(clip)} pictures, {len(set(clip))} different: this proves nothing")
    if len(seen) != 45 or not contains_run(clip + clip, seen):
        raise Failure(f"{sum(picture in clip for picture in seen)} of {len(seen)} pictures are the clip's")


def ten_captures(relay):
    """Ten viewers' packets: everybody's own numbers, no gap, reports that agree with the clock, at once and again."""
    with Crowd() as crowd:
        for transport in ("tcp", "udp") * 5:
            crowd.add(relay.url, transport)
        crowd.expect("two sender reports for each", 12, lambda: all(len(v.reports) > 1 for v in crowd.viewers))
        for viewer in crowd.viewers:
            viewer.check()
            if viewer.reports[0].arrived - viewer.reports[-1].arrived > 6:
                raise Failure("sender reports are more than 6 s apart")
        for what in range(3):
            # A sequence number has 16 bits, and ten random ones meet once in 1500 times.
            if len({viewer.first[what] for viewer in crowd.viewers}) < (9 if what == 1 else 10):
                raise Failure(f"SSRC, seq and timestamp are not everybody's own: {[v.first for v in crowd.viewers]}")


def metrics(relay):
    """`promtool check metrics` is clean, rate and latency in them are what they are."""
    with Crowd() as crowd:
        for transport in ("tcp", "udp"):
            crowd.add(relay.url, transport)
        crowd.expect(
            f"fanlight_source_fps near {FPS}", 15,
            lambda: crowd.watch(0.5) or any(abs(fps - FPS) < 0.5 for fps in relay.metric("fanlight_source_fps")),
        )  # fmt: skip
        for transport in ("tcp", "udp"):
            viewers = relay.metric("fanlight_viewers", stream="demo", transport=transport)
            if viewers != [1]:
                raise Failure(f"fanlight_viewers over {transport}: {viewers} and not [1]")
        if relay.metric("fanlight_source_up", stream="demo") != [1]:
            raise Failure("fanlight_source_up is not 1")
    relay.wait_for("they have left", lambda: relay.viewers() == 0, 3)
    page = relay.get("/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=LIMIT,
    )  # fmt: skip
    if done.returncode != 0 or done.stdout.strip():
        raise Failure(f"promtool: exit {done.returncode}: {done.stdout.decode()}")
    for transport in ("tcp", "udp"):
        labels = {"stream": "demo", "transport": transport}
        count = sum(relay.metric("fanlight_relay_latency_seconds_count", **labels))
        total = sum(relay.metric("fanlight_relay_latency_seconds_sum", **labels))
        # Generous: the machine that runs the tests is busy with them.
        if count < 100 or not 0 < total / count < 0.05:
            raise Failure(f"relay latency over {transport}: {total} s in {count} packets")


def chain(relay):
    """A relay that pulls a relay; its log is asked for as JSON."""
    with Relay(relay.url, "--name", "again", "--log-format", "json", stream="again") as second:
        sees_mjpeg(second.url, FPS)
        all_at_once(
            [(ffmpeg, second.url, "tcp"), (ffmpeg, second.url, "udp"), (gstreamer, second.url, "tcp"),
             (pictures_are_the_clips, second)]
        )  # fmt: skip
        log = second.log().splitlines()
        for line in log:
            if not isinstance(json.loads(line), dict):
                raise Failure(f"not an object of JSON: {line}")
        if not log:
            raise Failure("nothing is logged")


CHECKS = {
    "the demo prints its urls and nothing else": prints_its_urls,
    "healthcheck tells up from down": healthcheck,
    "configurations are valid": configurations,
    "ffprobe sees mjpeg of 640x360 at 15 fps": lambda relay: sees_mjpeg(relay.url, FPS),
    "ffmpeg over tcp": lambda relay: ffmpeg(relay.url, "tcp"),
    "ffmpeg over udp": lambda relay: ffmpeg(relay.url, "udp"),
    "gstreamer over tcp": lambda relay: gstreamer(relay.url, "tcp"),
    "gstreamer over udp": lambda relay: gstreamer(relay.url, "udp"),
    "ffmpeg through an http tunnel": lambda relay: ffmpeg(relay.url, "http"),
    "gstreamer through an http tunnel": lambda relay: gstreamer(relay.url.replace("rtsp:", "rtsph:"), "tcp+http"),
    "gstreamer that begins with rtsp 2.0": lambda relay: gstreamer(relay.url, "tcp", "default-rtsp-version=2-0"),
    "mpv": lambda relay: mpv(relay.url),
    "ten players at once": lambda relay: all_at_once(
        [(ffmpeg, relay.url, transport, 3 * FRAMES) for transport in ("tcp", "udp") for _ in range(5)]
    ),
    "pictures are the clip's": pictures_are_the_clips,
    "ten captures": ten_captures,
    "metrics, frame rate, latency": metrics,
    "chain of two relays, log in json": chain,
}
