"""Every way from the relay to a camera, with somebody else at its other end: TLS, tunnels, proxies, multicast, an address to
connect from. The camera numbers its pictures; behind the relay none of them may be missing."""

import contextlib
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from .network import Network
from .players import DECODE
from .programs import LIMIT, Failure, ForeignServer, Program, Relay, free_port, run

PICTURES = 75
"""Three seconds of them, two key frames and more."""
WIDTH, HEIGHT = 16, 9


BEFORE_THE_FIRST = re.compile(r"\[h264 @ 0x[0-9a-f]+\] (Missing reference picture, default is \d+|decode_slice_header error|no frame!)")
"""What ffmpeg says of pictures whose key frame went by before it came."""


def numbers(url, transport="tcp", pictures=PICTURES, prefix=(), joins=False):
    """The numbers of so many pictures, as ffmpeg decodes them; a complaint of it fails. Who `joins` others hears the rest of
    what they have begun first."""
    command = (
        *prefix, "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-rtsp_transport", transport, "-i", url,
        "-vf", f"scale={WIDTH}:{HEIGHT}:flags=area", *DECODE, "-frames:v", str(pictures), "-pix_fmt", "gray",
        "-f", "rawvideo", "-",
    )  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"ffmpeg {url}: {len(late.stdout or b'') // (WIDTH * HEIGHT)} pictures in {LIMIT} s") from None
    said = done.stderr.decode("utf8", "replace")
    complaints = [line for line in said.splitlines() if not (joins and BEFORE_THE_FIRST.fullmatch(line.strip()))]
    if done.returncode != 0 or complaints:
        raise Failure(f"ffmpeg {url}: exit {done.returncode}, printed: {said[-2000:]}")
    rows = [done.stdout[at : at + WIDTH] for at in range(0, len(done.stdout), WIDTH * HEIGHT)]
    return [sum((row[bit] > 128) << (WIDTH - 1 - bit) for bit in range(WIDTH)) for row in rows]


def misses_nothing(relay, stream, transport="tcp"):
    """A viewer decodes every picture in its turn, and the relay counts no packet of that stream as lost. It comes
    when there is something to see: GStreamer's server takes its time to begin, one encoder after the other."""
    relay.wait_for(f"{stream} is up", lambda: relay.metric("fanlight_source_up", stream=stream) == [1.0], 30)
    seen = numbers(relay.url_of(stream), transport)
    if len(seen) < PICTURES or seen != list(range(seen[0], seen[0] + len(seen))):
        raise Failure(f"{stream}: {len(seen)} pictures, not one after the other: {seen}")
    lost = sum(relay.metric("fanlight_source_lost_packets_total", stream=stream))
    received = sum(relay.metric("fanlight_source_received_packets_total", stream=stream))
    if lost or received < PICTURES:
        raise Failure(f"{stream}: {lost:.0f} packets lost of {received:.0f}")


class Upstream(Relay):
    """A relay with one stream for each way; `streams` gives the keys of each, in YAML's flow form."""

    def __init__(self, folder, streams, rtsp="", **how):
        lines = "".join(f"  {name}: {{{keys}}}\n" for name, keys in streams.items())
        config = Path(folder) / f"fanlight-{time.monotonic_ns()}.yml"
        config.write_text(f"rtsp: {{{rtsp}}}\nstreams:\n{lines}")
        super().__init__("--config", config, stream=next(iter(streams)), **how)

    def is_up(self):
        """The sidecar answers: what becomes of the streams is each check's own matter."""
        with contextlib.suppress(OSError):
            return bool(self.get("/livez"))

    def source(self, stream):
        return json.loads(self.get(f"/api/v1/streams/{stream}"))["source"]

    def refuses(self, stream, *words, seconds=20):
        """The stream does not come up, and its failure is told in these words."""

        def told():
            failure = self.source(stream)["last_failure"] or {"message": ""}
            return all(word in failure["message"] for word in words)

        self.wait_for(f"{stream} fails with {words}: {self.source(stream)}", told, seconds)
        if self.metric("fanlight_source_up", stream=stream) != [0.0]:
            raise Failure(f"{stream} is up in spite of it")


# TLS


class Certificates:
    """An authority made for this check, and a certificate of its for `localhost`."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.authority, self.pem = self.folder / "ca.crt", self.folder / "camera.pem"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        self.openssl("req", "-x509", *key, "-subj", "/CN=a test's authority", "-keyout", "ca.key", "-out", "ca.crt")
        self.openssl("req", *key[:-2], "-subj", "/CN=localhost", "-keyout", "camera.key", "-out", "camera.csr")
        (self.folder / "names").write_text("subjectAltName=DNS:localhost\n")
        self.openssl(
            "x509", "-req", "-in", "camera.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "camera.crt",
        )  # fmt: skip
        self.pem.write_text((self.folder / "camera.crt").read_text() + (self.folder / "camera.key").read_text())
        said = self.openssl("x509", "-in", "camera.crt", "-noout", "-fingerprint", "-sha256")
        self.fingerprint = said.partition("=")[2].strip()

    def openssl(self, *arguments):
        done = subprocess.run(
            ("openssl", *arguments), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
        )
        if done.returncode != 0:
            raise Failure(f"openssl {arguments[0]}: {done.stderr}")
        return done.stdout


class Stunnel(Program):
    """TLS in front of a server that has none."""

    def __init__(self, folder, pem, server):
        self.port = free_port()
        config = Path(folder) / f"stunnel-{self.port}.conf"
        config.write_text(
            f"foreground = yes\npid =\n[camera]\naccept = 127.0.0.1:{self.port}\nconnect = 127.0.0.1:{server.port}\n"
            f"cert = {pem}\n"
        )
        super().__init__("stunnel", "stunnel4", config)

    def __enter__(self):
        self.wait_for("it is ready", lambda: "Configuration successful" in self.said() + self.log())
        return self


def tls():
    """Verified against an authority and a name, pinned, and any by choice, with GStreamer's own TLS and stunnel's."""
    with tempfile.TemporaryDirectory() as folder:
        made = Certificates(folder)
        with (
            ForeignServer(0, "--tls", made.pem) as server,
            ForeignServer() as plain,
            Stunnel(folder, made.pem, plain) as stunnel,
        ):
            wrong = made.fingerprint.replace(made.fingerprint[:2], "00" if made.fingerprint[:2] != "00" else "01", 1)
            own, other = f"localhost:{server.port}/count", f"localhost:{stunnel.port}/count"
            pinned = f'source: "rtsps://127.0.0.1:{server.port}/count", tls_fingerprint: "{made.fingerprint}"'
            streams = {
                "verified": f'source: "rtsps://{own}"',
                "verified-stunnel": f'source: "rtsps://{other}"',
                "pinned": pinned,
                "any": f'source: "rtspx://127.0.0.1:{stunnel.port}/count"',
                "wrong-pin": pinned.replace(made.fingerprint, wrong),
                "wrong-name": f'source: "rtsps://127.0.0.1:{server.port}/count"',
            }
            with Upstream(folder, streams, env={"SSL_CERT_FILE": str(made.authority)}) as relay:
                for stream in ("verified", "verified-stunnel", "pinned", "any"):
                    misses_nothing(relay, stream)
                relay.refuses("wrong-pin", "TLS", "not the pinned one")
                relay.refuses("wrong-name", "TLS", "not valid for name")
            with Upstream(folder, {"unknown": f'source: "rtsps://{own}"'}) as relay:
                relay.refuses("unknown", "TLS", "UnknownIssuer", "pin its fingerprint")


# Tunnels


def http_tunnels():
    """RTSP over HTTP, which GStreamer's server speaks on its RTSP port, and the same in TLS."""
    with tempfile.TemporaryDirectory() as folder, ForeignServer() as server:
        made = Certificates(folder)
        with Stunnel(folder, made.pem, server) as stunnel:
            streams = {
                "http": f'source: "rtsp+http://127.0.0.1:{server.port}/count"',
                "https": f'source: "rtsp+https://localhost:{stunnel.port}/count"',
                "https-pinned": f'source: "rtsps+http://127.0.0.1:{stunnel.port}/count",'
                f' tls_fingerprint: "{made.fingerprint}"',
            }
            with Upstream(folder, streams, env={"SSL_CERT_FILE": str(made.authority)}) as relay:
                for stream in streams:
                    misses_nothing(relay, stream)


# Proxies


class Proxy(Program):
    """A proxy that connects from an address of its own, so that the camera sees who came."""

    def __init__(self, name, address, port, *command):
        self.address, self.port = address, port
        super().__init__(name, *command)

    def __enter__(self):
        self.wait_for("it listens", lambda: listens(self.port))
        return self


def listens(port):
    return re.search(rf"127\.0\.0\.1:{port}\b.*LISTEN|LISTEN.*127\.0\.0\.1:{port}\b", run("ss", "-Hltn")[1])


def microsocks(address, *login):
    port = free_port()
    return Proxy("microsocks", address, port, "microsocks", "-i", "127.0.0.1", "-p", port, "-b", address, *login)


def tinyproxy(folder, address, login=""):
    port = free_port()
    config = Path(folder) / f"tinyproxy-{port}.conf"
    config.write_text(
        f"Port {port}\nListen 127.0.0.1\nBind {address}\nTimeout 60\nAllow 127.0.0.0/8\n"
        + (f"BasicAuth {login}\n" if login else "")
    )
    return Proxy("tinyproxy", address, port, "tinyproxy", "-d", "-c", config)


def proxies():
    """SOCKS5 and HTTP CONNECT, with and without a login; what a proxy refuses is told in words; its camera stays unknown."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ForeignServer() as server,
        microsocks("127.0.0.21") as open_socks,
        microsocks("127.0.0.22", "-u", "ann", "-P", "hunter2") as socks,
        tinyproxy(folder, "127.0.0.23") as open_http,
        tinyproxy(folder, "127.0.0.24", "ann hunter2") as http,
    ):
        ways = {
            "socks5": ("socks5://", open_socks),
            "socks5-login": ("socks5://ann:hunter2@", socks),
            "connect": ("http://", open_http),
            "connect-login": ("http://ann:hunter2@", http),
            "socks5-wrong": ("socks5://ann:wrong@", socks),
            "connect-wrong": ("http://ann:wrong@", http),
        }
        streams = {
            name: f'source: "{server.url}/count", proxy: "{scheme}127.0.0.1:{proxy.port}"'
            for name, (scheme, proxy) in ways.items()
        }
        with Upstream(folder, streams) as relay:
            for stream in ways:
                if not stream.endswith("wrong"):
                    misses_nothing(relay, stream)
            relay.refuses("socks5-wrong", "the proxy refuses the user name or the password")
            relay.refuses("connect-wrong", "proxy", "user name or password")
            if "hunter2" in relay.log() + relay.get("/api/v1/streams"):
                raise Failure("a proxy's password is shown")
        came_from = set(server.peers())
        expected = {proxy.address for _, proxy in ways.values()}
        if came_from != expected:
            raise Failure(f"connections from {came_from}, not from the proxies {expected}")


# Multicast, and an address of one's own


def multicast():
    """From a group that GStreamer's server names: it sends once for two relays, and neither misses a picture. In a network
    of its own, since the server keeps the group's ports for itself on its machine."""
    with Network() as network, tempfile.TemporaryDirectory() as folder:
        options = ("--group", "239.255.83.17", "--interface", network.theirs)
        with ForeignServer(0, *options, host=network.camera, prefix=network.prefix()) as server:
            streams = {"group": f'source: "{server.url}/count", transport: multicast'}
            with Upstream(folder, streams) as relay, Upstream(folder, streams) as other:
                for each in (relay, other):
                    misses_nothing(each, "group")
                joined = run("ss", "-Hlun")[1].count("239.255.83.17:")
                if joined != 4:
                    raise Failure(f"{joined} sockets listen to the group, not an RTP and an RTCP one for each relay")


def source_address():
    """`source_address` is where the camera sees the relay come from, and where it sends its datagrams to."""
    with tempfile.TemporaryDirectory() as folder, ForeignServer() as server:
        streams = {
            "tcp": f'source: "{server.url}/count", source_address: 127.0.0.2',
            "udp": f'source: "{server.url}/count", source_address: 127.0.0.2, transport: udp',
            "tunnel": f'source: "rtsp+http://127.0.0.1:{server.port}/count", source_address: 127.0.0.2',
            "elsewhere": f'source: "{server.url}/count", source_address: 203.0.113.7',
        }
        with Upstream(folder, streams) as relay:
            for stream in ("tcp", "udp", "tunnel"):
                misses_nothing(relay, stream)
            relay.refuses("elsewhere", "connecting from 203.0.113.7", "annot assign")
        if set(server.peers()) != {"127.0.0.2"}:
            raise Failure(f"the camera sees {set(server.peers())}")


CHECKS = {
    "upstream over TLS: verified, pinned, refused": tls,
    "upstream in HTTP and HTTPS tunnels": http_tunnels,
    "upstream through SOCKS5 and CONNECT proxies": proxies,
    "upstream from a multicast group": multicast,
    "upstream from an address of one's own": source_address,
}
