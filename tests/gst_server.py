#!/usr/bin/python3
"""Somebody else's RTSP server: GStreamer's gst-rtsp-server as the camera, for tests/players.

    tests/gst_server.py [PORT]

serves, on 127.0.0.1 and until SIGTERM,
    /camera   H.264, 25 fps, a key frame a second, a ball that is never where it was; AAC
    /mjpeg    RTP/JPEG, 24 fps
    /clock    H.264, 25 fps, a key frame every 10 s; the top row of every picture is the time it was made at
    /clock/1  the same with a key frame a second
and prints one line for each event: `listening PORT`, then `clients OPEN TOTAL` whenever a connection comes or goes,
`teardown` for each request of that name. (One slice a picture: of several, ffmpeg 5.1 says "corrupt decoded frame".)
"""

import os
import signal
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate={fps}/1"
CLOCK = (
    "( appsrc name=clock is-live=true format=time do-timestamp=true"
    " caps=video/x-raw,format=I420,width=640,height=360,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate=2000 sliced-threads=false"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
MOUNTS = {
    "/camera": "( " + PICTURE.format(fps=25)
    + " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=1500 sliced-threads=false"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1"
    " audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! rtpmp4gpay name=pay1 pt=97 )",
    "/clock": CLOCK.format(gop=250),
    "/clock/1": CLOCK.format(gop=25),
    "/mjpeg": "( " + PICTURE.format(fps=24) + " ! jpegenc ! rtpjpegpay name=pay0 pt=26 )",
}


class Clients:
    """Counts connections as the server sees them."""

    def __init__(self):
        self.open = self.total = 0

    def connected(self, _server, client):
        self.open += 1
        self.total += 1
        client.connect("closed", self.closed)
        client.connect("teardown-request", self.torn_down)
        self.tell()

    def closed(self, _client):
        self.open -= 1
        self.tell()

    def torn_down(self, _client, _context):
        print("teardown", flush=True)

    def tell(self):
        print(f"clients {self.open} {self.total}", flush=True)


class ClockPictures:
    """Pictures of noise below a row of 16 squares: a number that is counted 25 times a second since the machine started,
    highest bit first. Whoever sees one can tell how old it is."""

    def __init__(self, source):
        self.source = source
        self.noise = [bytes(64 + (b & 63) for b in os.urandom(640 * 320)) for _ in range(8)]
        self.chroma = b"\x80" * (640 * 360 // 2)
        self.due = time.monotonic()
        GLib.timeout_add(1, self.next)

    def next(self):
        number = int(time.monotonic() * 25) & 0xFFFF
        row = b"".join((b"\xeb" if number >> bit & 1 else b"\x10") * 40 for bit in reversed(range(16)))
        picture = row * 40 + self.noise[number % 8] + self.chroma
        if self.source.emit("push-buffer", Gst.Buffer.new_wrapped(picture)) != Gst.FlowReturn.OK:
            return False
        self.due = max(self.due + 0.04, time.monotonic())
        GLib.timeout_add(max(1, round((self.due - time.monotonic()) * 1000)), self.next)
        return False


def configure(_factory, media):
    media.clock_pictures = ClockPictures(media.get_element().get_by_name_recurse_up("clock"))


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1] if len(sys.argv) > 1 else "0")
    for path, pipeline in MOUNTS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(pipeline)
        factory.set_shared(True)
        if path.startswith("/clock"):
            factory.connect("media-configure", configure)
        server.get_mount_points().add_factory(path, factory)
    server.connect("client-connected", Clients().connected)
    if server.attach(None) == 0:
        sys.exit("gst_server.py: the port is taken")
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    print(f"listening {server.get_bound_port()}", flush=True)
    loop.run()


main()
