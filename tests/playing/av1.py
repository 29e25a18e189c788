"""AV1 from the camera to chromium's screen. No RTSP server of Debian 12 sends it: this one packs what ffmpeg has encoded."""

import re
import socketserver
import struct
import tempfile
import time
from pathlib import Path

from .live_picture import check, shown
from .programs import Failure, Relay, run
from .wire import CameraServer, requests

FPS, SIZE = 25, (640, 360)
PACKET = 1200
"""Bytes of a payload."""
SEQUENCE_HEADER, DELIMITER, PADDING = 1, 2, 15


def encoded(folder):
    """Eight seconds of moving pictures, a key frame in each: the OBUs of every frame."""
    file = Path(folder) / "moving.ivf"
    picture = f"testsrc2=size={SIZE[0]}x{SIZE[1]}:rate={FPS}"
    encoder = ("libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-g", FPS, "-b:v", "800k", "-pix_fmt", "yuv420p")
    status, said = run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-t", "8", "-c:v", *encoder, file, limit=120)
    if status != 0:
        raise Failure(f"ffmpeg encodes no AV1: {said[-1000:]}")
    data, at, frames = file.read_bytes(), 32, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frames.append(obus(data[at + 12 : at + 12 + size]))
        at += 12 + size
    return frames


def obus(unit):
    """The OBUs of a temporal unit, without their sizes and without delimiter and padding (AV1 section 5.3; its RTP format, section 5)."""
    at, found = 0, []
    while at < len(unit):
        head = 2 if unit[at] & 4 else 1
        size, body = leb128(unit, at + head)
        if unit[at] >> 3 & 15 not in (DELIMITER, PADDING):
            found.append(bytes([unit[at] & ~2]) + unit[at + 1 : at + head] + unit[body : body + size])
        at = body + size
    return found


def leb128(data, at):
    """A number, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def payloads(units):
    """A frame's OBUs in RTP payloads: each element with its length, those that do not fit in pieces."""
    packets, continues, body = [], False, b""
    for unit in units:
        while len(body) + 2 + len(unit) > PACKET:
            piece, unit = unit[: PACKET - 2 - len(body)], unit[PACKET - 2 - len(body) :]
            packets.append((continues, True, body + struct.pack("BB", len(piece) & 0x7F | 0x80, len(piece) >> 7) + piece))
            continues, body = True, b""
        body += struct.pack("BB", len(unit) & 0x7F | 0x80, len(unit) >> 7) + unit
        if len(body) > PACKET - 16:
            packets.append((continues, False, body))
            continues, body = False, b""
    if body:
        packets.append((continues, False, body))
    begins = any(unit[0] >> 3 & 15 == SEQUENCE_HEADER for unit in units)
    for number, (continues, goes_on, body) in enumerate(packets):
        yield bytes([continues << 7 | goes_on << 6 | (begins and number == 0) << 3]) + body


class Camera(CameraServer):
    """Shows the frames again and again, over TCP."""

    def __init__(self, frames):
        self.frames = frames
        super().__init__(Conversation)
        self.url = f"rtsp://127.0.0.1:{self.port}/av1"


class Conversation(socketserver.StreamRequestHandler):
    SDP = (
        b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 AV1/90000\r\n"
        b"a=fmtp:96 profile=0;level-idx=5;tier=0\r\na=control:track1\r\n"
    )

    def handle(self):
        try:
            self.converse()
        except OSError:
            pass  # the relay has had enough

    def converse(self):
        for method, _, head in requests(self.rfile):
            cseq = re.search(rb"(?im)^cseq: *(\d+)", head)
            answer = b"RTSP/1.0 200 OK\r\nCSeq: %b\r\nSession: 1\r\n" % cseq[1]
            if method == b"DESCRIBE":
                answer += b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%b" % (len(self.SDP), self.SDP)
            elif method == b"SETUP":
                answer += b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
            else:
                answer += b"\r\n"
            self.wfile.write(answer)
            if method == b"PLAY":
                return self.show()

    def show(self):
        sequence, started = 0, time.monotonic()
        for number in range(10**6):
            time.sleep(max(0, started + number / FPS - time.monotonic()))
            frames = self.server.frames
            parts = list(payloads(frames[number % len(frames)]))
            for part in parts:
                marker = 0x80 if part is parts[-1] else 0
                header = struct.pack("!BBHII", 0x80, marker | 96, sequence & 0xFFFF, number * 90_000 // FPS, 7)
                self.wfile.write(struct.pack("!cBH", b"$", 0, 12 + len(part)) + header + part)
                sequence += 1


def av1_in_chromium():
    with tempfile.TemporaryDirectory() as folder, Camera(encoded(folder)) as camera:
        config = Path(folder) / "fanlight.yml"
        config.write_text(f"streams: {{av1: '{camera.url}'}}\n")
        with Relay("--config", config, stream="av1") as relay:
            found = shown(relay, "av1")
        check("AV1", found, way="webcodecs", size=list(SIZE), still=True, left=0, complaints=[])
        if found["moved"] == 0:
            raise Failure("the picture stands still")


CHECKS = {"AV1 in chromium": av1_in_chromium}
