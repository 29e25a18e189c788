"""ONVIF's back channel with somebody else at both ends: GStreamer talks, and its ONVIF server is the camera that hears it."""

import json
import re
import tempfile

from .programs import ROOT, Failure, ForeignServer, answers, free_udp_pair, run_apart
from .upstream import Upstream

SECONDS = 3


class Door(ForeignServer):
    """A camera with a back channel."""

    def __init__(self):
        super().__init__(0, "--onvif")

    def heard(self):
        """Bytes of sound so far, and the different values among them."""
        told = re.findall(r"heard (\d+) (.*)\n", self.said())
        return (int(told[-1][0]), told[-1][1]) if told else (0, "")


def talk(url, transport):
    talker = (ROOT / "tests/gst_talker.py", url, "--transport", transport, "--seconds", SECONDS)
    return run_apart("/usr/bin/python3", *talker)


def through(upstream, viewer):
    """Somebody sees pictures and is heard, all of it, and leaves the floor to the next."""
    with Door() as camera, tempfile.TemporaryDirectory() as folder:
        keys = f'source: "{camera.url}/door", backchannel: true, transport: {upstream}'
        port = free_udp_pair()
        with Upstream(folder, {"door": keys}, rtsp=f"udp_ports: [{port}, {port + 1}]") as relay:
            url = relay.url_of("door") + "?backchannel=1"
            relay.wait_for("the camera is described", lambda: answers(relay.url_of("door")) == 200, 20)
            for turn in (1, 2):
                before = camera.heard()[0]
                status, said, complaints = talk(url, viewer)
                if status != 0 or complaints:
                    raise Failure(f"turn {turn}: exit {status}, {complaints[-2000:]}")
                saw, packets = (int(re.search(rf"{word} (\d+)", said).group(1)) for word in ("saw", "said"))
                if saw < 25:
                    raise Failure(f"{saw} packets of pictures in {SECONDS} s")
                # The camera tells every half second.
                heard, values = camera.wait_for(
                    f"{packets} packets of sound", lambda: (h := camera.heard())[0] - before >= 160 * packets - 8000 and h, 5
                )
                if values != "55":
                    raise Failure(f"the camera heard {values}, not what was said")
            channel = json.loads(relay.get("/api/v1/streams/door"))["backchannel"]
            if channel["encoding"] != "PCMU/8000" or channel["talker"] is not None:
                raise Failure(f"the API says {channel}")
            passed, = relay.metric("fanlight_backchannel_packets_total", stream="door")
            lost, = relay.metric("fanlight_backchannel_dropped_packets_total", stream="door")
            if passed < heard / 160 or lost:
                raise Failure(f"{passed:.0f} packets passed on and {lost:.0f} dropped")


CHECKS = {
    "talking to a camera over TCP": lambda: through("tcp", "tcp"),
    "talking to a camera over UDP": lambda: through("udp", "udp"),
}
