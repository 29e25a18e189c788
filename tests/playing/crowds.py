"""Those who come in numbers, and mean no good: viewers in play lose nothing, and new ones get in."""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import re
import resource
import selectors
import socket
import tempfile
import time
from pathlib import Path

from .programs import Failure, ForeignServer, Relay, Skipped, free_udp_pair
from .wire import Crowd, Viewer

SILENT, DRIPPING, FLOODING = 10_000, 1_000, 1_000


class Mob:
    """Connections of the hostile kinds, kept up from a process of its own: one that is closed is replaced a second later."""

    def __init__(self, port):
        self.address = ("127.0.0.1", port)
        self.opened, self.answered = (multiprocessing.Value("q", 0, lock=False) for _ in range(2))
        self.process = multiprocessing.Process(target=self.run, daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join(10)

    def open(self, kind):
        each = socket.socket()
        each.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            each.connect(self.address)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if kind == "floods" else 0)
        self.selector.register(each, wanted, kind)
        self.opened.value += 1

    def run(self):
        self.selector, self.closed = selectors.EpollSelector(), collections.deque()
        for kind, count in (("says nothing", SILENT), ("drips", DRIPPING), ("floods", FLOODING)):
            for number in range(count):
                self.open(kind)
                if number % 50 == 0:
                    self.serve(0)
        dripped = time.monotonic()
        while True:
            self.serve(0.05)
            while self.closed and self.closed[0][0] < time.monotonic() - 1:
                self.open(self.closed.popleft()[1])
            if time.monotonic() - dripped > 1:
                dripped = time.monotonic()
                for key in list(self.selector.get_map().values()):
                    if key.data == "drips":
                        with contextlib.suppress(OSError):
                            key.fileobj.send(b"O")

    def serve(self, wait):
        for key, events in self.selector.select(wait):
            try:
                if events & selectors.EVENT_WRITE:
                    key.fileobj.send(FLOOD)
                if events & selectors.EVENT_READ:
                    data = key.fileobj.recv(65536)
                    self.answered.value += data.count(b"RTSP/1.0 200")
                    if not data:
                        raise ConnectionError
            except BlockingIOError:
                continue
            except OSError:
                self.selector.unregister(key.fileobj)
                key.fileobj.close()
                self.closed.append((time.monotonic(), key.data))


FLOOD = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 16


def descriptors(relay):
    return len(list(Path(f"/proc/{relay.process.pid}/fd").iterdir()))


def gets_in(relay, deadline):
    """A viewer, which tries again like any player when its connection falls to the crush before it has asked."""
    while True:
        try:
            return Viewer(relay.url, "tcp")
        except (OSError, Failure):
            if time.monotonic() > deadline:
                raise


def hostile_crowd():
    """10,000 connections that say nothing, 1000 that drip and 1000 that ask without an end, all from one address."""
    wanted = SILENT + DRIPPING + FLOODING + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Skipped(f"{hard} descriptors for each process here, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with ForeignServer() as camera, tempfile.TemporaryDirectory() as folder:
        udp = free_udp_pair()
        config = Path(folder) / "fanlight.yml"
        config.write_text(f"rtsp: {{udp_ports: [{udp}, {udp + 1}]}}\nstreams:\n  yard: {camera.url}/mjpeg\n")
        with Relay("--config", config, stream="yard") as relay, Crowd() as viewers:
            for transport in ("tcp", "udp") * 5:
                viewers.add(relay.url, transport)
            viewers.watch(1)
            before = descriptors(relay)
            with Mob(relay.rtsp) as mob, concurrent.futures.ThreadPoolExecutor(1) as pool:
                viewers.watch(120, lambda: mob.opened.value >= SILENT + DRIPPING + FLOODING)
                entries = []
                deadline = time.monotonic() + 15
                while time.monotonic() < deadline:
                    began = time.monotonic()
                    # Aside, so that those in play are read all the time.
                    entry = pool.submit(gets_in, relay, began + 10)
                    viewers.watch(20, entry.done)
                    newcomer = viewers.take(entry.result(0))
                    viewers.expect("a newcomer's first packet", 10, lambda n=newcomer: n.packets > 0)
                    entries.append(time.monotonic() - began)
                    viewers.watch(1)
                answered, opened = mob.answered.value, mob.opened.value
            limits = {name: sum(relay.metric("fanlight_limits_reached_total", limit=name)) for name in LIMITS}
            # What follows costs nothing once they are gone.
            viewers.expect("the descriptors are given back", 10, lambda: descriptors(relay) <= before + 2 * len(entries) + 5)
            viewers.watch(6)
            for viewer in viewers.viewers:
                viewer.check(late=2)
            lines = len(relay.log().splitlines())
            status = relay.process.poll()
    print(f"    {opened} hostile connections, {answered} of their requests answered; limits reached: {limits}")
    print(f"    {len(entries)} newcomers had their first picture after {sorted(entries)[len(entries) // 2]:.2f} s, the slowest {max(entries):.2f} s")
    if status is not None or max(entries) > 3 or lines > 60:
        raise Failure(f"exit {status}; newcomers after up to {max(entries):.2f} s; {lines} lines of log")
    if not limits["max_requests_per_address"]:
        raise Failure("nobody had to wait: this proves nothing")


LIMITS = ("max_connections", "max_connections_per_address", "max_requests", "max_requests_per_address")


def out_of_descriptors():
    """Connections are closed at once when there is no descriptor for them; viewers in play lose nothing."""
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))  # noqa: E731
    with Relay(preexec=few) as relay, Crowd() as viewers:
        for transport in ("tcp", "udp"):
            viewers.add(relay.url, transport)
        viewers.watch(1)
        with contextlib.ExitStack() as opened:
            closed = 0
            for _ in range(300):
                each = opened.enter_context(socket.create_connection(("127.0.0.1", relay.rtsp), timeout=5))
                each.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    closed += each.recv(100) == b""
                    continue
                closed += 1
            viewers.watch(2)
        if closed < 100:
            raise Failure(f"{closed} of 300 connections were closed: this proves nothing")
        # The descriptors are back as soon as the relay has seen that their connections are closed.
        viewers.expect("a newcomer is let in", 2, lambda: is_let_in(viewers, relay.url))
        viewers.watch(6)
        for viewer in viewers.viewers:
            viewer.check()
        complaints = re.findall("connections are closed at once.*", relay.log())
        if not 1 <= len(complaints) <= 5 or not sum(relay.metric("fanlight_limits_reached_total", limit="descriptors")):
            raise Failure(f"{len(complaints)} lines about it: {complaints}")


def is_let_in(viewers, url):
    with contextlib.suppress(ConnectionError, Failure):  # both: it depends on how far the handshake came
        return viewers.add(url)


CHECKS = {"a hostile crowd": hostile_crowd, "out of descriptors": out_of_descriptors}
