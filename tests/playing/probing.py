"""`fanlight probe` and `fanlight watch`: real servers, hosts that are none, and what a terminal sees of them."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
from pathlib import Path

from .programs import BINARY, CLIP, Failure, FileServer, ForeignServer, free_port, run, run_apart

SECRET = "hunter2-of-the-tests"


def probe(url, *arguments, limit=40):
    """Its exit code, its report as JSON, and how long it took."""
    started = time.monotonic()
    status, said, complaints = run_apart(BINARY, "probe", url, "--json", "--seconds", "2", *arguments, limit=limit)
    took = time.monotonic() - started
    if SECRET in said + complaints:
        raise Failure(f"the password is shown: {said + complaints}")
    if took > 26:
        raise Failure(f"{took:.1f} s, and 24 is the limit")
    return status, json.loads(said), took


def expect(found, **wanted):
    for key, value in wanted.items():
        if found[key] != value:
            raise Failure(f"{key}: {found[key]!r} and not {value!r}: {json.dumps(found, indent=1)}")


def advises(report, words):
    if not any(words in advice for advice in report["advice"]):
        raise Failure(f"no advice with {words!r}: {report['advice']}")


def check_configuration(report, **environment):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fanlight.yml"
        file.write_text(report["config"])
        status, said = run(BINARY, "check", file, env=environment)
        if status != 0:
            raise Failure(f"fanlight check: {said}\n{report['config']}")


def servers():
    """The bundled server and GStreamer's can be watched, over TCP and UDP, with their figures."""
    with FileServer(CLIP, "--loop", "--fps", "15", "--name", "door") as camera:
        status, report, _ = probe(camera.url.replace("rtsp://", f"rtsp://ann:{SECRET}@"))
        if status != 0:
            raise Failure(f"exit {status}: {report['summary']}")
        expect(report["tracks"][0], encoding="JPEG", width=640, height=360)
        for session in report["sessions"]:
            # A busy machine sends late; a mistake in counting is off by more.
            if abs(session["tracks"][0]["fps"] - 15) > 5:
                raise Failure(f"not 15 fps: {session}")
        check_configuration(report, CAM_PASSWORD=SECRET)
    with ForeignServer() as camera:
        status, report, _ = probe(f"{camera.url}/camera")
        if status != 0 or [session["state"] for session in report["sessions"]] != ["ok", "ok"]:
            raise Failure(f"exit {status}: {json.dumps(report, indent=1)}")
        expect(report["tracks"][0], encoding="H264", width=640, height=360)
        expect(report["sessions"][0]["tracks"][0], lost=0, gop_frames=25)
        check_configuration(report)
        status, said = run(BINARY, "probe", f"{camera.url}/camera", "--seconds", "1", "--transport", "tcp")
        for words in ("GStreamer", "640x360", "a key frame every 25 frames", "streams:"):
            if status != 0 or words not in said:
                raise Failure(f"exit {status}, and no {words!r} in: {said}")
        status, report, _ = probe(f"{camera.url}/nothing")
        expect(report, verdict="not_watchable")
        expect(report["failure"], **{"class": "not_found"})


class Odd(threading.Thread):
    """A camera of a few lines that gives the same description to everybody, or none but with the right password."""

    def __init__(self, sdp, locked=False):
        super().__init__(daemon=True)
        self.sdp, self.locked, self.tries = sdp, locked, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self.listener.getsockname()[1]}/x"
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            head = []
            for line in lines:
                head.append(line.decode())
                if line != b"\r\n":
                    continue
                cseq = next(text for text in head if text.startswith("CSeq"))
                self.tries += any(text.startswith("Authorization") for text in head)
                answer = f"RTSP/1.0 200 OK\r\n{cseq}"
                if self.locked and not head[0].startswith("OPTIONS"):
                    answer = f'RTSP/1.0 401 Unauthorized\r\n{cseq}WWW-Authenticate: Digest realm="x", nonce="1"\r\n\r\n'
                elif head[0].startswith("DESCRIBE"):
                    answer += f"Content-Length: {len(self.sdp)}\r\n\r\n{self.sdp}"
                else:
                    answer += "\r\n"
                connection.sendall(answer.encode())
                head = []


def failures():
    """A wrong password, a dead host, a broken description: verdict, exit code, advice, within the time."""
    locked = Odd("", locked=True)
    status, report, _ = probe(locked.url.replace("rtsp://", f"rtsp://ann:{SECRET}@"))
    expect(report["failure"], **{"class": "unauthorized", "step": "login"})
    advises(report, "wrong")
    if status != 1 or locked.tries != 1:
        raise Failure(f"exit {status}, {locked.tries} tries of a password")
    status, report, _ = probe(f"rtsp://127.0.0.1:{free_port()}/x")
    expect(report["failure"], **{"class": "refused", "step": "TCP"})
    advises(report, "nothing listens")
    # A host that takes connections (the system does it for a program that hangs) and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, report, took = probe(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x")
        expect(report["failure"], **{"class": "connect_timeout"})
        advises(report, "no RTSP")
    status, report, _ = probe(Odd("v=0\r\ns=broken\r\nno description at all\r\n").url)
    expect(report["failure"], **{"class": "protocol", "step": "DESCRIBE"})
    advises(report, "description")
    if status != 1:
        raise Failure(f"exit {status}")
    for url in ("http://10.0.0.7/x", "rtsp://", "nonsense"):
        status, said = run(BINARY, "probe", url)
        if status != 2 or not said.startswith("fanlight: the URL: "):
            raise Failure(f"{url}: exit {status}, {said}")


class Terminal:
    """A program on a terminal of its own; what it writes there."""

    def __init__(self, *command):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}
        )
        os.close(slave)
        self.seen = ""

    def until(self, words, seconds=15):
        deadline = time.monotonic() + seconds
        while words is None or words not in self.seen:
            if time.monotonic() > deadline:
                raise Failure(f"not within {seconds} s: {words!r} in {self.seen[-2000:]!r}")
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode("utf8", "replace")
                except OSError:
                    break
        if words is not None and words not in self.seen:
            raise Failure(f"ended without {words!r}: {self.seen[-2000:]!r}")

    def ends(self):
        self.until(None)
        os.close(self.master)
        return self.process.wait(10)


def terminal():
    """A probe shows what it does while it does it; a watch gives the terminal back on Ctrl-C; without one there are lines."""
    with FileServer(CLIP, "--loop", "--fps", "15", "--name", "door") as camera:
        shown = Terminal(BINARY, "probe", camera.url, "--seconds", "1", "--transport", "tcp")
        status = shown.ends()
        if status != 0 or not re.search(r"\x1b\[K. watching over tcp", shown.seen):
            raise Failure(f"exit {status}, and no progress: {shown.seen!r}")
        for how in (signal.SIGINT, signal.SIGTERM):
            shown = Terminal(BINARY, "watch", camera.url)
            shown.until("15.0 fps", 20)
            shown.process.send_signal(how)
            status = shown.ends()
            begun, ended = shown.seen.count("\x1b[?1049h"), shown.seen.rstrip().endswith("\x1b[?1049l")
            if status != 0 or begun != 1 or not ended or "\x1b[?25h" not in shown.seen:
                raise Failure(f"{how}: exit {status}, the terminal is left as {shown.seen[-200:]!r}")
        status, said = run(BINARY, "watch", camera.url, "--seconds", "4")
        lines = [line for line in said.splitlines() if "fps" in line]
        if status != 0 or len(lines) < 2 or "\x1b" in said:
            raise Failure(f"exit {status}: {said!r}")
    status, said = run(BINARY, "watch", camera.url, "--seconds", "2")
    if status != 1 or "refused" not in said:
        raise Failure(f"exit {status}: {said!r}")


def misbehaving():
    """A virtual camera with a schedule restarts and hangs, and serves in between."""
    arguments = ("--loop", "--fps", "15", "--name", "door", "--misbehave", "up 3s, refuse 2s, up 3s, hang 2s")
    with FileServer(CLIP, *arguments) as camera:
        status, said = run(BINARY, "watch", camera.url, "--seconds", "14")
        if status != 0 or "refused" not in said:
            raise Failure(f"no restart: {said}")
        if not re.search(r" 0\.0 fps", said):
            raise Failure(f"it never hangs: {said}")
        if len(re.findall(r" 1\d\.\d fps", said)) < 2:
            raise Failure(f"it does not serve in between: {said}")


CHECKS = {
    "probe of real servers": servers,
    "probe of what cannot be watched": failures,
    "probe and watch on a terminal": terminal,
    "a virtual camera that misbehaves": misbehaving,
}
