"""A network of our own: a namespace for the camera, joined to the relay's by a pair of interfaces."""

import os
import subprocess

from .programs import Failure, Skipped


class Network:
    """Needs root. What runs under `prefix()` has an address and interfaces of its own."""

    def __init__(self):
        n = os.getpid() % 250
        self.name, self.ours, self.theirs = f"camera{n}", f"camera{n}a", f"camera{n}b"
        # RFC 2544 keeps these addresses for such tests.
        self.relay, self.camera = f"198.18.{n}.1", f"198.18.{n}.2"

    def __enter__(self):
        try:
            self.run("ip", "netns", "add", self.name)
            self.run("ip", "link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", self.name)
            self.run("ip", "address", "add", f"{self.relay}/30", "dev", self.ours)
            self.run("ip", "link", "set", self.ours, "up")
            self.inside("ip", "address", "add", f"{self.camera}/30", "dev", self.theirs)
            self.inside("ip", "link", "set", self.theirs, "up")
        except (OSError, Failure) as problem:
            self.__exit__()
            raise Skipped(f"network namespaces are not permitted here: {problem}") from None
        return self

    def __exit__(self, *_):
        # With the namespace goes its interface, and with that the other end.
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL, check=False)

    def inside(self, *command):
        self.run(*self.prefix(), *command)

    def prefix(self):
        return ("ip", "netns", "exec", self.name)

    def run(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode != 0:
            raise Failure(f"{' '.join(command)}: {(done.stdout + done.stderr).strip()}")
