"""The API as its own description has it: schemathesis asks for everything that is described, and for what is not."""

import json
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from .programs import BINARY, CLIP, ROOT, Failure, FileServer, Relay, Skipped, free_port, run

API = ROOT / "tests/api"
HOME = BINARY.parent.parent / "schemathesis"
"""Where it is installed, beside what cargo builds."""

ROUNDS = {
    "what only reads": ("--include-method", "GET", "--phases", "examples,coverage,fuzzing"),
    "what changes something": ("--exclude-method", "GET", "--phases", "examples,coverage,fuzzing"),
    "one after the other": ("--phases", "stateful"),
}
"""Apart, so that the streams are there as long as they are looked at. About a minute in all."""

EXAMPLES, LONGEST = "10", 120
"""Made-up requests for each operation, beside those that its schema makes necessary; and seconds that a round may take."""

UNREACHABLE = r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError|Temporary failure in name"


def installed():
    """The program, of the version that is asked for; installed once."""
    wanted, mark = (API / "requirements.txt").read_text(), HOME / "installed"
    program = HOME / "bin/schemathesis"
    if program.exists() and mark.exists() and mark.read_text() == wanted:
        return program
    shutil.rmtree(HOME, ignore_errors=True)
    status, said = run(sys.executable, "-m", "venv", HOME, limit=120)
    if status != 0:
        raise Failure(f"no room of its own for schemathesis (apt install python3-venv): {said[-1000:]}")
    status, said = run(HOME / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", API / "requirements.txt", limit=300)
    if status != 0 and re.search(UNREACHABLE, said):
        raise Skipped(f"the index of Python's packages is not to be reached: {said.splitlines()[-1]}")
    if status != 0:
        raise Failure(f"schemathesis cannot be installed: {said[-1000:]}")
    mark.write_text(wanted)
    return program


def as_described():
    """Every answer is one that the description has, what it allows is taken, and what it does not allow is refused."""
    program = installed()
    with (
        tempfile.TemporaryDirectory() as folder,
        FileServer(CLIP, "--loop", "--fps", "15", "--name", "door") as camera,
    ):
        # It writes where it is run, and finds its hooks from there.
        (Path(folder) / "tests").symlink_to(ROOT / "tests")
        config = Path(folder) / "fanlight.yml"
        config.write_text(
            "rtsp: {}\nstreams:\n"
            f"  door: {camera.url}\n"
            f"  site/yard: {{source: rtsp://user:password@127.0.0.1:{free_port()}/dead, retry: fixed, retry_min: 1s}}\n"
        )
        with Relay("--config", config, stream="door") as relay:
            url = f"http://127.0.0.1:{relay.http}/api/v1/openapi.json"
            failed = []
            for name, options in ROUNDS.items():
                status, said = run(
                    program, "--config-file", API / "schemathesis.toml", "run", url, "--no-color", *options, "--max-examples", EXAMPLES,
                    env={"PYTHONDONTWRITEBYTECODE": "1"}, cwd=folder, limit=LONGEST,
                )  # fmt: skip
                if status != 0:
                    print("\n".join(f"      {line}" for line in said.splitlines()[-150:]), flush=True)
                    failed.append(f"{name}: exit {status}")
                    continue
                cases = re.search(r"(\d+) generated", said)
                if not cases or int(cases.group(1)) < 100:
                    raise Failure(f"schemathesis hardly asked: {said[-1000:]}")
                print(f"      {name}: {cases.group(1)} requests", flush=True)
            if "panicked" in relay.log():
                failed.append("the relay panicked")
            if failed:
                raise Failure("; ".join(failed))


def settings_come_back():
    """A stream's settings are given without its secrets, which stay when they come back, and go to no other camera."""
    with tempfile.TemporaryDirectory() as folder, FileServer(CLIP, "--loop", "--name", "door") as camera:
        config = Path(folder) / "fanlight.yml"
        dead = f"127.0.0.1:{free_port()}"
        before = (
            "rtsp: {}\nhttp: {write_config: true}\nstreams:\n"
            f"  door: {camera.url}\n"
            f"  yard:\n    source: rtsp://u:hunter2@{dead}/a\n    password: ${{SECRET}}\n    on_demand: true\n"
        )
        # It begins with the password in the file, which then names a variable of the same value.
        config.write_text(before.replace("${SECRET}", "hunter3"))
        with Relay("--config", config, stream="door", env={"SECRET": "hunter3"}) as relay:
            config.write_text(before)
            relay.logs("configuration reloaded")
            path = "/api/v1/streams/yard"
            shown = json.loads(relay.get(f"{path}/config"))
            expected = {"source": f"rtsp://***@{dead}/a", "password": "***", "on_demand": True}
            if shown != expected:
                raise Failure(f"shown: {shown}")
            status, told = put(relay, path, shown)
            if (status, told.get("change")) != (200, "unchanged") or config.read_text() != before:
                raise Failure(f"the same settings: {status} {told}")
            status, told = put(relay, path, {**shown, "source": f"rtsp://***@127.0.0.1:{free_port()}/a"})
            if status != 400 or [problem["key"] for problem in told["problems"]] != ["source", "password"]:
                raise Failure(f"for another camera: {status} {told}")
            # The same change again is none for what runs, and still one for the file.
            for changed, change in (
                ({**shown, "on_demand": False}, "replaced"),
                ({**shown, "on_demand": False}, "unchanged"),
                ({**shown, "coalesce": "0s"}, "replaced"),
            ):
                status, told = put(relay, path, changed)
                if told.get("change") != change or "environment" not in str(told.get("why_not_written")):
                    raise Failure(f"a secret of the environment: {status} {told}")
                if config.read_text() != before:
                    raise Failure("a secret of the environment is in the file")
                if json.loads(relay.get(f"{path}/config")) != changed:
                    raise Failure(f"afterwards: {relay.get(f'{path}/config')}")
            if "hunter" in relay.log():
                raise Failure("a secret is in the log")


def put(relay, path, settings):
    request = urllib.request.Request(f"http://127.0.0.1:{relay.http}{path}", json.dumps(settings).encode(), method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


CHECKS = {"settings come back without secrets": settings_come_back, "schemathesis finds nothing in the API": as_described}
