"""Inputs of other servers' fuzzers and recorded attacks, replayed at the binary while twenty viewers play: from the side of
viewers, and from the side of cameras. What the machine's `../shared/data` holds is taken where it is there, else what the
project carries."""

import ast
import concurrent.futures
import json
import re
import socket
import socketserver
import statistics
import struct
import tempfile
import time
import urllib.request
from pathlib import Path

from .crowds import descriptors
from .programs import ROOT, Failure, ForeignServer, Relay, free_udp_pair
from .wire import CameraServer, Crowd, Viewer, requests

SHARED = ROOT.parent / "shared/data/rtsp-seeds"
OWN = (ROOT / "tests/data/rtsp-seeds", ROOT / "tests/fuzz/seeds")
VIEWERS = 20
GROWTH = 16 << 20
"""Bytes of memory that all of it may leave behind."""
LINES = 5
"""Lines of log for one hostile connection."""

HEADERS = {
    "transport": ("SETUP rtsp://h/yard/trackID=0", "Transport"),
    "range": ("PLAY rtsp://h/yard", "Range"),
    "session": ("PLAY rtsp://h/yard", "Session"),
    "auth": ("DESCRIBE rtsp://h/yard", "Authorization"),
    "rtp_?info": ("DESCRIBE rtsp://h/yard", "RTP-Info"),
    "keymgmt": ("SETUP rtsp://h/yard/trackID=0", "KeyMgmt"),
    "header|keyval": ("OPTIONS *", "X"),
}
"""Where values of headers belong, by what the name of their file has."""


def seeds():
    """Every seed once, with its path."""
    seen = set()
    for path in sorted(path for folder in (SHARED, *OWN) for path in folder.rglob("*")):
        if path.is_file() and path.name != "README.md" and path.suffix != ".dict":
            for seed in read(path):
                if seed not in seen:
                    seen.add(seed)
                    yield path, seed


def read(path):
    """What a file holds: itself, or Go's literals, which are Python's but for runes."""
    data = path.read_bytes()
    if not data.startswith(b"go test fuzz"):
        return [data]
    literals = re.findall(r'^(?:\[\]byte|string)\((".*")\)$', data.decode(), re.M)
    literals = [re.sub(r"\\u([0-9a-fA-F]{4})", lambda rune: chr(int(rune[1], 16)), each) for each in literals]
    return [ast.literal_eval(f"b{each}") if each.isascii() else ast.literal_eval(each).encode() for each in literals]


def attacks(path, seed):
    """What a hostile viewer makes of a seed: the bytes of one connection each."""
    yield seed
    name = "/".join(path.parts[-2:]).lower()
    for pattern, (request, header) in HEADERS.items():
        if re.search(pattern, name):
            yield f"{request} RTSP/1.0\r\nCSeq: 1\r\n{header}: ".encode() + seed + b"\r\n\r\n"
    if "rtsp_requests" in name or "aflnet" in name:
        yield re.sub(rb"rtsp://[^/ ]+/[^/ ]*", b"rtsp://h/yard", seed)
    if "sdp" in name or "description" in name:
        yield b"ANNOUNCE rtsp://h/yard RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\n" + body(seed)
    if re.search("format|rtp|rtcp|mikey|frame", str(path).lower()):
        setup = b"SETUP rtsp://h/yard/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n"
        yield setup + b"".join(frame(channel, seed) for channel in (0, 1, 7))


def body(data):
    return f"Content-Length: {len(data)}\r\n\r\n".encode() + data


def frame(channel, payload):
    return struct.pack("!cBH", b"$", channel, len(payload[:65535])) + payload[:65535]


class HostileCamera(CameraServer):
    """Answers as a camera does, but for what a seed says."""

    def __init__(self):
        self.scripts, self.connections = {}, {}
        super().__init__(Conversation)

    def url(self, name):
        return f"rtsp://127.0.0.1:{self.port}/{name}"


class Conversation(socketserver.StreamRequestHandler):
    timeout = 20

    def handle(self):
        try:
            self.converse()
        except OSError:
            pass  # the relay has had enough

    def converse(self):
        camera = self.server
        for method, url, head in requests(self.rfile):
            if not url.startswith(b"rtsp"):
                return
            cseq = re.search(rb"(?i)^cseq: *(\d+)", head, re.M)
            name = url.decode().split("/")[3]
            description, packets = camera.scripts.get(name, (b"", []))
            answer = b"RTSP/1.0 200 OK\r\nCSeq: " + (cseq[1] if cseq else b"1") + b"\r\nSession: 1\r\n"
            if method == b"DESCRIBE":
                camera.connections[name] = camera.connections.get(name, 0) + 1
                self.wfile.write(answer + b"Content-Type: application/sdp\r\n" + body(description))
            elif method == b"SETUP":
                channels = re.search(rb"interleaved=(\d+-\d+)", head)
                self.wfile.write(answer + b"Transport: RTP/AVP/TCP;interleaved=" + (channels[1] if channels else b"0-1") + b"\r\n\r\n")
            elif method == b"PLAY":
                self.wfile.write(answer + b"\r\n")
                for number, packet in enumerate(packets):
                    header = struct.pack("!BBHII", 0x80, 0xE0, number, number * 3000, 7)
                    self.wfile.write(frame(0, header + packet) + frame(1, packet) + frame(0, packet))
                    time.sleep(0.002)
            else:
                self.wfile.write(answer + b"\r\n")


CODECS = {"h264": "H264", "h265": "H265", "av1": "AV1", "vp8": "VP8", "vp9": "VP9", "mjpeg": "JPEG", "mpeg4audio": "MPEG4-GENERIC"}


def camera_scripts():
    """By name: what a hostile camera describes, and the packets it sends."""
    scripts, packets = {}, {}
    for path, seed in seeds():
        name = str(path).lower()
        if re.search("sdp|description", name) and len(seed) < 60_000:
            scripts[f"sdp{len(scripts)}"] = (seed, [])
        elif re.search("format|/rtp/|rtcp|mikey", name):
            codec = next((codec for key, codec in CODECS.items() if key in name), "X")
            packets.setdefault(codec, []).append(seed[:60_000])
    for codec, seeds_of_it in packets.items():
        description = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 {codec}/90000\r\na=control:t\r\n"
        scripts[f"rtp{codec}"] = (description.encode(), seeds_of_it)
    return scripts


class Toll:
    """What may not grow, and what has to be quick."""

    def __init__(self, relay):
        self.relay, self.delays = relay, []
        self.memory, self.descriptors, self.lines = self.now()

    def now(self):
        pages = int(Path(f"/proc/{self.relay.process.pid}/statm").read_text().split()[1])
        return pages * 4096, descriptors(self.relay), self.relay.log().count("\n")

    def attack(self, data):
        """One hostile connection, to its end."""
        with socket.create_connection(("127.0.0.1", self.relay.rtsp), timeout=15) as each:
            try:
                each.sendall(data)
                each.shutdown(socket.SHUT_WR)
                while each.recv(65536):
                    pass
            except ConnectionError:
                pass

    def ask(self):
        """A newcomer's OPTIONS."""
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.relay.rtsp), timeout=10) as each:
            each.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            if not each.recv(4096).startswith(b"RTSP/1.0 200"):
                raise Failure("OPTIONS was not answered with 200")
        self.delays.append(time.monotonic() - began)

    def from_viewers(self):
        """Every seed from the side of viewers; gives the number of connections."""
        connections = 0
        for path, seed in seeds():
            before = self.now()[2]
            number = 0
            for number, data in enumerate(attacks(path, seed), 1):
                self.attack(data)
            self.ask()
            connections += number
            said = self.now()[2] - before
            if said > LINES * number:
                raise Failure(f"{path}: {said} lines of log for {number} connections")
        return connections

    def from_cameras(self, camera):
        """Every seed from the side of cameras, by both clients; gives the number of connections."""
        scripts = camera_scripts()
        jobs = [(name, client) for client in ("auto", "direct") for name in scripts]
        connections = 0
        while jobs:
            batch, jobs = jobs[:16], jobs[16:]
            camera.connections.clear()
            camera.scripts = {f"{name}-{client}": scripts[name] for name, client in batch}
            before = self.now()[2]
            for name, client in batch:
                stream = {"source": camera.url(f"{name}-{client}"), "client": client}
                self.change("PUT", f"{name}-{client}", json.dumps(stream).encode())
            self.relay.wait_for("every camera was asked twice", lambda: all(camera.connections.get(f"{n}-{c}", 0) >= 2 for n, c in batch), 20)
            self.ask()
            for name, client in batch:
                self.change("DELETE", f"{name}-{client}")
            asked = sum(camera.connections.values())
            said = self.now()[2] - before
            # Besides, a line for each change through the API.
            if said > LINES * asked + 4 * len(batch):
                raise Failure(f"{batch}: {said} lines of log for {asked} connections")
            connections += asked
        return connections

    def change(self, method, stream, data=None):
        url = f"http://127.0.0.1:{self.relay.http}/api/v1/streams/{stream}"
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10):
            pass


def shared_seeds():
    """Nobody notices: not the twenty who play, not a newcomer, not the machine."""
    with ForeignServer() as good, HostileCamera() as hostile, tempfile.TemporaryDirectory() as folder:
        udp = free_udp_pair()
        config = Path(folder) / "fanlight.yml"
        config.write_text(f"rtsp: {{udp_ports: [{udp}, {udp + 1}]}}\nstreams:\n  yard: {good.url}/mjpeg\n")
        with Relay("--config", config, stream="yard") as relay, Crowd() as viewers:
            for transport in ("tcp", "udp") * (VIEWERS // 2):
                viewers.add(relay.url, transport)
            viewers.watch(3)
            toll = Toll(relay)
            # Aside, so that those who play are read all the time.
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                for part in (toll.from_viewers, lambda: toll.from_cameras(hostile)):
                    job = pool.submit(part)
                    viewers.watch(240, job.done)
                    print(f"    {job.result(0)} hostile connections", flush=True)
            viewers.expect("the descriptors are given back", 2, lambda: toll.now()[1] <= toll.descriptors)
            growth = toll.now()[0] - toll.memory
            viewers.watch(6)
            for viewer in viewers.viewers:
                viewer.check(late=10)  # nobody here reads while a thread attacks
                if viewer.bye or viewer.closed:
                    raise Failure(f"{viewer.transport} viewer: its session has ended")
            panics = sum(relay.metric("fanlight_task_panics_total"))
            newcomer = viewers.take(Viewer(relay.url, "tcp"))
            viewers.expect("a newcomer's first packet", 5, lambda: newcomer.packets > 0)
            status = relay.process.poll()
    slow = [delay for delay in toll.delays if delay > 0.1]
    middle, worst = statistics.median(toll.delays), max(toll.delays)
    print(f"    memory {growth / 2**20:+.1f} MiB; OPTIONS after {1000 * middle:.1f} ms, at worst {1000 * worst:.0f} ms; {panics:.0f} panics caught")
    # One in a hundred may meet a busy machine.
    if status is not None or growth > GROWTH or len(slow) > len(toll.delays) // 100:
        raise Failure(f"exit {status}; memory {growth / 2**20:+.1f} MiB; {len(slow)} of {len(toll.delays)} OPTIONS took over 100 ms")


CHECKS = {"the seeds of other fuzzers": shared_seeds}
