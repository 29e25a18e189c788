"""Planted secrets: every kind that the relay is told, in every place where it could come out again."""

import base64
import hashlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import socketserver
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from . import players
from .operation import write
from .programs import BINARY, CLIP, Failure, Relay, answers, free_port, free_udp_pair, run_apart
from .wire import CameraServer

PLANTED = {  # by what it is: passwords of cameras by where they stand, of users, of what is on the way
    "url": "pl4nted url/pass:word",
    "yaml": "pl4nted-yaml-password",
    "environment": "pl4nted-from-environment",
    "wrong": "pl4nted-wrong-password",
    "basic": "pl4nted-basic-password",
    "proxy": "pl4nted-proxy-password",
    "tunnel": "pl4nted-tunnel-password",
    "user": "pl4nted-user-password",
    "hashed": "pl4nted-hashed-password",
    "guess": "pl4nted-guessed-password",
    "links": "pl4nted-link-secret",
    "api": "pl4nted-api-password",
    "misplaced": "pl4nted-misplaced",
}
REALM = "fanlight"


def disguises(secret, users):
    """A secret as it is, and as it travels."""
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield urllib.parse.quote(secret)
    yield json.dumps(secret)[1:-1]
    for lead in ("", "x", "xx"):
        # Inside Basic credentials, wherever it begins; what the neighbours change is left out.
        encoded = base64.b64encode((lead + secret).encode()).decode().rstrip("=")
        yield encoded[4 if lead else 0 : -1]
    for user in users:
        for algorithm in (hashlib.md5, hashlib.sha256):
            yield algorithm(f"{user}:{REALM}:{secret}".encode()).hexdigest()


def found(text, secrets):
    """The lines of a text that show a secret, with its kind."""
    every = [(kind, form) for kind, secret in secrets.items() for form in disguises(secret, ("ann", "bob", "relay"))]
    return [f"{kind}: {line[:300]}" for line in text.splitlines() for kind, form in every if form in line]


class BasicCamera(CameraServer):
    """Knows Basic only, and lets nobody in."""

    def __init__(self):
        self.told = []
        super().__init__(Refusal)


class Refusal(socketserver.StreamRequestHandler):
    timeout = 20

    def handle(self):
        try:
            while head := b"".join(iter(lambda: self.rfile.readline(4096).strip(), b"")).decode("latin1"):
                self.server.told += re.findall(r"Authorization: ?Basic ([\w+/=]+)", head)
                cseq = re.search(r"CSeq: ?(\d+)", head)
                answer = f'RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq[1] if cseq else 1}\r\nWWW-Authenticate: Basic realm="camera"\r\n\r\n'
                self.wfile.write(answer.encode())
        except OSError:
            pass


def configuration(folder, far, basic, closed):
    """Every kind of secret, each in the place that is made for it."""
    p, url = PLANTED, far.replace("rtsp://", "")
    hashed = hash_password("bob", p["hashed"])
    udp = free_udp_pair()
    quoted = urllib.parse.quote(p["url"], safe="")
    return write(folder, f"""
rtsp: {{udp_ports: [{udp}, {udp + 1}]}}
streams:
  clip: {{file: {CLIP}, fps: 15}}
  in-url: rtsp://relay:{quoted}@{url}
  in-yaml: {{source: '{far}', username: carol, password: '{p["yaml"]}'}}
  from-environment: {{source: '{far}', username: dave, password: '${{PLANTED}}', client: direct, transport: tcp}}
  wrong: {{source: 'rtsp://relay:{p["wrong"]}@{url}'}}
  basic: {{source: 'rtsp://relay:{p["basic"]}@127.0.0.1:{basic}/x'}}
  basic-direct: {{source: 'rtsp://relay:{p["basic"]}@127.0.0.1:{basic}/x', client: direct}}
  socks: {{source: '{far}', proxy: 'socks5://relay:{p["proxy"]}@127.0.0.1:{closed}'}}
  connect: {{source: '{far}', proxy: 'http://relay:{p["proxy"]}@127.0.0.1:{basic}'}}
  tunnel: {{source: 'rtsp+http://relay:{p["tunnel"]}@127.0.0.1:{basic}/x'}}
  refused: rtsp://relay:{p["tunnel"]}@127.0.0.1:{closed}/x
users:
  ann: {{password: '{p["user"]}'}}
{re.sub("^users:.*$", "", hashed, flags=re.M)}
login: {{delay: 100ms, failures: 1000, link_secret: '{p["links"]}'}}
""")  # fmt: skip


def hash_password(user, password):
    done = subprocess.run([BINARY, "hash-password", user], input=password + "\n", capture_output=True, text=True, timeout=60)
    return done.stdout


def far_relay(folder):
    """A camera that asks for a log-in: another Fanlight, with a user for each password."""
    p, udp = PLANTED, free_udp_pair()
    passwords = {"relay": p["url"], "carol": p["yaml"],
                 "dave": p["environment"]}  # fmt: skip
    users = "".join(f"  {user}: {{password: '{password}'}}\n" for user, password in passwords.items())
    text = f"rtsp: {{udp_ports: [{udp}, {udp + 1}]}}\nstreams: {{far: {{file: {CLIP}, fps: 15}}}}\nusers:\n{users}login: {{failures: 1000, delay: 10ms}}\n"
    return Guarded("--config", write(folder, text, "far.yml"), stream="far", env=TRACE)


TRACE = {"RUST_LOG": "trace", "RUST_BACKTRACE": "full"}


class Guarded(Relay):
    def is_up(self):
        return answers(self.url) == 401


def everything_it_says(relay):
    """All that can be read of a relay: pages, API, errors, descriptions; gives the text."""
    ann = base64.b64encode(("ann:" + PLANTED["user"]).encode()).decode()
    guess = base64.b64encode(("ann:" + PLANTED["guess"]).encode()).decode()
    said = ""
    secret = PLANTED["api"]
    api = json.dumps({"source": "rtsp://127.0.0.1:1/x", "username": "relay", "password": secret})
    broken = json.dumps({"source": f"rtsp://relay:{secret}@127.0.0.1:1/x", "password": [secret], "pasword": secret})
    asked = [("GET", path, None) for path in PAGES]
    asked += [("PUT", "/api/v1/streams/new", api), ("GET", "/api/v1/streams/new", None), ("PUT", "/api/v1/streams/new2", broken)]
    asked += [("POST", "/api/v1/streams/in-url/reconnect", None), ("GET", "/api/v1/streams", None)]
    for method, path, body in asked:
        for credentials in (None, f"Basic {ann}", f"Basic {guess}"):
            request = urllib.request.Request(f"http://127.0.0.1:{relay.http}{path}", body and body.encode(), method=method)
            if credentials:
                request.add_header("Authorization", credentials)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    text, headers = answer.read().decode(), str(answer.headers)
            except urllib.error.HTTPError as refused:
                text, headers = refused.read().decode(), str(refused.headers)
            # What was asked for may be named.
            said += (text + headers).replace(path, "") + "\n"
    for stream in STREAMS:
        said += rtsp(relay, stream, f"Basic {ann}") + rtsp(relay, stream, f"Basic {guess}")
    return said


PAGES = ("/", "/metrics", "/api/v1/streams", "/api/v1/streams/in-url", "/api/v1/streams/wrong", "/api/v1/streams/socks",
         "/api/v1/streams/connect", "/api/v1/streams/clip/viewers", "/api/v1/openapi.json", "/nothing", "/page.js", "/readyz")  # fmt: skip
STREAMS = ("clip", "in-url", "in-yaml", "from-environment", "wrong", "basic", "basic-direct", "socks", "connect", "tunnel", "refused")


def rtsp(relay, stream, credentials):
    """What DESCRIBE of a stream is answered with."""
    guess = PLANTED["guess"]
    url = f"rtsp://ann:{guess}@127.0.0.1:{relay.rtsp}/{stream}?token=1-{guess}"
    with socket.create_connection(("127.0.0.1", relay.rtsp), timeout=15) as connection:
        request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAuthorization: {credentials}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer.decode()


def misplaced(folder):
    """`fanlight check` of a file whose secrets stand in the wrong places."""
    secret = PLANTED["misplaced"]
    said = ""
    for text in (
        f"users: {{ann: {secret}}}",
        f"users: {{ann: {{password: [{secret}]}}}}",
        f"users: {{ann: {{password_hash: {secret}}}}}",
        f"login: {{link_secret: {{x: {secret}}}}}",
        f"streams: {{x: {{source: 'rtsp://relay:{secret}@', password: {{a: {secret}}}}}}}",
        f"streams: {{x: 'rtsp://relay:{secret}@host:notaport/x'}}",
        f"streams: {{x: {{source: 'rtsp://h/x', proxy: 'ftp://relay:{secret}@h'}}}}",
    ):
        status, out, complaints = run_apart(BINARY, "check", write(folder, text + "\n", "misplaced.yml"))
        if status != 2:
            raise Failure(f"check of {text!r}: exit {status}")
        said += out + complaints
    return said


def planted_secrets():
    """At trace level, with every way to fail tried, none of them is to be read anywhere."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    with tempfile.TemporaryDirectory() as folder, BasicCamera() as basic, far_relay(folder) as far:
        def cores():
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
            os.chdir(folder)

        config = configuration(folder, far.url, basic.port, free_port())
        environment = {**TRACE, "PLANTED": PLANTED["environment"]}
        with Guarded("--config", config, stream="clip", env=environment, preexec=cores) as relay:
            own = relay.url.replace("rtsp://", f"rtsp://ann:{PLANTED['user']}@")
            players.all_at_once([(players.ffmpeg, own, "tcp"), (players.gstreamer, own, "tcp")])
            status, link, _ = run_apart(BINARY, "link", "clip", "--config", config, "--for", "1h", "--host", f"127.0.0.1:{relay.rtsp}", env=environment)
            if status != 0:
                raise Failure(f"link: exit {status}")
            players.ffmpeg(link.strip(), "tcp")
            for good in ("in-url", "in-yaml", "from-environment"):
                relay.wait_for(f"{good} logs in", lambda name=good: '"live"' in rtsp_state(relay, name), 30)
            relay.wait_for("the camera was shown Basic", lambda: len(basic.told) > 1, 30)
            said = everything_it_says(relay)
            # A reload with secrets in the wrong places is refused in words.
            secret = PLANTED["misplaced"]
            before = config.read_text()
            config.write_text(before + f"\nlogins: {secret}\nstreams: {{x: {{password: [{secret}]}}}}\n")
            relay.logs("not reloaded")
            config.write_text(before)
            said += everything_it_says(relay) + misplaced(folder) + relay.said() + relay.log() + far.log()
            limit = open(f"/proc/{relay.process.pid}/limits").read()
            if not re.search(r"^Max core file size +0 ", limit, re.M):
                raise Failure("a core dump would be written")
            # Somebody wants one all the same.
            resource.prlimit(relay.process.pid, resource.RLIMIT_CORE, (hard, hard))
            relay.process.send_signal(signal.SIGABRT)
            if relay.ends(10) != -signal.SIGABRT:
                raise Failure(f"exit {relay.process.returncode} after SIGABRT")
            said += relay.log() + dumped(folder, hard)
    secrets = {**PLANTED, "a link": link.strip().partition("token=")[2]}
    shown = found(said, secrets)
    if shown:
        raise Failure(f"{len(shown)} times:\n" + "\n".join(shown[:20]))
    lines = len(re.findall("DEBUG|TRACE", said))
    print(f"    {len(said) / 1e6:.1f} MB were looked through, {lines} lines of log below info")
    if lines < 100 or "www-authenticate" not in said.lower():
        raise Failure("this proves nothing: the log is not at trace level")


def dumped(folder, limit):
    """The core dump that a process left in its folder, as text."""
    pattern = open("/proc/sys/kernel/core_pattern").read().strip()
    if pattern.startswith(("|", "/")) or limit == 0:
        print(f"    core dumps are not to be had here (limit {limit}, pattern {pattern}): none was looked through")
        return ""
    dumps = [path for path in pathlib.Path(folder).iterdir() if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    if len(dumps) != 1:
        raise Failure(f"{len(dumps)} core dumps: this proves nothing")
    print(f"    the core dump has {dumps[0].stat().st_size} bytes")
    return dumps[0].read_text("latin-1")


def rtsp_state(relay, stream):
    """What the API says of a stream."""
    ann = base64.b64encode(("ann:" + PLANTED["user"]).encode()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{relay.http}/api/v1/streams/{stream}", headers={"Authorization": f"Basic {ann}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


CHECKS = {"planted secrets": planted_secrets}
