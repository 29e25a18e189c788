"""Programs under test and beside it: started on free ports, bounded in time, ended by whoever started them."""

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "release/fanlight"
CLIP = ROOT / "src/demo.mjpeg"
"""What the demo plays: 120 pictures of 640x360, 15 a second."""
LIMIT = 40
"""Seconds any one player may take; on a busy machine they start slowly."""


class Failure(Exception):
    """A check did not hold; the text says how."""


class Skipped(Exception):
    """What a check needs is not to be had on this machine; the text says what."""


class Program:
    """A server in the background, its output in files."""

    def __init__(self, name, *command, env=None, preexec=None):
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"fanlight-{name}-"))
        self.stdout, self.stderr = self.folder / "stdout", self.folder / "stderr"
        with open(self.stdout, "wb") as out, open(self.stderr, "wb") as err:
            self.process = subprocess.Popen(
                [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT,
                env={**os.environ, **(env or {})}, preexec_fn=preexec,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if kind is not None:
            print(f"    {self.name}: exit {self.process.returncode}; its last words:")
            for line in (self.said() + self.log()).splitlines()[-20:]:
                print(f"      {line}")
        shutil.rmtree(self.folder)

    def said(self):
        return self.stdout.read_text("utf8", "replace")

    def log(self):
        return self.stderr.read_text("utf8", "replace")

    def wait_for(self, what, condition, seconds=15):
        """Until `condition` gives something true; fails when the program ends or time is up."""
        deadline = time.monotonic() + seconds
        while True:
            result = condition()
            if result:
                return result
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode} before: {what}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name}: not within {seconds} s: {what}")
            time.sleep(0.05)

    def logs(self, pattern, seconds=10, times=1):
        """Waits for lines of the log."""
        self.wait_for(f"{times} log lines like {pattern!r}", lambda: len(re.findall(pattern, self.log())) >= times, seconds)

    def ends(self, seconds):
        """Its exit status, which must come within `seconds`."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} is still running after {seconds} s") from None


def run(*command, limit=LIMIT, env=None, cwd=ROOT):
    """One program to its end; gives exit status and everything it printed."""
    status, said, complaints = run_apart(*command, limit=limit, env=env, cwd=cwd, stderr=subprocess.STDOUT)
    return status, (said + complaints).strip()


def run_apart(*command, limit=LIMIT, env=None, cwd=ROOT, stderr=subprocess.PIPE):
    """One program to its end; gives exit status, stdout and stderr."""
    try:
        done = subprocess.run(
            [str(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            timeout=limit,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired as late:
        said = ((late.stdout or b"") + (late.stderr or b"")).decode("utf8", "replace")
        raise Failure(f"{command[0]} was not done after {limit} s: {said[-2000:]}") from None
    return done.returncode, done.stdout.decode("utf8", "replace"), (done.stderr or b"").decode("utf8", "replace")


def run_quietly(*command, **how):
    """A player that must succeed without a word."""
    status, said = run(*command, **how)
    if status != 0 or said:
        raise Failure(f"{command[0]}: exit {status}, printed: {said[-2000:] or 'nothing'}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def udp_pair():
    """Two bound UDP sockets, an even port and its successor. None of those that the kernel gives to players: a relay sends to
    the port of one that went without a word until its session is over, and hostile ones name ports that they saw elsewhere."""
    for _ in range(200):
        port = random.randrange(20_000, 32_000, 2)
        even, odd = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        with contextlib.suppress(OSError):
            even.bind(("127.0.0.1", port))
            odd.bind(("127.0.0.1", port + 1))
            return even, odd
        even.close()
        odd.close()
    raise Failure("no free pair of UDP ports")


def free_udp_pair():
    """An even UDP port whose successor is free too."""
    even, odd = udp_pair()
    with even, odd:
        return even.getsockname()[1]


def answers(url, method="DESCRIBE"):
    """The status that the server answers a request for `url` with; `None` without an answer."""
    host, port = re.match(r"rtsp://([^:/]+):(\d+)", url).groups()
    try:
        with socket.create_connection((host, int(port)), timeout=2) as rtsp:
            rtsp.settimeout(7)
            rtsp.sendall(f"{method} {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
            status = re.match(rb"RTSP/1\.0 (\d{3})", rtsp.recv(4096))
            return status and int(status.group(1))
    except OSError:
        return None


class Relay(Program):
    """The binary under test, on ports of its own, up when `stream` is."""

    def __init__(self, *arguments, stream="demo", host="127.0.0.1", env=None, preexec=None):
        self.rtsp, self.http, self.host = free_port(), free_port(), host
        listen = ["--rtsp-listen", f"{host}:{self.rtsp}", "--http-listen", f"127.0.0.1:{self.http}"]
        super().__init__("fanlight", BINARY, *arguments, *listen, env=env, preexec=preexec)
        self.url = self.url_of(stream)

    def __enter__(self):
        try:
            self.wait_for(f"DESCRIBE {self.url}", self.is_up, 30)
        except Failure as failure:
            self.__exit__(Failure, failure, None)
            raise
        return self

    def is_up(self):
        return answers(self.url) == 200

    def url_of(self, stream):
        return f"rtsp://{self.host}:{self.rtsp}/{stream}"

    def get(self, path):
        return self.request(path, "GET")

    def request(self, path, method):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def metric(self, name, **labels):
        """The values of the samples of `name` with these labels."""
        found = []
        for given, value in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", self.get("/metrics"), re.M):
            given = dict(re.findall(r'(\w+)="([^"]*)"', given))
            if labels.items() <= given.items():
                found.append(float(value))
        return found

    def viewers(self):
        return sum(self.metric("fanlight_viewers"))


class FileServer(Program):
    """`fanlight serve-file`: a virtual camera, on a port of its own or on the one of an earlier camera."""

    def __init__(self, file, *arguments, port=None):
        self.port = port or free_port()
        super().__init__("serve-file", BINARY, "serve-file", file, "--listen", f"127.0.0.1:{self.port}", *arguments)

    def __enter__(self):
        line = self.wait_for("its URL", lambda: re.fullmatch(r"(rtsp://127\.0\.0\.1:\d+/\S+)\n", self.said()))
        self.url = line.group(1)
        return self


class ForeignServer(Program):
    """GStreamer's RTSP server, which counts its clients."""

    def __init__(self, port=0, *options, host="127.0.0.1", prefix=()):
        self.host = host
        program = ("/usr/bin/python3", ROOT / "tests/gst_server.py", port, "--address", host.strip("[]"))
        super().__init__("gst-server", *prefix, *program, *options)

    def __enter__(self):
        line = self.wait_for("its port", lambda: re.search(r"listening (\d+)\n", self.said()), 30)
        self.port = int(line.group(1))
        self.url = f"rtsp://{self.host}:{self.port}"
        return self

    def clients(self):
        """Connections open now, and all so far."""
        counts = re.findall(r"clients (\d+) (\d+)\n", self.said())
        return tuple(int(n) for n in counts[-1]) if counts else (0, 0)

    def peers(self):
        """The addresses that connections came from, in order."""
        return re.findall(r"from (\S+)\n", self.said())
