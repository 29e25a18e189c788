"""What Prometheus makes of the relay: the shipped configuration, the alert rules, every query of the dashboards."""

import json
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .programs import CLIP, ROOT, Failure, FileServer, Program, Relay, free_port, free_udp_pair, run
from .wire import Crowd

ALERTS = ROOT / "dashboards/alerts.yml"


def rules():
    """Each alert fires when it should, stays quiet when it should, and names a part of the README."""
    for command in (("check", "rules", ALERTS), ("test", "rules", ROOT / "tests/alerts.yml")):
        status, said = run("promtool", *command)
        if status != 0:
            raise Failure(f"promtool {command[0]} rules: {said[-2000:]}")
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", (ROOT / "README.md").read_text(), re.M)}
    missing = [name for name in re.findall(r"runbook: README\.md#(\w+)", ALERTS.read_text()) if name not in headings]
    if missing:
        raise Failure(f"README.md has no part for {missing}")


class Prometheus(Program):
    """Debian's, with the shipped configuration and rules, looking at one relay every second."""

    def __init__(self, relay, folder):
        self.port = free_port()
        shipped = (ROOT / "config/prometheus.yml").read_text()
        for pattern, here in (
            (r"relay:8580", f"127.0.0.1:{relay.http}"),
            (r"/etc/prometheus/alerts\.yml", str(ALERTS)),
            (r"(scrape|evaluation)_interval: \w+", r"\1_interval: 1s"),
        ):
            shipped, count = re.subn(pattern, here, shipped)
            if not count:
                raise Failure(f"config/prometheus.yml has nothing like {pattern}")
        config = Path(folder) / "prometheus.yml"
        config.write_text(shipped)
        super().__init__(
            "prometheus", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        )  # fmt: skip

    def query(self, expression):
        """Its samples: a value and the labels of each; none while it does not answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return [(float(s["value"][1]), s["metric"]) for s in json.load(answer)["data"]["result"]]
        except urllib.error.HTTPError as refused:
            raise Failure(f"{expression}: {refused.read().decode()[:500]}") from None
        except OSError:
            return []

    def fires(self, alert):
        return bool(self.query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))


def queries(dashboard):
    """The expressions of a dashboard's panels, as Prometheus wants them."""
    panels = json.loads(dashboard.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [text.replace("$__rate_interval", "10s").replace("$stream", "door") for text in asked]


def dashboards_and_alerts():
    """Every query of the dashboards gives series; CameraDown fires when the camera is gone, and clears."""
    with tempfile.TemporaryDirectory() as folder, Crowd() as crowd:
        arguments = ("--loop", "--fps", "15", "--name", "door")
        with FileServer(CLIP, *arguments) as camera:
            config = Path(folder) / "fanlight.yml"
            udp = free_udp_pair()
            config.write_text(f"rtsp:\n  udp_ports: [{udp}, {udp + 1}]\nstreams:\n  door: {camera.url}\n")
            with Relay("--config", config, stream="door") as relay, Prometheus(relay, folder) as prometheus:
                for transport in ("tcp", "udp"):
                    crowd.add(relay.url, transport)
                crowd.expect("pictures", 20, lambda: all(viewer.frames > 10 for viewer in crowd.viewers))
                prometheus.wait_for("up == 1", lambda: [v for v, _ in prometheus.query('up{job="fanlight"}')] == [1], 30)

                def fps_is_15():
                    crowd.watch(0.2)
                    return any(abs(fps - 15) < 0.5 for fps, _ in prometheus.query('fanlight_source_fps{stream="door"}'))

                prometheus.wait_for("fanlight_source_fps near 15", fps_is_15, 20)
                boards = sorted((ROOT / "dashboards").glob("*.json"))
                for board in boards:
                    asked = queries(board)
                    if len(asked) < 10:
                        raise Failure(f"{board.name}: only {len(asked)} queries found")
                    for expression in asked:
                        prometheus.wait_for(f"{board.name}: series of {expression}", lambda: prometheus.query(expression), 20)
                named = set(re.findall(r"fanlight_[a-z_]+", ALERTS.read_text() + "".join(b.read_text() for b in boards)))
                there = set(re.findall(r"^# TYPE (fanlight_[a-z_]+)", relay.get("/metrics"), re.M))
                missing = {name for name in named if re.sub(r"_bucket$", "", name) not in there}
                if missing or len(named) < 15:
                    raise Failure(f"dashboards and alerts name metrics that are not there: {missing}")
                if prometheus.fires("CameraDown"):
                    raise Failure("CameraDown fires while the camera is well")
                camera.process.terminate()
                camera.ends(5)
                prometheus.wait_for("CameraDown to fire", lambda: prometheus.fires("CameraDown"), 60)
                with FileServer(CLIP, *arguments, port=camera.port):
                    prometheus.wait_for("CameraDown to clear", lambda: not prometheus.fires("CameraDown"), 30)


CHECKS = {
    "alert rules": rules,
    "dashboards and alerts in prometheus": dashboards_and_alerts,
}
