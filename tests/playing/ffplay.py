"""The player with a window, which has none here: it shows pictures when they are due, for as long as it is let."""

import re
import time

from .programs import Failure, Program, Relay

SECONDS = 8
HARMLESS = r"^\s*$|fd= +\d+ aq=|Failed to initialize a hardware accelerated renderer|deprecated pixel format"
"""Its status line; that there is no screen; and that JPEG's range of colours is news to its scaler."""


def shows_the_demo():
    """Its clock runs on, over TCP and UDP, and it complains of nothing."""
    with Relay() as relay:
        players = {transport: shown(relay.url, transport) for transport in ("tcp", "udp")}
        time.sleep(SECONDS)
        for transport, player in players.items():
            player.process.terminate()
            player.ends(10)
            said = re.split(r"[\r\n]+", player.log())
            clocks = [float(line.split()[0]) for line in said if re.match(r" *\d+\.\d+ +M-V:", line)]
            complaints = [line for line in said if not re.search(HARMLESS, line)]
            player.__exit__(None)
            if complaints or len(clocks) < 20 or clocks[-1] - clocks[0] < SECONDS / 3:
                raise Failure(f"ffplay over {transport}: shown {clocks[:1]} to {clocks[-1:]}, printed: {complaints[:5]}")


def shown(url, transport):
    command = ("ffplay", "-hide_banner", "-loglevel", "warning", "-stats", "-rtsp_transport", transport, url)
    return Program(f"ffplay-{transport}", *command, env={"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"})


CHECKS = {"ffplay over tcp and udp": shows_the_demo}
