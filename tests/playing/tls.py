"""RTSPS and HTTPS: players over TLS, another certificate while they play, and what openssl says of the port."""

import http.client
import re
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from . import players
from .operation import write
from .programs import BINARY, CLIP, LIMIT, Failure, Relay, answers, free_port, run, run_apart

VIEWERS = 4
"""That play while the certificate changes: half of them ffmpeg, half GStreamer."""
ROUNDS = 2


class Encrypted(Relay):
    """A relay with a certificate of its own making."""

    def __init__(self, folder):
        self.folder_of_files = Path(folder)
        self.rtsps, self.https = free_port(), free_port()
        self.fingerprint = self.certify()
        config = write(folder, f"""
rtsp: {{tls_listen: 127.0.0.1:{self.rtsps}}}
http: {{tls_listen: 127.0.0.1:{self.https}}}
tls: {{certificate: {folder}/relay.crt, key: {folder}/relay.key}}
streams: {{clip: {{file: {CLIP}, fps: 15}}}}
""")
        super().__init__("--config", config, "--log-level", "debug", stream="clip")
        self.secure = f"rtsps://127.0.0.1:{self.rtsps}/clip"

    def certify(self):
        """Makes another certificate; gives its fingerprint."""
        new = self.folder_of_files / "new"
        new.mkdir(exist_ok=True)
        status, said, complaints = run_apart(
            BINARY, "self-signed", "localhost", "127.0.0.1", "--certificate", new / "relay.crt", "--key", new / "relay.key"
        )
        found = re.search(r'tls_fingerprint: "((?:[0-9a-f]{2}:){31}[0-9a-f]{2})"', said)
        if status != 0 or complaints or not found:
            raise Failure(f"self-signed: exit {status}: {said}{complaints}")
        if (new / "relay.key").stat().st_mode & 0o077:
            raise Failure("others may read the key")
        for name in ("relay.key", "relay.crt"):
            (new / name).rename(self.folder_of_files / name)
        return found.group(1)

    def shown(self, port):
        """The fingerprint of the certificate that a new connection gets."""
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
        status, said = run_openssl("x509", "-noout", "-fingerprint", "-sha256", text=pem)
        return said.strip().partition("=")[2].lower() if status == 0 else said


class WithoutCamera(Relay):
    """A relay that cannot reach its camera."""

    def __enter__(self):
        self.wait_for(f"DESCRIBE {self.url}", lambda: answers(self.url) == 503, 30)
        return self


def run_openssl(*arguments, text=""):
    done = subprocess.run(["openssl", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=LIMIT)
    return done.returncode, done.stdout + done.stderr


def s_client(port, *options):
    """Whether openssl shakes hands, and everything it printed. At its lowest level of security: what is refused, the relay
    refuses."""
    said = run_openssl("s_client", "-connect", f"127.0.0.1:{port}", "-cipher", "ALL:@SECLEVEL=0", *options)[1]
    return "Cipher is (NONE)" not in said and "New, TLS" in said, said


def gstreamer(url, frames):
    """As `players.gstreamer`, with a certificate that nobody vouches for."""
    _, said = run(
        "gst-launch-1.0", "rtspsrc", f"location={url}", "tls-validation-flags=0", "latency=200",
        "!", "rtpjpegdepay", "!", "jpegdec", "!", "fakesink", f"num-buffers={frames}", "sync=false",
        env={"GST_DEBUG": "1,rtpjpegdepay:3,jpegdec:3", "GST_DEBUG_NO_COLOR": "1"},
    )  # fmt: skip
    playing, seen_all, _ = said.partition("Got EOS from element")
    if not seen_all or re.search(r"\b(ERROR|CRITICAL)\b", playing):
        raise Failure(f"gst-launch-1.0 of {url}: {said[-2000:]}")


def players_over_tls():
    """ffmpeg and GStreamer play `rtsps://`; another Fanlight takes the stream by its fingerprint and by no other."""
    with tempfile.TemporaryDirectory() as folder, Encrypted(folder) as relay:
        players.all_at_once([(players.ffmpeg, relay.secure, "tcp"), (gstreamer, relay.secure, players.FRAMES)])
        if relay.metric("fanlight_viewer_sessions_total", stream="clip", transport="tls") != [2.0]:
            raise Failure(f"not two sessions over tls: {relay.get('/metrics')}")
        udp = relay.metric("fanlight_viewer_sessions_total", stream="clip", transport="udp")
        if udp != [0.0]:
            raise Failure(f"media in the clear: {udp}")
        status = run(BINARY, "healthcheck", f"https://127.0.0.1:{relay.https}/livez")
        if status != (0, ""):
            raise Failure(f"healthcheck over https: {status}")
        for fingerprint, edge in ((relay.fingerprint, Relay), ("00" * 32, WithoutCamera)):
            camera = f"{{source: '{relay.secure}', tls_fingerprint: '{fingerprint}'}}"
            config = write(folder, f"streams: {{again: {camera}}}", "edge.yml")
            with edge("--config", config, stream="again") as edge:
                if edge.is_up():
                    players.ffmpeg(edge.url, "tcp")
                else:
                    edge.logs("certificate is not the pinned one")


def certificate_under_load():
    """Another certificate, twice: who plays misses nothing, who comes gets the new one; one that cannot be used is refused."""
    with tempfile.TemporaryDirectory() as folder, Encrypted(folder) as relay:
        for round in range(ROUNDS):
            frames = 8 * 15
            jobs = [(players.ffmpeg, relay.secure, "tcp", frames)] * (VIEWERS // 2)
            jobs += [(gstreamer, relay.secure, frames)] * (VIEWERS // 2)
            jobs += [(swap, relay, round)]
            players.all_at_once(jobs)
        lost = sum(relay.metric("fanlight_viewer_skipped_frames_total", stream="clip"))
        sessions = relay.metric("fanlight_viewer_sessions_total", stream="clip", transport="tls")
        if lost or sessions != [float(VIEWERS * ROUNDS)]:
            raise Failure(f"{lost} pictures lost, {sessions} sessions: somebody had to come back")


def swap(relay, round):
    """Puts another certificate in place once all viewers play, then one that is none."""
    relay.wait_for("all play", lambda: relay.viewers() == VIEWERS)
    before = relay.shown(relay.rtsps)
    new = relay.certify()
    relay.wait_for("the new certificate", lambda: relay.shown(relay.rtsps) == new)
    if before == new or relay.shown(relay.https) != new:
        raise Failure(f"{before}, then {new}, and over https {relay.shown(relay.https)}")
    # A key without its certificate: said, and nothing changes.
    refused = r"configuration not reloaded: tls\.key"
    seen = len(re.findall(refused, relay.log()))
    key = (relay.folder_of_files / "relay.key").read_text()
    (relay.folder_of_files / "relay.key").write_text("nothing")
    relay.logs(refused, times=seen + 1)
    if relay.shown(relay.rtsps) != new or relay.viewers() != VIEWERS:
        raise Failure("a broken certificate changed something")
    (relay.folder_of_files / "relay.key").write_text(key)
    time.sleep(0.5)


def versions():
    """openssl gets TLS 1.2 and 1.3 with suites that have forward secrecy, and nothing below, on both ports."""
    with tempfile.TemporaryDirectory() as folder, Encrypted(folder) as relay:
        for port in (relay.rtsps, relay.https):
            for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
                shaken, said = s_client(port, option)
                if not shaken or f"{version}, Cipher is" not in said.replace("New, ", ""):
                    raise Failure(f"{option}: {said[-1500:]}")
            for option in ("-tls1", "-tls1_1"):
                shaken, said = s_client(port, option)
                if shaken or not re.search(r"alert (protocol version|handshake failure)", said):
                    raise Failure(f"{option}: {said[-1500:]}")
            for cipher in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "NULL", "aNULL"):
                if s_client(port, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")[0]:
                    raise Failure(f"{cipher} is spoken")
        browser = http.client.HTTPSConnection("127.0.0.1", relay.https, timeout=10, context=ssl._create_unverified_context())
        browser.request("GET", "/api/v1/streams")
        if browser.getresponse().status != 200:
            raise Failure("the API is not there over https")
        browser.close()
        no_tls = "did not become one over TLS"
        says_one_line(relay, no_tls, lambda: knock(relay.rtsps, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
        says_one_line(relay, no_tls, lambda: knock(relay.https, b"GET / HTTP/1.0\r\n\r\n"))
        says_one_line(relay, "TLS on the port of plain RTSP", lambda: s_client(relay.rtsp))


def says_one_line(relay, pattern, action):
    """The wrong language at a door is worth a line of debug, and no more."""
    time.sleep(0.5)  # for the lines of what was before
    before = len(relay.log().splitlines())
    action()
    relay.wait_for("a line", lambda: len(relay.log().splitlines()) > before)
    time.sleep(0.5)
    lines = relay.log().splitlines()[before:]
    if len(lines) != 1 or pattern not in lines[0]:
        raise Failure(f"not one line with {pattern!r}: {lines}")


def knock(port, text):
    """Says something to a door for TLS; it must not be answered in the clear."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as door:
        door.sendall(text)
        answer = b""
        while more := door.recv(4096):
            answer += more
    if answer.startswith((b"RTSP", b"HTTP")):
        raise Failure(f"answered in the clear: {answer}")


CHECKS = {
    "players over TLS": players_over_tls,
    "another certificate under load": certificate_under_load,
    "TLS versions and the wrong door": versions,
}
