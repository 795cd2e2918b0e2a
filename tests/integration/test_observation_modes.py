"""By which means changes are found, end to end: values, versions, or events alone."""

import json

import pytest

from infisical_sandbox.server.controls import Controls
from support.operator_process import Scene, credentials, subscription, workload

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
A_PART = {"part": "prod:/payments", "body": "by hand", "acceptedAt": "2026-01-02T03:04:05Z"}
DESCRIBE = {"subject": "secrets", "actions": ["describeSecret"]}


def snapshot(scene: Scene) -> dict[str, object]:
    """What the status says of the last look."""
    found: dict[str, object] = scene.get("ies", "payments")["status"].get("observation", {})
    return found


@pytest.mark.timeout(180)
def test_a_value_that_changed_by_reference_is_found_after_a_gap(scene: Scene) -> None:
    """With `observe: Values` a changed reference restarts once, though no version and no event told."""
    scene.change(path="/db", HOST="one")
    scene.change(URL="${prod.db.HOST}/x")
    key = f"{scene.namespace}/digest-key"
    scene.operator.command = [*scene.operator.command, "--digest-key-secret", key]
    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox, observe="Values"))
    scene.operator.start()
    scene.watching()
    assert snapshot(scene)["grade"] == "Values"

    scene.operator.kill()
    scene.change(path="/db", HOST="two")
    scene.operator.start()

    scene.restarts(1, seconds=80)  # no version proves the look to be newer: a minute has to pass
    stored = scene.kubectl("get", "ies", "payments", "-n", scene.namespace, "-o", "json")
    assert "one/x" not in stored + scene.operator.log.read_text()
    assert "two/x" not in stored + scene.operator.log.read_text()


def test_a_rotated_key_of_the_digests_restarts_nobody(scene: Scene) -> None:
    """Whoever deletes the Secret rotates the key; changes from then on still count."""
    key = f"{scene.namespace}/digest-key"
    scene.operator.command = [*scene.operator.command, "--digest-key-secret", key]
    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox, observe="Values"))
    scene.operator.start()
    before = scene.watching()["status"]["ledger"]["header"]["keyId"]

    scene.operator.kill()
    scene.kubectl("delete", "secret", "digest-key", "-n", scene.namespace)
    scene.operator.start()
    scene.eventually(
        lambda: scene.get("ies", "payments")["status"]["ledger"]["header"]["keyId"] not in {"", before}
    )

    scene.restarts(0)
    scene.change(DB_PASSWORD="second")
    scene.restarts(1)


def test_who_may_not_look_is_served_by_events(scene: Scene) -> None:
    """Without the right to describe secrets an event restarts once, and the status says what that means."""
    scene.sandbox.do_blocking(Controls.permit, [EVENTS])
    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox))
    scene.operator.start()
    scene.watching()
    assert scene.condition("Observed")["reason"] == "EventsOnly"
    assert snapshot(scene)["grade"] == "Events"

    scene.change(DB_PASSWORD="second")
    scene.restarts(1)

    scene.sandbox.do_blocking(Controls.permit, [EVENTS, DESCRIBE])
    scene.operator.kill()
    scene.operator.start()
    scene.eventually(lambda: snapshot(scene)["grade"] == "Versions")
    scene.restarts(1)
    scene.change(DB_PASSWORD="third")
    scene.restarts(2)


@pytest.mark.parametrize("damage", [{"epoch": None}, {"belief": [A_PART]}], ids=["cut off", "edited"])
def test_a_damaged_ledger_is_told_and_restarts_nobody(shop: Scene, damage: dict[str, object]) -> None:
    """A ledger that was edited by hand is replaced by a new baseline: said in a condition, no restart."""
    shop.operator.kill()
    patch = json.dumps({"status": {"ledger": damage}})
    shop.kubectl(
        "patch", "ies", "payments", "-n", shop.namespace, "--subresource=status", "--type=merge", "-p", patch
    )
    shop.operator.start()

    told = shop.has_reason("Observed", "LedgerUnreadable")
    assert told["status"] == "True"
    shop.restarts(0)
    shop.change(DB_PASSWORD="second")
    shop.restarts(1)
