#!/usr/bin/python3
"""Somebody who watches a camera and talks to it: GStreamer's rtspsrc with `backchannel=onvif`, for tests/players.

    tests/gst_talker.py URL [--transport tcp|udp] [--seconds N]

plays URL, says mu-law bytes of 0x55 into its back channel for so long once pictures come, and prints `saw PICTURES` and
`said PACKETS` at the end. Exit status 1, with the reason, where it is refused.
"""

import argparse
import ctypes
import re
import sys
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

GSTREAMER = ctypes.CDLL("libgstreamer-1.0.so.0")


class Talker:
    def __init__(self, options, loop):
        self.loop, self.seconds = loop, options.seconds
        self.stream = self.began = None
        self.saw = self.said = 0
        self.pipeline, self.camera = Gst.Pipeline(), Gst.ElementFactory.make("rtspsrc")
        settings = {"location": options.url, "protocols": options.transport, "backchannel": "onvif", "latency": "0"}
        for name, value in settings.items():
            Gst.util_set_object_arg(self.camera, name, value)
        self.pipeline.add(self.camera)
        self.camera.connect("select-stream", self.select)
        self.camera.connect("pad-added", self.receive)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.failed)
        self.pipeline.set_state(Gst.State.PLAYING)

    def select(self, _camera, number, caps):
        if caps.get_structure(0).has_field("a-sendonly"):
            self.stream = number
        return True

    def receive(self, _camera, pad):
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("async", False)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.add_probe(Gst.PadProbeType.BUFFER, self.seen)
        pad.link(sink.get_static_pad("sink"))

    def seen(self, _pad, _info):
        self.saw += 1
        if self.began is None:
            self.began = time.monotonic()
            GLib.timeout_add(20, self.say)
        return Gst.PadProbeReturn.OK

    def say(self):
        if self.stream is None:
            return self.end("no back channel was described")
        if time.monotonic() - self.began > self.seconds:
            print(f"saw {self.saw}\nsaid {self.said}", flush=True)
            return self.end(None)
        header = bytes([0x80, 0]) + self.said.to_bytes(2, "big") + (160 * self.said).to_bytes(4, "big") + b"talk"
        caps = Gst.Caps.from_string("application/x-rtp,media=audio,payload=0,clock-rate=8000,encoding-name=PCMU")
        sample = Gst.Sample.new(Gst.Buffer.new_wrapped(header + b"\x55" * 160), caps, None, None)
        flow = self.push(sample)
        if flow != Gst.FlowReturn.OK:
            return self.end(f"the back channel says {flow}")
        self.said += 1
        return True

    def push(self, sample):
        """The signal gives up a reference that is not its own; `push-backchannel-sample` does not, from 1.24 on."""
        address = int(re.search(r"GstSample at (0x[0-9a-f]+)", repr(sample)).group(1), 16)
        GSTREAMER.gst_mini_object_ref(ctypes.c_void_p(address))
        return self.camera.emit("push-backchannel-buffer", self.stream, sample)

    def failed(self, _bus, message):
        error, details = message.parse_error()
        self.end(f"{error.message} ({details})")

    def end(self, why):
        self.why = why
        self.pipeline.set_state(Gst.State.NULL)
        self.loop.quit()
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--transport", default="tcp")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    Gst.init(None)
    loop = GLib.MainLoop()
    talker = Talker(options, loop)
    loop.run()
    if talker.why:
        sys.exit(f"gst_talker.py: {talker.why}")


main()
