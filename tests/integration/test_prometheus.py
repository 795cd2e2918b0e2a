"""The chart's alerts and dashboard in a real Prometheus that scrapes the real operator."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster_harness import ClusterHarness
from support.eventually import eventually
from support.manifests import workload
from support.monitoring import PANELS, QUERIES, RULES, RULES_FILE, filled_in
from support.operator_process import free_port

pytestmark = pytest.mark.cluster


class Prometheus:
    """The query API of a running Prometheus."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """The data of a response; raises OSError for an error of the query."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]

    def query(self, text: str) -> list[Any]:
        """The series that a query finds now."""
        found: list[Any] = self.get("query", query=text)["result"]
        return found

    def is_scraping(self) -> bool:
        """Whether the target has been scraped."""
        try:
            return [each["value"][1] for each in self.query("up")] == ["1"]
        except OSError:
            return False


@pytest.fixture
def prometheus(serving_harness: ClusterHarness, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus with the chart's rules, whose only target is the operator."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not there: install it to run the alerts and the dashboard")
    target = serving_harness.operator.url.removeprefix("http://")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES_FILE)],
        "scrape_configs": [
            {"job_name": "infisical-events", "static_configs": [{"targets": [target]}], "honor_labels": True}
        ],
    }
    file, address = tmp_path / "prometheus.yaml", f"127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump(config))
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - a program of this machine
    try:
        running = Prometheus(address)
        eventually(running.is_scraping, seconds=30)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_every_query_has_an_answer(serving_harness: ClusterHarness, prometheus: Prometheus) -> None:
    """Prometheus accepts all rules and queries, and the first row of the dashboard has numbers."""
    serving_harness.apply(
        workload(
            "held",
            annotations={"events.infisical.com/auto-reload": "true", "events.infisical.com/paused": "true"},
        )
    )
    serving_harness.change(DB_PASSWORD="second")
    serving_harness.wait_restarts(1)
    pending = 'infisical_events_pending_restarts{reason="Paused"}'
    eventually(lambda: prometheus.query(pending), seconds=30)

    for query in QUERIES:
        prometheus.query(filled_in(query))
    stats = [panel for panel in PANELS if panel["type"] == "stat"]
    shown = {panel["title"]: prometheus.query(filled_in(panel["targets"][0]["expr"])) for panel in stats}
    assert stats
    assert [title for title, found in shown.items() if not found] == []
    assert (shown["Subscriptions"][0]["value"][1], shown["Not ready"][0]["value"][1]) == ("1", "0")
    (table,) = (panel for panel in PANELS if panel["title"] == "Pending restarts by subscription")
    rows = prometheus.query(filled_in(table["targets"][0]["expr"]))
    assert [row["metric"]["reason"] for row in rows] == ["Paused"]
    (group,) = prometheus.get("rules")["groups"]
    assert [rule["health"] for rule in group["rules"]] == ["ok"] * len(RULES)
    assert prometheus.get("alerts")["alerts"] == []
