"""The relay in front of other servers, and the file server on its own."""

import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .players import (
    DECODE, all_at_once, contains_run, ffmpeg, ffprobe, gstreamer, hashes, listed_hashes, sees_mjpeg,
)  # fmt: skip
from .programs import (
    BINARY, CLIP, LIMIT, Failure, FileServer, ForeignServer, Program, Relay, free_port, free_udp_pair, run_apart,
)  # fmt: skip
from .wire import Crowd


def foreign_server():
    """H.264 and AAC from GStreamer's server: both tracks, one upstream connection, the very same pictures."""
    with ForeignServer() as server, tempfile.TemporaryDirectory() as folder:
        udp = free_udp_pair()
        config = Path(folder) / "fanlight.yml"
        config.write_text(f"rtsp:\n  udp_ports: [{udp}, {udp + 1}]\nstreams:\n  yard: {server.url}/camera\n")
        with Relay("--config", config, stream="yard") as relay:
            kinds = sorted(s["codec_name"] for s in ffprobe(relay.url))
            if kinds != ["aac", "h264"]:
                raise Failure(f"ffprobe sees {kinds}")
            both = ("-map", "0:v", "-map", "0:a")
            one = (ffmpeg, relay.url, "tcp", 75, both)
            with ThreadPoolExecutor(1) as pool:
                jobs = [one, one, one, (ffmpeg, relay.url, "udp", 75, both)]
                viewers = pool.submit(all_at_once, jobs)
                most = 0
                while not viewers.done():
                    most = max(most, server.clients()[0])
                    time.sleep(0.1)
                viewers.result()
            if (most, server.clients()[1]) != (1, 1):
                raise Failure(f"four viewers made {most} connections at once, {server.clients()[1]} in all")
            rates = relay.metric("fanlight_source_fps", stream="yard")
            if not any(abs(rate - 25) < 0.5 for rate in rates):
                raise Failure(f"a camera of 25 fps is measured at {rates}")
            same_pictures(f"{server.url}/camera", relay.url, Path(folder))


def same_pictures(direct_url, relay_url, folder):
    """What a viewer decodes behind the relay is, frame by frame, what a viewer of the server itself decodes."""
    player = ("ffmpeg", "-nostdin", "-y", "-hide_banner", "-loglevel", "error", "-rtsp_transport", "tcp")
    output = ("-map", "0:v", *DECODE, "-flush_packets", "1", "-f", "framemd5")
    listing = folder / "direct.md5"
    listing.touch()
    with Program("direct-viewer", *player, "-i", direct_url, *output, listing) as direct:
        # The direct viewer is ahead by more than the key-frame interval: the relay's first frames may be that old.
        direct.wait_for("60 frames decoded", lambda: len(listed_hashes(listing.read_text())) > 60, LIMIT)
        relayed = hashes(relay_url, "-frames:v", "75", before=("-rtsp_transport", "tcp"))
        if len(relayed) != 75:
            raise Failure(f"{len(relayed)} frames behind the relay")
        # The player may print the last frames late; its end is the relayed viewer's last frame, or the limit.
        direct.wait_for(
            "the relayed viewer's last frame", lambda: relayed[-1] in listed_hashes(listing.read_text()), 15
        )
    source = listed_hashes(listing.read_text())
    if not contains_run(source, relayed):
        known = sum(digest in set(source) for digest in relayed)
        raise Failure(f"{known} of {len(relayed)} frames are the source's, and not in one run of it")
    if len(set(relayed)) < len(relayed) * 9 // 10:
        raise Failure("the source's frames do not differ: this proves nothing")


def classic_form(pictures):
    """The form of the well-known exercise: five digits of length before every picture."""
    return b"".join(b"%05d" % len(picture) + picture for picture in pictures)


def clip_pictures():
    return re.findall(rb"\xff\xd8.*?\xff\xd9", CLIP.read_bytes(), re.S)


def plays_a_file_to_its_end():
    """Every picture once, at the asked rate, then BYE: the player ends by itself. And from the middle."""
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "movie.Mjpeg"
        movie.write_bytes(classic_form(clip_pictures()))
        clip = hashes(CLIP, before=("-f", "mjpeg"))
        with FileServer(movie, "--fps", "30") as server, FileServer(CLIP, "--packet-size", "600") as small:
            if not server.url.endswith("/movie"):
                raise Failure(f"it is not named after the file: {server.url}")
            jobs = [
                (plays_exactly, server.url, "tcp", clip, (), 4),
                (plays_exactly, server.url, "udp", clip, (), 4),
                (plays_exactly, small.url, "tcp", clip, (), 5),
                (plays_exactly, server.url, "tcp", clip[90:], ("-ss", "3"), 1),
            ]
            all_at_once(jobs)
            for program in (server, small):
                program.process.terminate()
                if program.ends(6) != 0:
                    raise Failure(f"exit {program.process.returncode} after SIGTERM")


def plays_exactly(url, transport, pictures, seek, seconds):
    started = time.monotonic()
    seen = hashes(url, before=("-rtsp_transport", transport, *seek))
    took = time.monotonic() - started
    if seen != pictures:
        raise Failure(f"{url} {transport} {seek}: {len(seen)} pictures, not the file's {len(pictures)}")
    if not seconds - 1 < took < seconds + 8:
        raise Failure(f"{url} {transport} {seek}: {took:.1f} s and not {seconds} s")


def loops_a_file():
    """--loop: the first picture comes after the last, without a gap; the relay in front of it sees one camera."""
    with tempfile.TemporaryDirectory() as folder:
        short = Path(folder) / "short.mjpeg"
        short.write_bytes(b"".join(clip_pictures()[:20]))
        clip = hashes(CLIP, "-frames:v", "20", before=("-f", "mjpeg"))
        with FileServer(short, "--loop", "--name", "door/front") as server:
            if not server.url.endswith("/door/front"):
                raise Failure(f"not the name that was asked for: {server.url}")
            sees_mjpeg(server.url, 24)
            gstreamer(server.url, "udp")
            with Relay(server.url, stream="cam") as relay:
                seen = hashes(relay.url, "-frames:v", "70", before=("-rtsp_transport", "tcp"))
                if not contains_run(clip * 5, seen):
                    raise Failure("the pictures are not the file's, again and again")
                with Crowd() as crowd:
                    viewer = crowd.add(relay.url)
                    crowd.watch(3)
                    viewer.check()
                    if not 66 <= viewer.frames <= 80:
                        raise Failure(f"{viewer.frames} frames in 3 s at 24 fps")


def refuses_files_it_cannot_carry():
    with tempfile.TemporaryDirectory() as folder:
        progressive, empty = Path(folder) / "progressive.mjpeg", Path(folder) / "empty.mjpeg"
        pictures = clip_pictures()[:5]
        pictures[2] = pictures[2].replace(b"\xff\xc0", b"\xff\xc2", 1)
        progressive.write_bytes(b"".join(pictures))
        empty.write_bytes(b"")
        cases = {
            progressive: ("progressive.mjpeg", "frame 3", "progressive"),
            empty: ("empty.mjpeg",),
            Path(folder) / "absent.mjpeg": ("absent.mjpeg",),
            Path(folder): (folder,),
        }
        for file, words in cases.items():
            status, said, complaints = run_apart(
                BINARY, "serve-file", file, "--listen", f"127.0.0.1:{free_port()}", limit=10
            )
            if status != 1 or said or len(complaints.splitlines()) != 1 or not all(w in complaints for w in words):
                raise Failure(f"serve-file {file}: exit {status}, not one line with {words}:\n{said}{complaints}")


CHECKS = {
    "foreign server with h264 and aac": foreign_server,
    "serve-file to the end, both forms, seek": plays_a_file_to_its_end,
    "serve-file in a loop": loops_a_file,
    "serve-file refuses what it cannot carry": refuses_files_it_cannot_carry,
}
