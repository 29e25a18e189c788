"""Players that log in, and what becomes of those who cannot."""

import re
import tempfile
import urllib.error
import urllib.request

from . import players
from .operation import write
from .programs import BINARY, CLIP, Failure, Relay, answers, free_udp_pair, run, run_apart

PASSWORD = "pl4nted-p4ssw0rd"
USERS = f"""
streams:
  clip: {{file: {CLIP}, fps: 15}}
users:
  ann: {{password: {PASSWORD}}}
access: [{{users: any, allow: [watch, metrics]}}]
login: {{delay: 100ms, failures: 50, link_secret: pl4nted-l1nk-s3cret}}
"""


class Guarded(Relay):
    """A relay with a user; it is up once it asks who is there."""

    def __init__(self, folder, config=USERS):
        udp = free_udp_pair()
        self.config = write(folder, f"rtsp: {{udp_ports: [{udp}, {udp + 1}]}}\n{config}")
        super().__init__("--config", self.config, "--log-level", "trace", stream="clip")

    def is_up(self):
        return answers(self.url) == 401

    def login(self, password=PASSWORD):
        return self.url.replace("rtsp://", f"rtsp://ann:{password}@")


def ffmpeg_and_gstreamer_log_in():
    """Digest, over TCP and UDP; the password is in no line of the log, no page and no metric."""
    with tempfile.TemporaryDirectory() as folder, Guarded(folder) as relay:
        jobs = [(players.ffmpeg, relay.login(), transport) for transport in ("tcp", "udp")]
        jobs += [(players.gstreamer, relay.login(), transport) for transport in ("tcp", "udp")]
        players.all_at_once(jobs)
        players.mpv(relay.login())
        for url in (relay.url, relay.login("wrong")):
            status, said = run("ffprobe", "-v", "error", "-rtsp_transport", "tcp", url)
            if status == 0 or "401" not in said:
                raise Failure(f"ffprobe with {url}: exit {status}, printed: {said}")
        page = fetch(relay, "/metrics")
        failures = int(re.search(r"^fanlight_auth_failures_total (\d+)$", page, re.M).group(1))
        if failures < 1:
            raise Failure("a wrong password was not counted")
        everything = relay.said() + relay.log() + page + fetch(relay, "/") + fetch(relay, "/api/v1/streams")
        for secret in (PASSWORD, "pl4nted"):
            if secret in everything:
                raise Failure(f"{secret} is shown: {[line for line in everything.splitlines() if secret in line][:3]}")


def fetch(relay, path):
    """A page of the sidecar, logged in; without, it must be refused."""
    url = f"http://127.0.0.1:{relay.http}{path}"
    try:
        urllib.request.urlopen(url, timeout=10)
        raise Failure(f"{path} is open to everybody")
    except urllib.error.HTTPError as refused:
        if refused.code != 401:
            raise Failure(f"{path}: {refused.code} without a log-in") from None
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, url, "ann", PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    with opener.open(url, timeout=10) as answer:
        return answer.read().decode()


def hashes_and_links_from_the_command_line():
    """`hash-password` makes what logs in, `link` what opens one stream for a while."""
    with tempfile.TemporaryDirectory() as folder:
        hashed = run_hash("ann", PASSWORD)
        if PASSWORD in hashed:
            raise Failure("hash-password printed the password")
        streams, _, rest = USERS.partition("users:")
        config = streams + hashed + "\n" + rest.partition("\n")[2].partition("\n")[2]
        with Guarded(folder, config) as relay:
            players.ffmpeg(relay.login(), "tcp")
            status, link, said = run_apart(
                BINARY, "link", "clip", "--config", relay.config, "--for", "1h", "--host", f"127.0.0.1:{relay.rtsp}"
            )
            if status != 0:
                raise Failure(f"link: exit {status}: {said}")
            link = link.strip()
            jobs = [(players.ffmpeg, link, "tcp"), (players.ffmpeg, link, "udp"), (players.gstreamer, link, "tcp")]
            players.all_at_once(jobs)
            for wrong in (link[:-1], link.replace("/clip", "/other"), re.sub(r"token=\d+", "token=9999999999", link)):
                if answers(wrong) != 401:
                    raise Failure(f"{wrong} is answered with {answers(wrong)}")
            _, gone, _ = run_apart(BINARY, "link", "clip", "--config", relay.config, "--for", "0s", "--host", f"127.0.0.1:{relay.rtsp}")
            if answers(gone.strip()) != 401:
                raise Failure("an expired link opens")


def run_hash(user, password):
    import subprocess

    done = subprocess.run([BINARY, "hash-password", user], input=password + "\n", capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or done.stderr:
        raise Failure(f"hash-password: exit {done.returncode}: {done.stderr}")
    return done.stdout


CHECKS = {
    "ffmpeg, GStreamer and mpv log in": ffmpeg_and_gstreamer_log_in,
    "password hashes and watch links": hashes_and_links_from_the_command_line,
}
