"""A camera behind a real network that loses datagrams: netem between two network namespaces."""

import json
import tempfile
import time
from pathlib import Path

from .network import Network
from .programs import BINARY, CLIP, Failure, Program, Relay, Skipped, free_port, free_udp_pair
from .wire import Crowd


class Lossy(Network):
    """A network that does to the camera's datagrams what it is told; needs the module `sch_netem`."""

    def __enter__(self):
        super().__enter__()
        try:
            self.inside("tc", "qdisc", "add", "dev", self.theirs, "root", "netem", "loss", "0%")
        except Failure as problem:
            self.__exit__()
            raise Skipped(f"netem is not to be had here: {problem}") from None
        return self

    def does(self, what):
        self.inside("tc", "qdisc", "change", "dev", self.theirs, "root", "netem", *what.split())


def five_and_ten_per_cent():
    """5 % of the datagrams lost, some overtaken: the stream stays up and the loss is shown; at 10 %, `auto` takes TCP."""
    with Lossy() as network, tempfile.TemporaryDirectory() as folder, Crowd() as crowd:
        port, udp = free_port(), free_udp_pair()
        listen = f"{network.camera}:{port}"
        config = Path(folder) / "fanlight.yml"
        config.write_text(
            f"rtsp:\n  udp_ports: [{udp}, {udp + 1}]\n"
            f"streams:\n  yard: {{source: rtsp://{listen}/cam, transport: auto}}\n"
        )
        serve = (BINARY, "serve-file", CLIP, "--loop", "--name", "cam", "--listen", listen)
        with Program("camera", *network.prefix(), *serve), Relay("--config", config, stream="yard") as relay:
            viewer = crowd.add(relay.url)

            def now(what, transport):
                state = json.loads(relay.get("/api/v1/streams/yard"))["source"]
                if state["transport"] != transport or relay.metric("fanlight_source_up", stream="yard") != [1.0]:
                    raise Failure(f"{what}: {state}")

            def counted(name):
                return sum(relay.metric(f"fanlight_source_{name}_packets_total", stream="yard"))

            crowd.expect("a second of pictures", 10, lambda: viewer.frames > 24)
            now("before", "udp")
            network.does("loss 5% delay 2ms reorder 98%")
            lost, received, frames = counted("lost"), counted("received"), viewer.frames
            crowd.watch(15)
            lost, received = counted("lost") - lost, counted("received") - received
            share = lost / (lost + received)
            if not 0.02 < share < 0.09 or viewer.frames - frames < 15 * 5:
                raise Failure(f"{share:.1%} lost of 5 %, {viewer.frames - frames} frames in 15 s")
            now("with 5 % loss", "udp")
            network.does("loss 12%")
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                crowd.watch(1)
                if json.loads(relay.get("/api/v1/streams/yard"))["source"]["transport"] == "tcp":
                    break
            frames = viewer.frames
            crowd.watch(5)
            now("with 12 % loss", "tcp")
            if viewer.frames == frames or viewer.closed:
                raise Failure("no pictures over TCP")


CHECKS = {"a network that loses datagrams (netem)": five_and_ten_per_cent}
