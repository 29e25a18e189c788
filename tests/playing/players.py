"""Players that people use. One that prints a warning has failed."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

from .programs import Failure, run, run_quietly

FRAMES = 30
"""Two seconds of the demo."""

DECODE = ("-fps_mode", "passthrough", "-enc_time_base", "-1")
"""As many pictures out of ffmpeg as came in, each at its own time: those of the relay's cache are closer together than one in
a frame interval."""


def ffmpeg(url, transport, frames=FRAMES, select=("-map", "0:v")):
    """Decodes `frames` pictures; any warning fails."""
    run_quietly(
        "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-rtsp_transport", transport, "-i", url,
        *select, *DECODE, "-frames:v", frames, "-f", "null", "-",
    )  # fmt: skip


def gstreamer(url, transport, *more):
    """Decodes FRAMES pictures through rtspsrc; depayloader and decoder must have nothing to complain of."""
    _, said = run(
        "gst-launch-1.0", "rtspsrc", f"location={url}", f"protocols={transport}", "latency=200", *more,
        "!", "rtpjpegdepay", "!", "jpegdec", "!", "fakesink", f"num-buffers={FRAMES}", "sync=false",
        env={"GST_DEBUG": "2,rtpjpegdepay:3,jpegdec:3", "GST_DEBUG_NO_COLOR": "1"},
    )  # fmt: skip
    # With its last picture it is done. What it says then is of its own making: it sends PAUSE, cuts that short with the
    # next step of its own shutdown, and when the two meet calls that an error (and its exit status 1).
    playing, seen_all, _ = said.partition("Got EOS from element")
    complaints = [line for line in playing.splitlines() if re.search(r"\b(ERROR|CRITICAL|WARN|WARNING|FIXME)\b", line)]
    if complaints or not seen_all:
        said = "\n".join(complaints) or playing
        raise Failure(f"gst-launch-1.0: {'not ' * (not seen_all)}all pictures seen, printed: {said[-2000:]}")


def mpv(url):
    run_quietly(
        "mpv", "--no-config", "--vo=null", "--ao=null", "--no-audio", f"--frames={FRAMES}", "--rtsp-transport=tcp",
        "--no-input-terminal", "--msg-level=all=warn", url,
    )  # fmt: skip


def ffprobe(url):
    """What ffprobe takes the streams for."""
    status, said = run(
        "ffprobe", "-v", "warning", "-rtsp_transport", "tcp", "-of", "json",
        "-show_entries", "stream=codec_type,codec_name,avg_frame_rate,width,height", url,
    )  # fmt: skip
    if status != 0 or not said.startswith("{"):
        raise Failure(f"ffprobe: exit {status}, printed: {said[-2000:]}")
    return json.loads(said)["streams"]


def sees_mjpeg(url, fps, size=(640, 360)):
    streams = ffprobe(url)
    if [(s["codec_name"], s["width"], s["height"]) for s in streams] != [("mjpeg", *size)]:
        raise Failure(f"not one mjpeg stream of {size}: {streams}")
    rate = float(Fraction(streams[0]["avg_frame_rate"]))
    if abs(rate - fps) > fps / 40:
        raise Failure(f"{rate} fps in place of {fps}")


def hashes(source, *options, before=(), limit=None):
    """A digest of every picture that ffmpeg decodes, in order; a complaint of it fails."""
    bound = {} if limit is None else {"limit": limit}
    status, said = run(
        "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", *before, "-i", source,
        "-map", "0:v", *DECODE, *options, "-f", "framemd5", "-", **bound,
    )  # fmt: skip
    found = listed_hashes(said)
    strange = [line for line in said.splitlines() if not re.match(r"#|\d+, ", line)]
    if status != 0 or strange:
        raise Failure(f"ffmpeg: exit {status}, {len(found)} pictures, printed: {chr(10).join(strange)[-2000:]}")
    return found


def listed_hashes(text):
    """The digests of a framemd5 listing, in order."""
    return re.findall(r",\s*([0-9a-f]{32})$", text, re.M)


def contains_run(source, part):
    """Whether `part` stands in `source` without a hole."""
    return any(source[start : start + len(part)] == part for start in range(len(source) - len(part) + 1))


def all_at_once(jobs):
    """Runs `jobs`, (function, arguments...), at the same time; fails with every failure."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(function, *arguments) for function, *arguments in jobs]
        failures = [str(job.exception()) for job in running if job.exception()]
    if failures:
        raise Failure(f"{len(failures)} of {len(jobs)} failed:\n" + "\n".join(failures))
