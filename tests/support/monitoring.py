"""The chart's alerts and dashboard: their rules, panels and queries."""

import json
from typing import Any

import yaml

from support import charts

_FILES = charts.CHART / "files"
RULES_FILE = _FILES / "alerts.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(RULES_FILE.read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((_FILES / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
NOTES: list[dict[str, Any]] = DASHBOARD["annotations"]["list"]
QUERIES = (
    [rule["expr"] for rule in RULES]
    + [t["expr"] for panel in PANELS for t in panel["targets"]]
    + [note["expr"] for note in NOTES]
)
VARIABLES = {
    "$__rate_interval": "5m",
    "$__range": "6h",
    "$cluster": ".*",
    "$job": ".*",
    "$namespace": ".*",
    "$subscription": ".*",
}
"""What Grafana puts in place of its variables, by example."""


def filled_in(query: str) -> str:
    """A query with its variables filled in."""
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query
