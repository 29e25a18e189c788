"""Viewers that are nothing but sockets: what a player hides (sequence numbers, reports, BYE), and fifty cost little."""

import contextlib
import re
import selectors
import socket
import socketserver
import struct
import threading
import time
from dataclasses import dataclass, field

from .programs import Failure, udp_pair

JPEG_CLOCK = 90_000
NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 to 1970."""


def requests(said):
    """What a client asks of a camera, as it comes: method, URL, the lines of the head. Ends where it sends packets, or goes."""
    while line := said.readline(4096):
        if line.startswith(b"$"):
            return
        head = b""
        while (more := said.readline(4096)).strip():
            head += more
        method, url, *_ = line.split() + [b"", b""]
        yield method, url, head


class CameraServer(socketserver.ThreadingTCPServer):
    """A camera made of a handler, on a port of its own, until it is left."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        # Else the thread polls the number of a descriptor that others get after it: while it does, their sockets stay open
        # although they were closed, and the relay that is to have such a port finds it taken.
        self.shutdown()
        self.server_close()


@dataclass
class Report:
    """A sender report: both clocks at one moment, and when it came."""

    wall: float
    timestamp: int
    arrived: float


@dataclass
class Viewer:
    """One session with the first track of `url`; watched by a `Crowd`."""

    url: str
    transport: str
    receive_buffer: int | None = None
    packets: int = 0
    frames: int = 0
    gaps: int = 0
    first: tuple | None = None  # SSRC, sequence number, timestamp
    last: tuple | None = None  # sequence number, timestamp, arrival
    ssrcs: set = field(default_factory=set)
    reports: list = field(default_factory=list)
    bye: bool = False
    closed: bool = False

    def __post_init__(self):
        host, port = re.match(r"rtsp://([^:/]+):(\d+)", self.url).groups()
        self.rtsp = socket.socket()
        if self.receive_buffer:
            self.rtsp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self.rtsp.settimeout(10)
        self.rtsp.connect((host, int(port)))
        self.buffer, self.cseq, self.session, self.udp = b"", 0, None, ()
        description = self.request("DESCRIBE", self.url, "Accept: application/sdp")
        base = (re.search(r"^content-base: *(\S+)", description, re.M | re.I) or [None, self.url])[1]
        media = description.split("\nm=")[1]
        control = re.search(r"^a=control:(\S+)", media, re.M)[1]
        self.track = control if "://" in control else base.rstrip("/") + "/" + control
        if self.transport == "udp":
            self.udp = udp_pair()
            port = self.udp[0].getsockname()[1]
            asked = f"Transport: RTP/AVP;unicast;client_port={port}-{port + 1}"
        else:
            asked = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
        setup = self.request("SETUP", self.track, asked)
        self.session = re.search(r"^session: *([^;\s]+)", setup, re.M | re.I)[1]
        server = re.search(r"server_port=\d+-(\d+)", setup)
        self.reports_to = (host, int(server[1])) if server else None
        play = self.request("PLAY", self.url, "Range: npt=0-")
        promised = re.search(r"^rtp-info:.*?;seq=(\d+);rtptime=(\d+)", play, re.M | re.I)
        if not promised:
            raise Failure(f"no RTP-Info in the answer to PLAY:\n{play}")
        self.promised = tuple(int(n) for n in promised.groups())
        for each in (self.rtsp, *self.udp):
            each.setblocking(False)

    def request(self, method, url, *headers):
        """The answer to a request, head and body; anything but 200 fails."""
        self.cseq += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self.cseq}", *headers]
        if self.session:
            lines.append(f"Session: {self.session}")
        self.rtsp.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.buffer:
            self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if not head.startswith(b"RTSP/1.0 200"):
            raise Failure(f"{method} {url}: {head[:200]!r}")  # media before the answer ends here too
        length = int((re.search(rb"^content-length: *(\d+)", head, re.M | re.I) or [0, 0])[1])
        while len(self.buffer) < length:
            self.receive()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return (head + b"\r\n\r\n" + body).decode().replace("\r\n", "\n")

    def receive(self):
        more = self.rtsp.recv(65536)
        if not more:
            raise Failure(f"{self.url}: closed during the handshake")
        self.buffer += more

    def sockets(self):
        return [(self.rtsp, self.on_rtsp), *zip(self.udp, (self.on_rtp, self.on_rtcp))]

    def close(self):
        """Leaves as it should: over UDP the session would outlive the connection."""
        with contextlib.suppress(OSError):
            self.rtsp.settimeout(1)
            self.rtsp.send(f"TEARDOWN {self.url} RTSP/1.0\r\nCSeq: 99\r\nSession: {self.session}\r\n\r\n".encode())
            self.rtsp.shutdown(socket.SHUT_WR)
            # To the end: closing with bytes unread is a reset, which can overtake the request.
            deadline = time.monotonic() + 2
            while self.rtsp.recv(65536) and time.monotonic() < deadline:
                pass
        for each in (self.rtsp, *self.udp):
            each.close()

    # What comes

    def on_rtsp(self, data):
        if not data:
            self.closed = True
        self.buffer += data
        while self.buffer:
            if self.buffer[0] != ord("$"):
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                self.buffer = self.buffer[end + 4 :]
                continue
            if len(self.buffer) < 4:
                return
            channel, length = struct.unpack_from("!xBH", self.buffer)
            if len(self.buffer) < 4 + length:
                return
            packet, self.buffer = self.buffer[4 : 4 + length], self.buffer[4 + length :]
            (self.on_rtp, self.on_rtcp)[channel & 1](packet)

    def on_rtp(self, packet):
        if self.bye:
            raise Failure(f"{self.transport} viewer: media after BYE")
        marker, sequence, timestamp, ssrc = struct.unpack_from("!xBHII", packet)
        if self.last is None:
            self.first = (ssrc, sequence, timestamp)
        elif sequence != (self.last[0] + 1) & 0xFFFF:
            self.gaps += 1
        self.ssrcs.add(ssrc)
        self.last = (sequence, timestamp, time.time())
        self.packets += 1
        self.frames += marker >> 7

    def on_rtcp(self, compound):
        if self.reports_to and compound[1] == 200:
            # An empty receiver report: who says nothing over UDP is gone after `session_timeout`.
            with contextlib.suppress(OSError):
                self.udp[1].sendto(struct.pack("!BBHI", 0x80, 201, 1, 7), self.reports_to)
        while compound:
            kind, length = struct.unpack_from("!xBH", compound)
            if kind == 200:
                ssrc, seconds, fraction, timestamp = struct.unpack_from("!4xIIII", compound)
                self.ssrcs.add(ssrc)
                self.reports.append(Report(seconds - NTP_EPOCH + fraction / 2**32, timestamp, time.time()))
            elif kind == 203:
                self.take_what_stands()
                self.bye = True
            compound = compound[4 * (length + 1) :]

    def take_what_stands(self):
        """Media that came before a BYE may be read after it: over UDP they are two sockets. So may some that came
        behind it; what comes later is seen."""
        with contextlib.suppress(BlockingIOError):
            while self.udp:
                self.on_rtp(self.udp[0].recv(65536))

    # What it must be like

    def check(self, late=0.5):
        """Its own continuous numbers, as promised by RTP-Info, on the clock that the sender reports state. `late`: how many
        seconds a busy machine may take from the relay to here."""
        who = f"{self.transport} viewer"
        if self.first is None:
            raise Failure(f"{who}: no packet")
        if self.gaps:
            raise Failure(f"{who}: {self.gaps} gaps in {self.packets} packets")
        if self.first[1:] != self.promised:
            raise Failure(f"{who}: RTP-Info says {self.promised}, the first packet {self.first[1:]}")
        if self.ssrcs != {self.first[0]}:
            raise Failure(f"{who}: several SSRCs in packets and reports: {self.ssrcs}")
        if not self.reports:
            raise Failure(f"{who}: no sender report")
        for report in self.reports:
            # The wall-clock time of the newest packet, by this report.
            ahead = (self.last[1] - report.timestamp + 2**31) % 2**32 - 2**31
            off = report.wall + ahead / JPEG_CLOCK - self.last[2]
            if abs(off) > late:
                raise Failure(f"{who}: by its sender report the newest packet is {off:.3f} s off")
            if abs(report.wall - report.arrived) > late:
                raise Failure(f"{who}: a sender report of {report.arrived - report.wall:.3f} s ago")


class Crowd:
    """Viewers watched together."""

    def __init__(self):
        self.viewers, self.selector = [], selectors.DefaultSelector()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.selector.close()
        for viewer in self.viewers:
            viewer.close()

    def add(self, url, transport="tcp"):
        return self.take(Viewer(url, transport))

    def take(self, viewer):
        self.viewers.append(viewer)
        for each, handler in viewer.sockets():
            self.selector.register(each, selectors.EVENT_READ, handler)
        if viewer.buffer:
            viewer.on_rtsp(self.more(viewer))
        return viewer

    @staticmethod
    def more(viewer):
        """What stands behind the answer to PLAY, once more through the parser."""
        data, viewer.buffer = viewer.buffer, b""
        return data

    def watch(self, seconds, until=lambda: False):
        """Takes what comes, for so long or until something is true; says whether it is."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return until()
            for key, _ in self.selector.select(min(left, 0.1)):
                try:
                    data = key.fileobj.recv(65536)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    data = b""
                if not data:
                    self.selector.unregister(key.fileobj)
                key.data(data)
        return True

    def expect(self, what, seconds, until):
        if not self.watch(seconds, until):
            raise Failure(f"not within {seconds} s: {what}")
