"""Observation modes end to end: values, versions, or events only."""

import json

import pytest

from infisical_sandbox.server.controls import Controls
from support.cluster_harness import ClusterHarness
from support.manifests import Manifest, credentials, subscription, workload
from support.stored_ledgers import opened

pytestmark = pytest.mark.cluster

EVENTS = {
    "subject": "secret-event-subscriptions",
    "actions": [
        "subscribe-to-creation-events",
        "subscribe-to-update-events",
        "subscribe-to-deletion-events",
        "subscribe-to-import-mutation-events",
    ],
}
DESCRIBE = {"subject": "secrets", "actions": ["describeSecret"]}


def key_id(subscription: Manifest) -> str:
    """Return the id of the digest key under which the ledger was stored."""
    found: str = opened(subscription["status"]["ledger"])["header"]["keyId"]
    return found


def snapshot(harness: ClusterHarness) -> dict[str, object]:
    """Return the status of the last read."""
    found: dict[str, object] = harness.get("ies", "payments")["status"].get("observation", {})
    return found


@pytest.mark.timeout(180)
def test_a_value_that_changed_by_reference_is_found_after_a_gap(harness: ClusterHarness) -> None:
    """With `observe: Values` a changed reference causes one restart, without a version and an event."""
    harness.change(path="/db", HOST="one")
    harness.change(URL="${prod.db.HOST}/x")
    key = f"{harness.namespace}/digest-key"
    harness.operator.command = [*harness.operator.command, "--digest-key-secret", key]
    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox, observe="Values"))
    harness.operator.start()
    harness.wait_serving()
    assert snapshot(harness)["grade"] == "Values"

    harness.operator.kill()
    harness.change(path="/db", HOST="two")
    harness.operator.start()

    harness.expect_restarts(1, seconds=80)  # no version proves the look to be newer: a minute has to pass
    stored = harness.kubectl("get", "ies", "payments", "-n", harness.namespace, "-o", "json")
    assert "one/x" not in stored + harness.operator.log.read_text()
    assert "two/x" not in stored + harness.operator.log.read_text()


def test_a_rotated_digest_key_restarts_nothing(harness: ClusterHarness) -> None:
    """Deletion of the Secret rotates the key; later changes still restart."""
    key = f"{harness.namespace}/digest-key"
    harness.operator.command = [*harness.operator.command, "--digest-key-secret", key]
    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox, observe="Values"))
    harness.operator.start()
    before = key_id(harness.wait_serving())

    harness.operator.kill()
    harness.kubectl("delete", "secret", "digest-key", "-n", harness.namespace)
    harness.operator.start()
    harness.eventually(lambda: key_id(harness.get("ies", "payments")) not in {"", before})

    harness.expect_restarts(0)
    harness.change(DB_PASSWORD="second")
    harness.expect_restarts(1)


def test_without_the_right_to_read_events_restart(harness: ClusterHarness) -> None:
    """Without the right to describe secrets an event causes one restart, and the status shows the mode."""
    harness.sandbox.do_blocking(Controls.permit, [EVENTS])
    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox))
    harness.operator.start()
    harness.wait_serving()
    assert harness.condition("Observed")["reason"] == "EventsOnly"
    assert snapshot(harness)["grade"] == "Events"

    harness.change(DB_PASSWORD="second")
    harness.wait_restarts(1)

    harness.sandbox.do_blocking(Controls.permit, [EVENTS, DESCRIBE])
    harness.operator.kill()
    harness.operator.start()
    harness.eventually(lambda: snapshot(harness)["grade"] == "Versions")
    harness.expect_restarts(1)
    harness.change(DB_PASSWORD="third")
    harness.expect_restarts(2)


@pytest.mark.parametrize("damage", [{"epoch": None}, {"data": "by hand"}], ids=["cut off", "edited"])
def test_a_damaged_ledger_is_reported_and_restarts_nothing(
    serving_harness: ClusterHarness, damage: dict[str, object]
) -> None:
    """A new baseline replaces an edited ledger: a condition reports it, and nothing restarts."""
    serving_harness.operator.kill()
    patch = json.dumps({"status": {"ledger": damage}})
    serving_harness.kubectl(
        "patch",
        "ies",
        "payments",
        "-n",
        serving_harness.namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
        patch,
    )
    serving_harness.operator.start()

    condition = serving_harness.wait_reason("Observed", "LedgerUnreadable")
    assert condition["status"] == "True"
    serving_harness.expect_restarts(0)
    serving_harness.change(DB_PASSWORD="second")
    serving_harness.expect_restarts(1)
