"""Over IPv6 from end to end: a camera, the relay, and viewers over TCP and UDP."""

import socket
import tempfile

from .programs import Failure, ForeignServer, Skipped, free_udp_pair
from .upstream import Upstream, misses_nothing


def from_camera_to_viewer():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as problem:
        raise Skipped(f"no IPv6 here: {problem}") from None
    with ForeignServer(host="[::1]") as server, tempfile.TemporaryDirectory() as folder:
        udp = free_udp_pair()
        ways = {
            "library": "transport: tcp",
            "direct": "transport: tcp, client: direct",
            "datagrams": "transport: udp",
            "tunnel": "transport: tcp",
            "bound": 'transport: tcp, source_address: "::1"',
        }
        urls = {name: f"{server.url}/count" for name in ways}
        urls["tunnel"] = urls["tunnel"].replace("rtsp://", "rtsp+http://")
        streams = {name: f'source: "{urls[name]}", {keys}' for name, keys in ways.items()}
        # One after the other: GStreamer's server shares its pictures, and at times sends none until all have left.
        for name, keys in streams.items():
            with Upstream(folder, {name: keys}, rtsp=f"udp_ports: [{udp}, {udp + 1}]", host="[::1]") as relay:
                relay.wait_for(f"{name} is live", lambda s=name: relay.metric("fanlight_source_up", stream=s) == [1.0], 30)
                misses_nothing(relay, name)
                if name == "library":
                    misses_nothing(relay, name, "udp")
        if set(server.peers()) != {"::1"}:
            raise Failure(f"the camera sees {set(server.peers())}")


CHECKS = {"over IPv6 from the camera to the viewer": from_camera_to_viewer}
