"""The first picture and the live edge in VLC, which Debian builds without a client for RTSP (12 and 13: no live555 plugin; its
`rtsp://` ends in modules that know MPEG-TS and RealMedia only).

So the conversation is held here, and VLC gets the description with the UDP ports that the packets come to. What is left to see
is what matters: its clock, its decoder, and when its video output shows which picture.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .live_edge import GOP, HEIGHT, RATE, WIDTH, Player, age, clock_in_every_mode
from .programs import Failure, Skipped, free_udp_pair

NOBODY = 65534
"""VLC refuses to run as root."""


class Conversation:
    """RTSP up to PLAY, for packets over UDP to somebody else's ports."""

    def __init__(self, url, port):
        host, server = re.match(r"rtsp://([^:/]+):(\d+)", url).groups()
        self.url, self.cseq, self.session = url, 0, None
        self.socket = socket.create_connection((host, int(server)), timeout=10)
        description = self.request("DESCRIBE", url, "Accept: application/sdp")
        self.media = re.search(r"^a=rtpmap.*\n(?:a=fmtp.*\n)?", description, re.M)[0]
        control = re.search(r"^a=control:(\S*track\S+)", description, re.M | re.I)[1]
        setup = self.request(
            "SETUP", control if "://" in control else f"{url}/{control}",
            f"Transport: RTP/AVP;unicast;client_port={port}-{port + 1}",
        )  # fmt: skip
        self.session = re.search(r"^session: *([^;\s]+)", setup, re.M | re.I)[1]

    def play(self):
        self.request("PLAY", self.url)

    def request(self, method, url, *headers):
        """The answer; anything but 200 fails."""
        self.cseq += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self.cseq}", *headers]
        lines += [f"Session: {self.session}"] if self.session else []
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while True:
            head, end, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"^content-length: *(\d+)", head, re.M | re.I)
            if end and len(body) >= (int(length[1]) if length else 0):
                break
            more = self.socket.recv(65536)
            if not more:
                raise Failure(f"{method} {url}: closed after {answer[:200]!r}")
            answer += more
        if not answer.startswith(b"RTSP/1.0 200"):
            raise Failure(f"{method} {url}: {answer[:200]!r}")
        return answer.decode().replace("\r\n", "\n")


class Vlc(Player):
    """VLC behind such a conversation. Its start is PLAY: how long the program takes to come up is its own affair. Its video
    output shows pictures to nobody, but a filter before it writes each one down when it is due."""

    def __init__(self, url):
        self.folder = tempfile.TemporaryDirectory(prefix="fanlight-vlc-")
        folder, port = Path(self.folder.name), free_udp_pair()
        folder.chmod(0o777)
        self.conversation, self.seen = Conversation(url, port), set()
        self.clocks = time.monotonic() - time.time()
        description = folder / "stream.sdp"
        description.write_text(
            f"v=0\no=- 1 1 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n{self.conversation.media}"
        )
        command = (
            "vlc", "--intf", "dummy", "--no-audio", "--no-osd", "--no-lua", "--demux", "avformat", "--avformat-format", "sdp",
            "--vout", "dummy", "--video-filter", "scene", "--scene-ratio", "1", "--scene-format", "jpg",
            "--scene-path", str(folder), "--scene-prefix", "s", str(description),
        )  # fmt: skip
        as_nobody = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
        super().__init__(command, env={**os.environ, "HOME": str(folder)}, **as_nobody)
        deadline = time.monotonic() + 20
        while f":{port:04X} " not in Path("/proc/net/udp").read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"VLC does not listen: {self.said()}")
            time.sleep(0.02)
        self.conversation.play()
        self.started = time.monotonic()

    def read(self):
        """It comes in files."""

    def look(self):
        """Reads the pictures that are new, without the one that may be under way."""
        new = [file for file in sorted(Path(self.folder.name).glob("s*.jpg"))[:-1] if file not in self.seen]
        if not new:
            return
        small = subprocess.run(
            ("ffmpeg", "-loglevel", "error", "-f", "mjpeg", "-i", "-", "-vf", f"scale={WIDTH}:{HEIGHT}:flags=area",
             "-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"),
            input=b"".join(file.read_bytes() for file in new), stdout=subprocess.PIPE, check=True, timeout=30,
        ).stdout  # fmt: skip
        for index, file in enumerate(new):
            row = small[index * WIDTH * HEIGHT :][:WIDTH]
            number = sum((square > 128) << (WIDTH - 1 - place) for place, square in enumerate(row))
            self.shown.append((file.stat().st_mtime + self.clocks, number))
        self.seen.update(new)

    def first(self, limit):
        deadline = time.monotonic() + limit
        while not self.shown and time.monotonic() < deadline:
            self.look()
            time.sleep(0.05)
        return super().first(0)

    def delay(self, since, until):
        self.look()
        return super().delay(since, until)

    def end(self):
        self.process.kill()  # on SIGTERM it waits for packets
        super().end()
        self.conversation.socket.close()
        self.folder.cleanup()


def at_the_live_edge():
    """live_edge has a picture at once and no delay that stays; cached has one at once and stays behind."""
    if not shutil.which("vlc"):
        raise Skipped("vlc is not installed (vlc-bin vlc-plugin-base)")
    with clock_in_every_mode() as relay:
        players = {}
        try:
            table = measure(relay, players)
        finally:
            for player in players.values():
                player.end()
    print("    first picture and delay after 5 s, in seconds:")
    for (name, mode), (first, delay) in table.items():
        print(f"      {name:10} {mode:10} {first:6.2f} {delay:6.2f}")
    usual = table["vlc", "off"][1]
    for mode in ("live_edge", "cached"):
        first, delay = table["vlc", mode]
        if first > 3:
            raise Failure(f"{mode}: the first picture after {first:.2f} s")
        # VLC adds to its delay for good how late it finds the first packets: little on an idle machine, more on a busy one.
        if (delay - usual > 1) != (mode == "cached"):
            raise Failure(f"{mode}: {delay:.2f} s behind, and {usual:.2f} s without a fast start")


def measure(relay, players):
    players["off"] = Vlc(relay.url_of("off"))
    players["off"].first(40)
    key_made = players["off"].shown[0][1]
    # The others join six seconds after a key frame, and so four before the next.
    while not 6 <= age(time.monotonic(), key_made) % (GOP / RATE) < 7:
        time.sleep(0.02)
    for mode in ("live_edge", "cached"):
        players[mode] = Vlc(relay.url_of(mode))
    time.sleep(8)
    table = {}
    for mode, player in players.items():
        late = player.first(1) if mode == "off" else 0
        table["vlc", mode] = (player.first(1), player.delay(late + 5, late + 7))
    return table


CHECKS = {"first picture and live edge in VLC": at_the_live_edge}
