"""The relay of gst-rtsp-server, for comparison: python3 gst_relay.py PORT CAMERA_URL

Needs Debian's python3-gi and gir1.2-gst-rtsp-server-1.0. One pipeline for all viewers, packets repaired and packed anew.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
port, camera = sys.argv[1:]
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( rtspsrc location={camera} protocols=tcp latency=0 ! rtph264depay ! rtph264pay name=pay0 pt=96 mtu=1400 )"
)
factory.set_shared(True)
server = GstRtspServer.RTSPServer()
server.set_service(port)
server.set_address("127.0.0.1")
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
GLib.MainLoop().run()
