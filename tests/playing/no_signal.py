"""While a JPEG camera is away, players see that it is: another picture, once a second, and the camera's again after that."""

import re
import tempfile
import time

from .players import DECODE, listed_hashes
from .programs import CLIP, Failure, FileServer, Program, free_udp_pair
from .upstream import Upstream

AWAY = 5
"""Seconds."""


class Watcher(Program):
    """A player that says of every picture which one it is, as soon as it has it."""

    def __init__(self, name, *command):
        super().__init__(name, *command)
        self.name = name

    def pictures(self):
        """A digest of each, in order."""
        text = self.said()
        return listed_hashes(text) if "ffmpeg" in self.name else re.findall(r"\b([0-9a-f]{40})$", text, re.M)


def ffmpeg(url, transport):
    return Watcher(
        f"ffmpeg-{transport}",
        "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-rtsp_transport", transport, "-i", url,
        "-map", "0:v", *DECODE, "-flush_packets", "1", "-f", "framemd5", "-",
    )  # fmt: skip


def gstreamer(url):
    return Watcher(
        "gstreamer",
        "gst-launch-1.0", "-q", "rtspsrc", f"location={url}", "protocols=tcp", "latency=200",
        "!", "rtpjpegdepay", "!", "jpegdec", "!", "checksumsink", "sync=false",
    )  # fmt: skip


def a_camera_that_is_away():
    """ffmpeg over TCP and UDP and GStreamer decode the "no signal" pictures without a complaint, and go on."""
    udp = free_udp_pair()
    with tempfile.TemporaryDirectory() as folder, FileServer(CLIP, "--loop", "--name", "cam", "--fps", "15") as camera:
        streams = {"door": f'source: "{camera.url}", no_signal: true'}
        with Upstream(folder, streams, rtsp=f"udp_ports: [{udp}, {udp + 1}]") as relay:
            relay.wait_for("the camera is up", lambda: relay.metric("fanlight_source_up", stream="door") == [1.0])
            watchers = [ffmpeg(relay.url, "tcp"), ffmpeg(relay.url, "udp"), gstreamer(relay.url)]
            try:
                all_see(watchers, "two seconds of the clip", 30)
                known = set(watchers[0].pictures()) | set(watchers[2].pictures())
                camera.process.kill()
                camera.ends(5)
                before = [len(watcher.pictures()) for watcher in watchers]
                time.sleep(AWAY)
                for watcher, count in zip(watchers, before):
                    judge(watcher, watcher.pictures()[count:], known)
                shown = sum(relay.metric("fanlight_no_signal_frames_total", stream="door"))
                if not AWAY - 3 <= shown <= AWAY + 2:
                    raise Failure(f"{shown:.0f} pictures counted in {AWAY} s")
                with FileServer(CLIP, "--loop", "--name", "cam", "--fps", "15", port=camera.port):
                    all_see(watchers, "the clip again", 30)
                for watcher in watchers:
                    if watcher.log():
                        raise Failure(f"{watcher.name} complained: {watcher.log()[-2000:]}")
            finally:
                for watcher in watchers:
                    watcher.__exit__(None)


def all_see(watchers, what, more):
    counts = [len(watcher.pictures()) for watcher in watchers]
    for watcher, count in zip(watchers, counts):
        watcher.wait_for(what, lambda w=watcher, n=count: len(w.pictures()) >= n + more, 30)


def judge(watcher, shown, known):
    """What was shown while the camera was away: after what was under way, new pictures, about one a second."""
    new = [picture for picture in shown if picture not in known]
    if not AWAY - 3 <= len(new) <= AWAY + 2:
        raise Failure(f"{watcher.name}: {len(new)} new pictures of {len(shown)} in {AWAY} s without a camera")


CHECKS = {"no signal, as players see it": a_camera_that_is_away}
