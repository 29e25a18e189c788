#!/usr/bin/python3
"""Somebody else's RTSP server: GStreamer's gst-rtsp-server as the camera, for tests/players.

    tests/gst_server.py [PORT]

serves, on 127.0.0.1 and until SIGTERM,
    /camera   H.264, 25 fps, a key frame a second, a ball that is never where it was; AAC
    /mjpeg    RTP/JPEG, 24 fps
and prints one line for each event: `listening PORT`, then `clients OPEN TOTAL` whenever a connection comes or goes.
"""

import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate={fps}/1"
MOUNTS = {
    "/camera": "( " + PICTURE.format(fps=25)
    + " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=1500"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1"
    " audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! rtpmp4gpay name=pay1 pt=97 )",
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
        self.tell()

    def closed(self, _client):
        self.open -= 1
        self.tell()

    def tell(self):
        print(f"clients {self.open} {self.total}", flush=True)


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1] if len(sys.argv) > 1 else "0")
    for path, pipeline in MOUNTS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(pipeline)
        factory.set_shared(True)
        server.get_mount_points().add_factory(path, factory)
    server.connect("client-connected", Clients().connected)
    if server.attach(None) == 0:
        sys.exit("gst_server.py: the port is taken")
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    print(f"listening {server.get_bound_port()}", flush=True)
    loop.run()


main()
