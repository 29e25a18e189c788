"""Viewers by multicast: ffmpeg, GStreamer and a second relay hear one flow, and none of them misses a picture. The camera is
GStreamer's server, whose pictures are numbered."""

import re
import tempfile

from .network import Network
from .players import all_at_once
from .programs import Failure, ForeignServer, run
from .upstream import PICTURES, Upstream, misses_nothing, numbers

TRANSPORT = "udp_multicast"
"""As ffmpeg calls it."""


def follow_each_other(name, seen):
    """Pictures from the first whole one on: who joins a flow between two key frames begins with the next."""
    if len(seen) < PICTURES or seen != list(range(seen[0], seen[0] + len(seen))):
        raise Failure(f"{name}: {len(seen)} pictures, not one after the other: {seen}")


def ffmpeg(url):
    follow_each_other("ffmpeg", numbers(url, TRANSPORT))


def gstreamer(url):
    """Decodes so many pictures; depayloader and decoder must have nothing to complain of."""
    _, said = run(
        "gst-launch-1.0", "rtspsrc", f"location={url}", "protocols=udp-mcast", "multicast-iface=lo", "latency=200", "!", "rtph264depay", "!",
        "avdec_h264", "!", "fakesink", f"num-buffers={PICTURES}", "sync=false",
        env={"GST_DEBUG": "2,rtph264depay:3", "GST_DEBUG_NO_COLOR": "1"},
    )  # fmt: skip
    playing, seen_all, _ = said.partition("Got EOS from element")
    complaints = [line for line in playing.splitlines() if re.search(r"\b(ERROR|CRITICAL|WARN|WARNING)\b", line)]
    if complaints or not seen_all:
        raise Failure(f"gst-launch-1.0: {'not ' * (not seen_all)}all pictures seen: {chr(10).join(complaints) or playing[-2000:]}")


def one_flow():
    """Two of each player at once and a relay behind the relay, on loopback; what is sent is sent once."""
    with tempfile.TemporaryDirectory() as folder, ForeignServer() as server:
        rtsp = "multicast: {interface: 127.0.0.1, addresses: 239.255.117.0/24}"
        streams = {
            "group": f'source: "{server.url}/count", multicast: true',
            "alone": f'source: "{server.url}/count"',
        }
        with Upstream(folder, streams, rtsp=rtsp) as relay:
            url = relay.url_of("group")
            far = {"far": f'source: "{url}", transport: multicast, source_address: 127.0.0.1'}
            with Upstream(folder, far) as behind:
                behind.wait_for("it hears the flow", lambda: behind.metric("fanlight_source_up", stream="far") == [1.0], 20)
                all_at_once([(ffmpeg, url), (ffmpeg, url), (gstreamer, url), (gstreamer, url), (misses_nothing, behind, "far")])
            sessions = relay.metric("fanlight_viewer_sessions_total", stream="group", transport="multicast")
            # A player may begin a second one.
            if sum(sessions) < 5:
                raise Failure(f"{sessions} sessions by multicast, not the five there were at least")
            sent = sum(relay.metric("fanlight_viewer_sent_packets_total", stream="group", transport="multicast"))
            received = sum(relay.metric("fanlight_source_received_packets_total", stream="group"))
            if not received / 4 < sent <= received:
                raise Failure(f"{sent} packets sent of {received} received: not once for all")
            status, said = run(
                "ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", TRANSPORT, "-i", relay.url_of("alone"),
                "-frames:v", "1", "-f", "null", "-",
            )  # fmt: skip
            if status == 0:
                raise Failure(f"a stream that is not sent by multicast was played so: {said}")


def from_another_network():
    """Through an interface that is named: ffmpeg hears the flow in a network namespace of its own."""
    with Network() as network, tempfile.TemporaryDirectory() as folder, ForeignServer() as server:
        rtsp = f"multicast: {{interface: {network.relay}, addresses: 239.255.117.0/24}}"
        streams = {"group": f'source: "{server.url}/count", multicast: 239.255.118.9:5004'}
        network.inside("ip", "route", "add", "224.0.0.0/4", "dev", network.theirs)
        with Upstream(folder, streams, rtsp=rtsp, host="0.0.0.0") as relay:
            url = f"rtsp://{network.relay}:{relay.rtsp}/group"
            follow_each_other("ffmpeg", numbers(url, TRANSPORT, prefix=network.prefix()))
            if "239.255.118.9" in run("ss", "-Huan")[1].replace("239.255.118.9:5005", ""):
                raise Failure("somebody here listens to the media")


CHECKS = {
    "one group for all viewers": one_flow,
    "a group in another network": from_another_network,
}
