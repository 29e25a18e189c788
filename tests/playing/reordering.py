"""Datagrams that overtake each other between somebody else's camera and the relay: each is there in its turn behind it."""

import contextlib
import heapq
import random
import re
import selectors
import socket
import tempfile
import threading
import time

from .lossy import Lossy
from .programs import Failure, ForeignServer, udp_pair
from .upstream import Upstream, misses_nothing

SHARE = 0.25
"""Of the datagrams, as netem's `delay 10ms reorder 25%`: they go at once, and past the others, which are held up."""
DELAY = 0.010


class Reordering:
    """A way to an RTSP server that rewrites the ports in SETUP, so that the datagrams pass here. Loses nothing."""

    def __init__(self, port):
        self.server = ("127.0.0.1", port)
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self.door.getsockname()[1]}"
        self.dice, self.late, self.passed, self.overtook = random.Random(83), [], 0, 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.door, selectors.EVENT_READ, self.accept)
        self.stopping = False
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join(5)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def serve(self):
        while not self.stopping:
            wait = self.late[0][0] - time.monotonic() if self.late else 0.1
            for key, _ in self.selector.select(max(0.0, min(wait, 0.1))):
                with contextlib.suppress(OSError):
                    key.data(key.fileobj)
            while self.late and self.late[0][0] <= time.monotonic():
                _, _, send = heapq.heappop(self.late)
                send()

    def accept(self, door):
        near, far = door.accept()[0], socket.create_connection(self.server)
        Conversation(self, near, far)

    def carry(self, send):
        """Passes a datagram on: one in four at once, past those that came before it."""
        self.passed += 1
        if self.dice.random() < SHARE:
            self.overtook += any(due > time.monotonic() for due, _, _ in self.late)
            send()
        else:
            heapq.heappush(self.late, (time.monotonic() + DELAY, self.passed, send))


class Conversation:
    """The requests and answers of one connection, and the ports they name: ours are put in their place."""

    def __init__(self, way, near, far):
        self.way, self.near, self.far, self.pairs = way, near, far, []
        way.selector.register(near, selectors.EVENT_READ, self.from_relay)
        way.selector.register(far, selectors.EVENT_READ, self.from_camera)

    def from_relay(self, near):
        self.pass_on(near, self.far, rb"client_port=(\d+)-(\d+)", self.asked)

    def from_camera(self, far):
        self.pass_on(far, self.near, rb"client_port=\d+-\d+(.*)server_port=(\d+)-(\d+)", self.answered)

    def pass_on(self, source, target, pattern, rewrite):
        data = source.recv(65536)
        if data:
            return target.sendall(re.sub(pattern, rewrite, data))
        for each in (self.near, self.far, *(each for pair in self.pairs for each in (*pair.towards_camera, *pair.towards_relay))):
            with contextlib.suppress(KeyError, OSError):
                self.way.selector.unregister(each)
            each.close()

    def asked(self, ports):
        pair = Pair(self.way, int(ports[1]))
        self.pairs.append(pair)
        return b"client_port=%d-%d" % pair.ports(pair.towards_camera)

    def answered(self, found):
        pair = self.pairs[-1]
        pair.camera = int(found[2])
        theirs = (pair.relay, pair.relay + 1, found[1], *pair.ports(pair.towards_relay))
        return b"client_port=%d-%d%bserver_port=%d-%d" % theirs


class Pair:
    """The ports of one track, ours in place of the relay's and in place of the camera's."""

    def __init__(self, way, relay):
        self.relay, self.camera = relay, None
        self.towards_camera, self.towards_relay = udp_pair(), udp_pair()
        for rtcp in (0, 1):
            camera, ours = self.towards_camera[rtcp], self.towards_relay[rtcp]
            way.selector.register(camera, selectors.EVENT_READ, lambda s, n=rtcp, to=ours: self.media(way, s, to, n))
            way.selector.register(ours, selectors.EVENT_READ, lambda s, n=rtcp, to=camera: self.report(s, to, n))

    @staticmethod
    def ports(pair):
        return tuple(each.getsockname()[1] for each in pair)

    def media(self, way, source, target, rtcp):
        data = source.recv(65536)

        def send(to=("127.0.0.1", self.relay + rtcp)):
            with contextlib.suppress(OSError):
                target.sendto(data, to)

        way.carry(send) if rtcp == 0 else send()

    def report(self, source, target, rtcp):
        data = source.recv(65536)
        if self.camera:
            target.sendto(data, ("127.0.0.1", self.camera + rtcp))


def one_in_four():
    """Every picture is decoded in its turn: by the direct client, and so where the client is chosen by the relay."""
    with ForeignServer() as server, Reordering(server.port) as way, tempfile.TemporaryDirectory() as folder:
        streams = {
            "udp": f'source: "{way.url}/count", transport: udp',
            "auto": f'source: "{way.url}/count", transport: auto',
        }
        with Upstream(folder, streams) as relay:
            for stream in streams:
                misses_nothing(relay, stream)
                if relay.source(stream)["transport"] != "udp":
                    raise Failure(f"{stream} came over {relay.source(stream)['transport']}")
        print(f"    {way.overtook} of {way.passed} datagrams overtook others")
        if way.overtook < way.passed * SHARE / 4 or way.passed < 200:
            raise Failure("that is no reordering: this proves nothing")


def one_in_four_by_netem():
    """The same where the kernel does it, between two network namespaces."""
    with Lossy() as network, tempfile.TemporaryDirectory() as folder:
        network.does("delay 10ms reorder 25%")
        with ForeignServer(host=network.camera, prefix=network.prefix()) as server:
            with Upstream(folder, {"udp": f'source: "{server.url}/count", transport: udp'}) as relay:
                misses_nothing(relay, "udp")


CHECKS = {
    "upstream over UDP, one datagram in four reordered": one_in_four,
    "upstream over UDP, one in four reordered (netem)": one_in_four_by_netem,
}
