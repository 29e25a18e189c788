"""What an operator relies on: signals, reload, clear refusals, Prometheus."""

import os
import re
import resource
import signal
import socket
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from .programs import BINARY, CLIP, ROOT, Failure, ForeignServer, Relay, answers, free_port, free_udp_pair, run_apart
from .wire import Crowd, Viewer


def write(folder, text, name="fanlight.yml"):
    """A configuration, complete at once for whoever reads it."""
    file, new = Path(folder) / name, Path(folder) / f".{name}.new"
    new.write_text(text)
    os.replace(new, file)
    return file


def sigterm_with_fifty_viewers():
    """BYE to each of them, TEARDOWN to the camera, exit 0 within the grace."""
    with ForeignServer() as camera, tempfile.TemporaryDirectory() as folder, Crowd() as crowd:
        udp = free_udp_pair()
        config = write(folder, f"rtsp:\n  udp_ports: [{udp}, {udp + 1}]\nstreams:\n  yard: {camera.url}/mjpeg\n")
        with Relay("--config", config, stream="yard") as relay:
            for transport in ("tcp", "udp") * 25:
                crowd.add(relay.url, transport)
            crowd.expect("a second of media for each", 20, lambda: all(v.frames > 24 for v in crowd.viewers))
            if relay.viewers() != 50:
                raise Failure(f"{relay.viewers()} viewers and not 50")
            started = time.monotonic()
            relay.process.send_signal(signal.SIGTERM)
            crowd.expect("the end of every connection", 6, lambda: all(v.closed for v in crowd.viewers))
            crowd.watch(0.2)
            status = relay.ends(6)
            took = time.monotonic() - started
            if status != 0 or took > 5:
                raise Failure(f"exit {status} after {took:.1f} s")
        for viewer in crowd.viewers:
            viewer.check()
            if not viewer.bye:
                raise Failure(f"no BYE for a {viewer.transport} viewer")
        camera.wait_for("TEARDOWN", lambda: "teardown\n" in camera.said(), 2)


def sigterm_with_a_stuck_viewer():
    """A viewer that takes nothing has a second for its goodbye, less when grace or a second SIGTERM cut it short."""
    with tempfile.TemporaryDirectory() as folder:
        for grace, second, expected, seconds in (("5s", False, 0, 3), ("300ms", False, 1, 0.9), ("5s", True, 1, 0.5)):
            config = write(
                folder, f"shutdown_grace: {grace}\nrtsp:\n  write_timeout: 1m\nstreams:\n  fast: {{file: {CLIP}, fps: 240}}\n"
            )
            with Relay("--config", config, stream="fast") as relay:
                stuck = Viewer(relay.url, "tcp", receive_buffer=4096)
                sent = []

                def is_full():
                    time.sleep(0.3)
                    sent.append(sum(relay.metric("fanlight_viewer_sent_bytes_total")))
                    return sent[-1] > 0 and sent[-4:] == [sent[-1]] * 4

                relay.wait_for("its socket is full", is_full, 20)
                relay.process.send_signal(signal.SIGTERM)
                if second:
                    time.sleep(0.3)
                    if relay.process.poll() is not None:
                        raise Failure("it ended without waiting for its viewer: nothing to cut short")
                    relay.process.send_signal(signal.SIGTERM)
                status = relay.ends(seconds)
                if status != expected:
                    raise Failure(f"grace {grace}, second SIGTERM: {second}: exit {status} and not {expected}")
                stuck.close()


def reload():
    """Changes of the file and SIGHUP touch what they change and nothing else; a file with a mistake changes nothing."""

    def streams(**rates):
        return "streams:\n" + "".join(f"  {name}: {{file: {CLIP}, fps: {fps}}}\n" for name, fps in rates.items())

    with tempfile.TemporaryDirectory() as folder, Crowd() as crowd:
        # As a ConfigMap is mounted: the watched directory has only a link, the file is elsewhere.
        elsewhere = Path(folder) / "elsewhere"
        elsewhere.mkdir()
        linked = write(elsewhere, streams(same=15, other=24))
        config = Path(folder) / "fanlight.yml"
        config.symlink_to(linked)
        with Relay("--config", config, stream="same") as relay:
            steady = crowd.add(relay.url)

            def flows():
                seen = steady.packets
                crowd.expect("packets of the stream that did not change", 3, lambda: steady.packets > seen + 40)
                steady.check()
                if steady.closed or steady.bye:
                    raise Failure("the stream that did not change ended")

            def frame_rate(stream):
                viewer = crowd.add(relay.url_of(stream))
                crowd.expect("a first picture", 5, lambda: viewer.frames > 0)
                before, started = viewer.frames, time.monotonic()
                crowd.watch(2)
                return (viewer.frames - before) / (time.monotonic() - started)

            def wait_log(pattern, times=1):
                crowd.expect(f"log: {pattern}", 5, lambda: len(re.findall(pattern, relay.log())) >= times)

            other = crowd.add(relay.url_of("other"))
            crowd.expect("packets", 5, lambda: min(steady.frames, other.frames) > 5)

            # SIGHUP: the directory that is watched shows nothing of this change.
            write(elsewhere, streams(same=15, other=10))
            crowd.watch(0.7)
            if "configuration reloaded" in relay.log():
                raise Failure("reloaded before SIGHUP: this proves nothing")
            relay.process.send_signal(signal.SIGHUP)
            wait_log("configuration reloaded")
            crowd.expect("the changed stream's viewer is told to ask again", 5, lambda: other.bye or other.closed)
            flows()
            rate = frame_rate("other")
            if not 9 <= rate <= 11.5:
                raise Failure(f"the changed stream has {rate:.1f} fps and not 10")

            # The file is replaced: one stream more, one less.
            write(folder, streams(same=15, third=12))
            wait_log("configuration reloaded", 2)
            flows()
            relay.wait_for("DESCRIBE of the new stream", lambda: answers(relay.url_of("third")) == 200)
            if answers(relay.url_of("other")) != 404:
                raise Failure(f"the removed stream: {answers(relay.url_of('other'))} and not 404")

            # Mistakes: all of them are logged, nothing is done.
            config.write_text(streams(same=15, fourth=12) + "  third: {sauce: rtsp://x, fps: fast}\nhtp: {}\n")
            wait_log("not reloaded")
            crowd.watch(0.5)
            for key in ("streams.third.sauce", "streams.third.fps", "htp"):
                if not re.search(rf"ERROR.*not reloaded.*\b{re.escape(key)}\b", relay.log()):
                    raise Failure(f"the problem of `{key}` is not logged")
            flows()
            if (answers(relay.url_of("third")), answers(relay.url_of("fourth"))) != (200, 404):
                raise Failure("a file with mistakes was not refused whole")

            # Corrected in place.
            config.write_text(streams(same=15, fourth=12))
            wait_log("configuration reloaded", 3)
            relay.wait_for("DESCRIBE of the new stream", lambda: answers(relay.url_of("fourth")) == 200)
            flows()


def refusals():
    """Exit code and one clear line, for what cannot be started."""
    with socket.socket() as taken, ExitStack() as stack:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp_port = free_udp_pair()
        udp.bind(("127.0.0.1", udp_port))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        config = write(folder, f"rtsp:\n  udp_ports: [{udp_port}, {udp_port + 1}]\nstreams: {{}}\n")
        free = [("--rtsp-listen", f"127.0.0.1:{free_port()}"), ("--http-listen", f"127.0.0.1:{free_port()}")]
        cases = [
            (["--rtsp-listen", address, *free[1]], 1, address),
            (["--http-listen", address, *free[0]], 1, address),
            (["serve-file", CLIP, "--listen", address], 1, address),
            (["--config", config, *free[0], *free[1]], 1, str(udp_port)),
            (["--config", Path(folder) / "absent.yml"], 2, "absent.yml"),
            (["--config", folder], 2, folder),
            (["http://10.0.0.7/"], 2, "http"),
        ]
        for arguments, expected, word in cases:
            status, said, complaints = run_apart(BINARY, *arguments, limit=10)
            lines = [line for line in complaints.splitlines() if " INFO " not in line]
            if status != expected or said or len(lines) != 1 or word not in lines[0]:
                raise Failure(f"{arguments}: exit {status}, not {expected} and one line with {word}:\n{said}{complaints}")
        if run_apart(BINARY, "--no-such-flag", limit=10)[0] != 2:
            raise Failure("an unknown flag is not exit 2")


def check_command():
    """`fanlight check` and a start name every mistake by its key path, never a secret."""
    with tempfile.TemporaryDirectory() as folder:
        config = write(
            folder,
            "rtsp:\n  listen: nowhere\n  session_timeout: 20\nstreams:\n  door:\n    source: rtsp://ann:hunter2@cam/x\n"
            "    transprot: tcp\n  yard: {file: x.mjpeg, fps: many, password: hunter2}\n  'b d': rtsp://cam/y\n",
        )
        for arguments in (["check", config], ["--config", config]):
            status, said, complaints = run_apart(BINARY, *arguments, limit=10)
            missing = [
                key
                for key in ("rtsp.listen", "rtsp.session_timeout", "streams.door.transprot", "streams.yard.fps", "b d")
                if key not in complaints
            ]
            if status != 2 or said or missing:
                raise Failure(f"{arguments[0]}: exit {status}, without {missing}:\n{said}{complaints}")
            if "hunter2" in complaints:
                raise Failure(f"a secret is printed:\n{complaints}")


def descriptors():
    """The limit of open files is raised as far as it goes, and the log says when that may be too little."""
    soft, most = 256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = min(most, 8192)
    for hard, limit in ((soft, soft), (enough, enough)):
        with Relay(preexec=partial(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))) as relay:
            limits = Path(f"/proc/{relay.process.pid}/limits").read_text()
            now = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
            if now != (str(limit), str(hard)):
                raise Failure(f"limits {now} and not {limit} of {hard}")
            warned = re.search(r"fewer descriptors than .*limit=(\d+)", relay.log())
            if (hard < 4096) != bool(warned):
                raise Failure(f"with {hard} descriptors the log says:\n{relay.log()}")


def unit_file():
    """The systemd unit gives away next to no rights, and its commands are such that the binary knows."""
    unit = ROOT / "config/fanlight.service"
    status, verdict, problem = run_apart("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    if status != 0:
        raise Failure(f"exposed by more than 2.0 of 10:\n{verdict[-1000:]}{problem[-1000:]}")
    first = re.search(r"^ExecStartPre=/usr/local/bin/fanlight (.*)$", unit.read_text(), re.M)[1]
    arguments = first.replace("/etc/fanlight/fanlight.yml", str(ROOT / "config/fanlight.yml")).split()
    status, _, problem = run_apart(BINARY, *arguments)
    if status != 0 or "/etc" in " ".join(arguments):
        raise Failure(f"{arguments}: exit {status}: {problem[-1000:]}")


CHECKS = {
    "unit file of systemd": unit_file,
    "sigterm with fifty viewers": sigterm_with_fifty_viewers,
    "sigterm with a stuck viewer, and twice": sigterm_with_a_stuck_viewer,
    "reload": reload,
    "refusals": refusals,
    "check names every mistake": check_command,
    "descriptors": descriptors,
}
