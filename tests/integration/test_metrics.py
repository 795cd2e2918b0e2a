"""What Prometheus gets from the real process: conditions, requests, durations and the process itself."""

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from support.cluster_harness import ClusterHarness
from support.manifests import subscription

pytestmark = pytest.mark.cluster


def _families(harness: ClusterHarness) -> dict[str, Metric]:
    """The metric families by name, as of now."""
    return {each.name: each for each in text_string_to_metric_families(harness.operator.get("/metrics"))}


def _conditions(harness: ClusterHarness) -> set[tuple[str, str]]:
    """Type and status of the exposed conditions."""
    samples = _families(harness)["infisical_events_subscription_condition"].samples
    return {(sample.labels["type"], sample.labels["status"]) for sample in samples}


def test_a_restart_is_measured(serving_harness: ClusterHarness) -> None:
    """From the event to the patch; requests to both servers count by code; no series says when it began."""
    serving_harness.change(DB_PASSWORD="second")
    serving_harness.expect_restarts(1)

    families = _families(serving_harness)
    sums = {
        name: {sample.name.removeprefix(name): sample.value for sample in families[name].samples}
        for name in ("infisical_events_detection_latency_seconds", "infisical_events_restart_latency_seconds")
    }
    codes = {
        server: {sample.labels["code"] for sample in families[f"infisical_events_{server}_requests"].samples}
        for server in ("infisical", "kubernetes")
    }
    assert [each["_count"] for each in sums.values()] == [1.0, 1.0]
    assert all(0.0 < each["_sum"] < 60.0 for each in sums.values())
    assert "200" in codes["infisical"]
    assert "200" in codes["kubernetes"]
    verbs = {each.labels["verb"] for each in families["infisical_events_kubernetes_requests"].samples}
    assert {"GET", "LIST", "PATCH"} <= verbs
    assert families["process_resident_memory_bytes"].samples[0].value > 0
    assert families["infisical_events_budget_used"].samples
    assert "_created" not in serving_harness.operator.get("/metrics")


def test_conditions_follow_the_status(serving_harness: ClusterHarness) -> None:
    """A suspended and a stalled subscription have their conditions, and no other series."""
    served = _conditions(serving_harness)
    serving_harness.apply(subscription(serving_harness.sandbox, suspend=True))
    serving_harness.wait_reason("Ready", "Suspended")
    suspended = _conditions(serving_harness)
    serving_harness.apply(subscription(serving_harness.sandbox, address="https://collector.example"))
    serving_harness.wait_reason("Stalled", "AddressNotAllowed")

    assert {("Ready", "True"), ("Streaming", "True"), ("Observed", "True")} <= served
    assert suspended == {("Ready", "True"), ("Suspended", "True")}
    serving_harness.eventually(
        lambda: _conditions(serving_harness) == {("Ready", "False"), ("Stalled", "True")}
    )
    assert "infisical_events_stream_connected{" not in serving_harness.operator.get("/metrics")
