"""Mistakes in the annotations of workloads, as `kubectl describe` shows them on a real control plane."""

import json

import pytest

from support.cluster_harness import ClusterHarness
from support.manifests import Manifest, workload

pytestmark = pytest.mark.cluster

GROUP = "events.infisical.com"
OPTED_IN = {f"{GROUP}/auto-reload": "true"}


def on_template(name: str) -> Manifest:
    """A workload whose annotation is on its pod template."""
    made = workload(name, annotations={})
    made["spec"]["template"]["metadata"]["annotations"] = OPTED_IN
    return made


def warnings_of(harness: ClusterHarness) -> dict[str, list[str]]:
    """Reason and beginning of each Warning of the operator, by workload."""
    events = json.loads(harness.kubectl("get", "events", "-n", harness.namespace, "-o", "json"))
    found: dict[str, list[str]] = {}
    for event in events["items"]:
        if event["source"].get("component") == "infisical-events" and event["type"] == "Warning":
            found.setdefault(event["involvedObject"]["name"], []).append(
                f"{event['reason']}: {event['message']}"
            )
    return found


def test_mistakes_are_shown_within_a_minute(serving_harness: ClusterHarness) -> None:
    """Of every place where a workload can have an annotation, once each, and a right workload has none."""
    keys = {f"{GROUP}/secret-keys": "^DB_.*$"}
    serving_harness.apply(
        workload("subscription", annotations={f"{GROUP}/subscription": "payment"}),
        workload("environment", annotations={**OPTED_IN, f"{GROUP}/environment": "Production"}),
        workload("keys", "StatefulSet", annotations={**OPTED_IN, **keys}),
        workload("paused", "DaemonSet", annotations={**OPTED_IN, f"{GROUP}/paused": "until Friday"}),
        on_template("template"),
    )
    expected = {
        "subscription": f"SubscriptionNotFound: Annotation {GROUP}/subscription: there is no subscription",
        "environment": f"NoMatchingSecret: Annotation {GROUP}/environment: 'Production' is no environment",
        "keys": f"NoMatchingSecret: Annotation {GROUP}/secret-keys: '^DB_.*$' matches none of 1 key",
        "paused": f"InvalidAnnotation: Annotation {GROUP}/paused: 'until Friday' is no boolean",
        "template": f"InvalidAnnotation: Annotation '{GROUP}/auto-reload' has no effect on the pod template",
    }

    serving_harness.eventually(lambda: warnings_of(serving_harness).keys() >= expected.keys(), seconds=60)

    found = warnings_of(serving_harness)
    assert {name: len(texts) for name, texts in found.items()} == dict.fromkeys(expected, 1)
    assert {name: found[name][0][: len(start)] for name, start in expected.items()} == expected
