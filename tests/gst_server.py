#!/usr/bin/python3
"""Somebody else's RTSP server: GStreamer's gst-rtsp-server as the camera, for tests/players.

    tests/gst_server.py [PORT] [--address ADDRESS] [--tls FILE] [--group ADDRESS --interface NAME] [--onvif]

serves, on 127.0.0.1 or another address and until SIGTERM, over TLS with the certificate and key of a PEM file,
    /camera   H.264, 25 fps, a key frame a second, a ball that is never where it was; AAC
    /mjpeg    RTP/JPEG, 24 fps
    /clock    H.264, 25 fps, a key frame every 10 s; the top row of every picture is the time it was made at
    /clock/1  the same with a key frame a second
    /count    the same, but the top row of a picture is its number: 0, 1, 2, ... without a hole; over UDP to a multicast
              group only, where one is given
    /door     H.264 as /camera, and a back channel as ONVIF has it, in PCMU; only with --onvif
and prints one line for each event: `listening PORT`, then `clients OPEN TOTAL` whenever a connection comes or goes,
`from ADDRESS` for each one that comes, `teardown` for each request of that name, `heard BYTES VALUES` for each half second
of sound that comes back: all bytes so far, and the different values among them. (One slice a picture: of several, ffmpeg 5.1 says "corrupt decoded frame".)
"""

import argparse
import os
import signal
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

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
    "/count": CLOCK.format(gop=25),
    "/mjpeg": "( " + PICTURE.format(fps=24) + " ! jpegenc ! rtpjpegpay name=pay0 pt=26 )",
}


DOOR = (
    "( " + PICTURE.format(fps=25) + " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=1500"
    " sliced-threads=false ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
LISTENS = (
    "( capsfilter name=depay_backchannel caps=application/x-rtp,media=audio,payload=0,clock-rate=8000,encoding-name=PCMU"
    " ! rtppcmudepay ! appsink name=ear emit-signals=true sync=false async=false )"
)


class Ear:
    """What is heard on the back channel."""

    def __init__(self):
        self.heard, self.told, self.values = 0, 0, set()

    def listen(self, _factory, media):
        media.get_element().get_by_name_recurse_up("ear").connect("new-sample", self.hear)

    def hear(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        sound = buffer.extract_dup(0, buffer.get_size())
        self.heard += len(sound)
        self.values |= set(sound)
        if self.heard - self.told >= 4000:
            self.told = self.heard
            print(f"heard {self.heard} {' '.join(f'{value:02x}' for value in sorted(self.values))}", flush=True)
        return Gst.FlowReturn.OK


def door():
    factory = GstRtspServer.RTSPOnvifMediaFactory()
    factory.set_launch(DOOR)
    factory.set_backchannel_launch(LISTENS)
    factory.set_shared(True)
    factory.set_media_gtype(GstRtspServer.RTSPOnvifMedia)
    factory.connect("media-configure", Ear().listen)
    return factory


class Clients:
    """Counts connections as the server sees them."""

    def __init__(self):
        self.open = self.total = 0

    def connected(self, _server, client):
        self.open += 1
        self.total += 1
        client.connect("closed", self.closed)
        client.connect("teardown-request", self.torn_down)
        print(f"from {client.get_connection().get_ip()}", flush=True)
        self.tell()

    def closed(self, _client):
        self.open -= 1
        self.tell()

    def torn_down(self, _client, _context):
        print("teardown", flush=True)

    def tell(self):
        print(f"clients {self.open} {self.total}", flush=True)


class NumberedPictures:
    """Pictures of noise below a row of 16 squares: a number, highest bit first. It is counted 25 times a second since the
    machine started, so that whoever sees one can tell how old it is; or it counts the pictures, and none can be missing."""

    def __init__(self, source, counts):
        self.source, self.made = source, (0 if counts else None)
        self.noise = [bytes(64 + (b & 63) for b in os.urandom(640 * 320)) for _ in range(8)]
        self.chroma = b"\x80" * (640 * 360 // 2)
        self.due = time.monotonic()
        GLib.timeout_add(1, self.next)

    def next(self):
        if self.made is None:
            number = int(time.monotonic() * 25) & 0xFFFF
        else:
            number, self.made = self.made & 0xFFFF, self.made + 1
        row = b"".join((b"\xeb" if number >> bit & 1 else b"\x10") * 40 for bit in reversed(range(16)))
        picture = row * 40 + self.noise[number % 8] + self.chroma
        if self.source.emit("push-buffer", Gst.Buffer.new_wrapped(picture)) != Gst.FlowReturn.OK:
            return False
        self.due = max(self.due + 0.04, time.monotonic())
        GLib.timeout_add(max(1, round((self.due - time.monotonic()) * 1000)), self.next)
        return False


def configure(_factory, media, counts):
    media.pictures = NumberedPictures(media.get_element().get_by_name_recurse_up("clock"), counts)


def over_tls(server, pem):
    """Everybody may do everything, once there is TLS."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(pem))
    token.set_string("media.factory.role", "anybody")
    auth.set_default_token(token)
    server.set_auth(auth)


def factory_of(path, pipeline, options):
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline)
    factory.set_shared(True)
    if options.tls:
        permissions = GstRtspServer.RTSPPermissions()
        for what in ("access", "construct"):
            permissions.add_permission_for_role("anybody", f"media.factory.{what}", True)
        factory.set_permissions(permissions)
    if path.startswith(("/clock", "/count")):
        factory.connect("media-configure", configure, path == "/count")
    if path == "/count" and options.group:
        pool = GstRtspServer.RTSPAddressPool()
        pool.add_range(options.group, options.group, 20_000, 29_999, 1)
        factory.set_address_pool(pool)
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP_MCAST)
        factory.set_multicast_iface(options.interface)
    return factory


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", nargs="?", default="0")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--tls")
    parser.add_argument("--group")
    parser.add_argument("--interface")
    parser.add_argument("--onvif", action="store_true")
    options = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPOnvifServer.new() if options.onvif else GstRtspServer.RTSPServer()
    server.set_address(options.address)
    server.set_service(options.port)
    if options.tls:
        over_tls(server, options.tls)
    for path, pipeline in MOUNTS.items():
        server.get_mount_points().add_factory(path, factory_of(path, pipeline, options))
    if options.onvif:
        server.get_mount_points().add_factory("/door", door())
    server.connect("client-connected", Clients().connected)
    if server.attach(None) == 0:
        sys.exit("gst_server.py: the port is taken")
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    print(f"listening {server.get_bound_port()}", flush=True)
    loop.run()


main()
