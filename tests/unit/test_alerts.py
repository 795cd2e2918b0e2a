"""Alerts and dashboard: they ask for metrics that there are, and alert on what they are named for.

What PromQL means is asked of Prometheus itself (`promtool`), where it is there.
"""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infisical_events.api.statuses import ConditionStatus, ConditionType
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.condition_collector import LABELS
from infisical_events.runtime.metrics import Metrics
from support import charts
from support.monitoring import DASHBOARD, NOTES, PANELS, QUERIES, RULES, filled_in

HISTORIES = Path(__file__).parents[1] / "alerts" / "histories.yaml"
TARGETS = {"namespace", "job", "instance", "cluster"}
"""Labels that Prometheus gives to what it scrapes, whatever the metric has itself."""
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
"""What is added to the name of a metric of a type where it is exposed."""


def exposed() -> dict[str, set[str]]:
    """The metrics as they are exposed, each with its labels."""
    simple = [each for each in Metrics().registry._collector_to_names if hasattr(each, "_labelnames")]
    return {"infisical_events_subscription_condition": set(LABELS)} | {
        f"{metric._name}{suffix}": {*metric._labelnames, *(["le"] if suffix == "_bucket" else [])}
        for metric in simple
        for suffix in SUFFIXES.get(metric._type, ("",))
    }


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own tool."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not there: Prometheus brings it")
    return found


def run(*command: str | Path) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - promtool
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_what_there_is(query: str) -> None:
    """Each metric that is asked for exists, with the labels that it is asked by."""
    known = exposed()
    asked = re.findall(r"(infisical_events_\w+)(?:\{([^}]*)\})?", query)
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(",")}

    assert asked
    assert {metric for metric, _ in asked} <= set(known)
    for metric, matchers in asked:
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= known[metric] | TARGETS
    assert grouped - TARGETS <= set().union(*(known[metric] for metric, _ in asked))


def named(label: str) -> set[str]:
    """The values of a label that queries ask for."""
    matched = [words for query in QUERIES for words in re.findall(rf'\b{label}[=!]~?"([^"$]*)"', query)]
    matched += [words for query in QUERIES for words in re.findall(rf'\b{label}!?="([^"$]*)"', query)]
    return {word for words in matched for word in words.split("|")}


def test_values_that_queries_name_exist() -> None:
    """A result is a reason that the operator gives; so is the reason of a pending restart."""
    reasons = {reason.value for reason in Reason}

    assert named("result")
    assert named("result") <= reasons
    assert named("reason")
    assert named("reason") <= reasons
    assert named("type") <= set(ConditionType)
    assert named("status") <= set(ConditionStatus)
    assert {"Ready", "Stalled"} <= named("type")


def test_every_alert_is_explained() -> None:
    """Page, schema and rules have the same alerts; each has a severity and a link to its explanation."""
    names = [rule["alert"] for rule in RULES]
    schema = json.loads((charts.CHART / "values.schema.json").read_text())
    rule = schema["properties"]["metrics"]["properties"]["prometheusRule"]["properties"]
    page = (charts.ROOT / "docs" / "metrics.md").read_text()
    explained = re.findall(r"^\| `(Infisical\w+)` \| (\w+) \|", page, re.MULTILINE)

    assert explained == [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]
    assert rule["disabled"]["items"]["enum"] == names
    assert [r["alert"] for r in RULES if not {"summary", "description"} <= r["annotations"].keys()] == []


def test_every_alert_has_a_runbook() -> None:
    """Each alert links to its section of the page, which has no other sections."""
    page = (charts.ROOT / "docs" / "runbooks.md").read_text()
    sections = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)

    assert [name for name, _ in sections] == [rule["alert"] for rule in RULES]
    assert [rule["annotations"]["runbook_url"] for rule in RULES] == [
        f"docs/runbooks.md#{rule['alert'].lower()}" for rule in RULES
    ]
    parts = ("**Meaning.**", "**Check.**", "**Do.**")
    assert [name for name, text in sections if not all(part in text for part in parts)] == []


def test_no_page_for_a_first_failure() -> None:
    """What is critical has lasted: it has a duration, and it counts no failures of a time."""
    critical = [rule for rule in RULES if rule["labels"]["severity"] == "critical"]

    assert critical
    assert [rule["alert"] for rule in critical if "for" not in rule or "increase(" in rule["expr"]] == []


def test_panels_have_their_place() -> None:
    """Each panel has a description, and no panel covers another."""
    cells = [
        (x, y)
        for panel in PANELS
        for x, y in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert [panel["id"] for panel in PANELS if not (panel["title"] and panel["description"])] == []
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_every_metric_is_on_the_dashboard() -> None:
    """The dashboard shows every metric."""
    shown = {name for query in QUERIES for name in re.findall(r"infisical_events_\w+", query)}

    assert shown <= set(exposed())
    assert {name for name in set(exposed()) - shown if not name.endswith(("_count", "_sum"))} == set()


def test_the_first_row_says_whether_all_is_well() -> None:
    """Each number of it is 0 rather than absent when all is well, and green then."""
    row = [panel for panel in PANELS if panel["type"] == "stat"]

    assert {panel["gridPos"]["y"] for panel in row} == {1}
    judged = [panel for panel in row if panel["options"]["colorMode"] == "background"]
    assert [panel["title"] for panel in judged] == [
        "Not ready",
        "Stalled",
        "Streams down",
        "Pending restarts",
        "Failed restarts",
    ]
    for panel in judged:
        colors = [step["color"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert colors[0] == "green"
        assert panel["targets"][0]["expr"].endswith("or vector(0)")


def test_queries_of_the_dashboard_obey_its_variables() -> None:
    """Every query is limited to the chosen cluster and installation."""
    asked = [t["expr"] for panel in PANELS for t in panel["targets"]] + [note["expr"] for note in NOTES]
    selectors = [matchers for query in asked for matchers in re.findall(r"\{([^}]*)\}", query)]

    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == [
        "datasource",
        *("cluster", "job", "namespace", "subscription"),
    ]
    assert [each for each in selectors if 'cluster=~"$cluster", job=~"$job"' not in each] == []


def query_of(title: str) -> str:
    """The first query of a panel."""
    (panel,) = (panel for panel in PANELS if panel["title"] == title)
    return filled_in(panel["targets"][0]["expr"])


def test_the_dashboard_counts_what_is_broken(promtool: str, tmp_path: Path) -> None:
    """The first row has the right numbers for a history with all kinds of broken subscriptions."""
    history = yaml.safe_load((HISTORIES).read_text())["tests"][-1]
    numbers = {"Not ready": 5, "Stalled": 1, "Streams down": 2, "Pending restarts": 2, "Failed restarts": 0}
    expected = [
        {
            "expr": query_of(title),
            "eval_time": "100m",
            "exp_samples": [{"labels": "{}", "value": number}],
        }
        for title, number in numbers.items()
    ]
    expected.append(
        {
            "expr": f"count by (subscription) ({query_of('Not well')})",
            "eval_time": "100m",
            "exp_samples": [
                {"labels": f'{{subscription="{name}"}}', "value": number}
                for name, number in {
                    "invalid-spec": 2,
                    "wrong-credentials": 2,
                    "unreachable": 2,
                    "missing-folder": 2,
                    "one-too-many": 1,
                    "no-stream": 1,
                    "foreign-secret": 1,
                }.items()
            ],
        }
    )
    file = tmp_path / "tests.yaml"
    test = {"interval": "1m", "input_series": history["input_series"], "promql_expr_test": expected}
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))

    run(promtool, "test", "rules", file)


def test_alerts_fire_when_they_should(promtool: str) -> None:
    """Played histories of the metrics lead to the alerts that are expected, and to no others."""
    run(promtool, "test", "rules", HISTORIES)


def test_queries_of_the_dashboard_are_promql(promtool: str, tmp_path: Path) -> None:
    """Prometheus understands every query, its variables filled in."""
    rules = [{"record": f"query:{number}", "expr": filled_in(query)} for number, query in enumerate(QUERIES)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))

    assert f"{len(QUERIES)} rules found" in run(promtool, "check", "rules", file)
