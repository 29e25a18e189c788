"""A player does not notice that the camera was away, but for the pictures that are missing."""

import re
import tempfile
import time
from pathlib import Path

from .programs import Failure, ForeignServer, Program, Relay, free_port, free_udp_pair

SECONDS = 20
"""Of media that the players play, and of time: a gap in the one is a gap in the other."""


def camera_restarts():
    """New sessions on request, a camera that is killed and back at once, and one that is away for two seconds: ffmpeg,
    decoding and copying, over TCP and UDP, has nothing to say of it, and its clock goes on."""
    port, udp = free_port(), free_udp_pair()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "fanlight.yml"
        config.write_text(
            f"rtsp:\n  udp_ports: [{udp}, {udp + 1}]\nstreams:\n  yard: rtsp://127.0.0.1:{port}/camera\n"
        )
        camera = Camera(port)
        try:
            with Relay("--config", config, stream="yard") as relay:
                players = [Player(relay.url, transport, way, Path(folder)) for transport, way in PLAYERS]
                try:
                    for player in players:
                        player.wait_for("a second of pictures", lambda p=player: len(p.times()) > 25, 20)
                    # The camera takes a session of its own for each: the old one is given back.
                    relay.request("/api/v1/streams/yard/reconnect", "POST")
                    time.sleep(2)
                    camera.restart(away=0)
                    all_go_on(players)
                    camera.restart(away=2)
                    all_go_on(players)
                    for player in players:
                        player.check(player.ends(SECONDS + 20))
                finally:
                    for player in players:
                        player.__exit__(None)
                reconnects = sum(relay.metric("fanlight_source_reconnects_total", stream="yard"))
                if reconnects < 3:
                    raise Failure(f"{reconnects} reconnects: this proves nothing")
        finally:
            camera.end()


PLAYERS = [("tcp", "decode"), ("udp", "decode"), ("tcp", "copy"), ("udp", "copy")]


def all_go_on(players):
    """Every player gets pictures that are newer than now."""
    seen = [len(player.times()) for player in players]
    for player, before in zip(players, seen):
        player.wait_for("two seconds of pictures after it", lambda p=player, n=before: len(p.times()) > n + 50, 15)


class Camera:
    """GStreamer's server on a port of its own, killed and started anew."""

    def __init__(self, port):
        self.port, self.server = port, None
        self.start()

    def start(self):
        self.server = ForeignServer(self.port).__enter__()

    def end(self):
        if self.server is not None:
            self.server.__exit__(None)
            self.server = None

    def restart(self, away):
        self.server.process.kill()
        self.end()
        time.sleep(away)
        self.start()


class Player(Program):
    """ffmpeg, with a line for each picture."""

    def __init__(self, url, transport, way, folder):
        self.pictures = folder / f"{transport}-{way}"
        self.pictures.touch()
        codec = ("-c", "copy") if way == "copy" else ("-fps_mode", "passthrough", "-enc_time_base:v", "1/90000")
        super().__init__(
            f"ffmpeg-{transport}-{way}",
            "ffmpeg", "-nostdin", "-y", "-hide_banner", "-loglevel", "warning", "-rtsp_transport", transport, "-i", url,
            "-map", "0:v", "-map", "0:a", *codec, "-t", SECONDS, "-flush_packets", "1", "-f", "framecrc", self.pictures,
        )  # fmt: skip

    def times(self):
        """Of the pictures, in seconds."""
        text = self.pictures.read_text()
        base = re.search(r"^#tb 0: (\d+)/(\d+)$", text, re.M)
        ticks = re.findall(r"^0, *-?\d+, *(-?\d+),", text, re.M)
        return [int(t) * int(base[1]) / int(base[2]) for t in ticks] if base else []

    def check(self, status):
        said = [line for line in self.log().splitlines() if line and not re.search(HARMLESS, line)]
        if status != 0 or said:
            raise Failure(f"{self.name}: exit {status}, printed: {chr(10).join(said)[-2000:]}")
        times = self.times()
        # The first one: ffmpeg takes the first picture's time for unknown, and starts at the second's (HARMLESS).
        steps = [after - before for before, after in zip(times[1:], times[2:])]
        if min(steps) <= 0:
            raise Failure(f"{self.name}: time goes back, or stands still: {min(steps)} s")
        # The long outage has its two seconds in the timestamps too, and the server its second to start.
        if not 1.8 < max(steps) < 8:
            raise Failure(f"{self.name}: the longest gap is {max(steps):.2f} s")


HARMLESS = "Timestamps are unset in a packet for stream 0"
"""Copying from any server, ffmpeg 5.1 gives the muxer a first packet without a time."""

CHECKS = {"a camera that restarts, ffmpeg without a word": camera_restarts}
