"""The main job end to end: a change in Infisical restarts a matching workload once."""

import json

import pytest

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.domain import generations
from infisical_sandbox.server.faults import Ending
from infisical_sandbox.server.options import Options
from support.cluster_harness import ClusterHarness
from support.manifests import credentials, subscription, workload

pytestmark = pytest.mark.cluster


def test_an_update_restarts_the_deployment_once(serving_harness: ClusterHarness) -> None:
    """A new value raises the generation by one and rolls out, and the restart record has the reason."""
    serving_harness.change(DB_PASSWORD="second")

    serving_harness.expect_restarts(1)
    record = serving_harness.get("deployment", "api")["metadata"]["annotations"][
        "events.infisical.com/last-restart"
    ]
    assert "DB_PASSWORD" in record
    assert "secret:update" in record
    assert "second" not in record


def test_a_create_and_a_delete_restart_once_each(serving_harness: ClusterHarness) -> None:
    """A new key and its removal cause one restart each, without waiting for a confirmed read."""
    serving_harness.change(API_KEY="new")
    serving_harness.wait_restarts(1, seconds=8)

    serving_harness.delete("API_KEY")
    serving_harness.expect_restarts(2, seconds=8)


def test_a_change_behind_an_import_restarts_once(serving_harness: ClusterHarness) -> None:
    """A change of an imported secret causes one restart, although its event comes seconds later."""
    serving_harness.change(path="/shared", environment="dev", TOKEN="first")
    serving_harness.sandbox.do_blocking(Controls.add_import, "prod", "/payments", ("dev", "/shared"))
    serving_harness.wait_restarts(1)

    serving_harness.change(path="/shared", environment="dev", TOKEN="second")
    serving_harness.expect_restarts(2)


def test_what_is_not_selected_does_nothing(serving_harness: ClusterHarness) -> None:
    """A change in another folder or environment, or of an excluded key, restarts no workload."""
    where = {"environmentSlug": "prod", "secretPath": "/payments", "secretKeys": ["DB_*", "!DB_OLD"]}
    serving_harness.apply(subscription(serving_harness.sandbox, conditions=where))
    serving_harness.eventually(
        lambda: serving_harness.get("ies", "payments")["status"]["observedGeneration"] == 2
    )
    serving_harness.wait_serving()

    serving_harness.change(path="/other", X="1")
    serving_harness.change(environment="dev", DB_PASSWORD="1")
    serving_harness.change(API_KEY="1")
    serving_harness.change(DB_OLD="1")

    skip = serving_harness.eventually(
        lambda: serving_harness.get("ies", "payments")["status"].get("lastSkip")
    )
    assert skip["reason"] == "KeysNotSelected"
    serving_harness.expect_restarts(0)
    serving_harness.change(DB_PASSWORD="2")
    serving_harness.expect_restarts(1)


def test_a_batch_of_fifty_keys_is_one_restart(serving_harness: ClusterHarness) -> None:
    """One call that changes 50 keys causes one rollout."""
    serving_harness.change(**{f"KEY_{number}": "first" for number in range(50)})
    serving_harness.wait_restarts(1)

    serving_harness.change(**{f"KEY_{number}": "second" for number in range(50)})
    serving_harness.expect_restarts(2)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_other_kinds_are_restarted_too(harness: ClusterHarness, kind: str) -> None:
    """StatefulSets and DaemonSets restart like Deployments."""
    harness.apply(credentials(harness.sandbox), workload(kind=kind), subscription(harness.sandbox))
    harness.operator.start()
    harness.wait_serving()

    harness.change(DB_PASSWORD="second")

    harness.expect_restarts(1, kind=kind.lower())


def test_what_changed_while_the_operator_was_dead_restarts_once(serving_harness: ClusterHarness) -> None:
    """A change while the operator is down causes one restart; a start without a change causes none."""
    serving_harness.operator.kill()
    serving_harness.change(DB_PASSWORD="second")

    serving_harness.operator.start()
    serving_harness.expect_restarts(1)
    assert "MissedChangesFound" in serving_harness.kubectl(
        "describe", "ies", "payments", "-n", serving_harness.namespace
    )

    serving_harness.operator.kill()
    serving_harness.operator.start()
    serving_harness.wait_serving()
    serving_harness.expect_restarts(1)


@pytest.mark.parametrize("ending", [Ending.CLEAN, Ending.ABORT, Ending.RESET])
def test_a_stream_cut_before_a_change_loses_nothing(serving_harness: ClusterHarness, ending: Ending) -> None:
    """A change right after the end of a stream causes one restart, however the server ends the stream."""
    assert serving_harness.sandbox.do_blocking(Controls.end_streams, ending) == 1
    serving_harness.change(DB_PASSWORD="second")

    serving_harness.expect_restarts(1)


@pytest.mark.timeout(180)
def test_a_stream_that_falls_silent_loses_nothing(serving_harness: ClusterHarness) -> None:
    """The watchdog detects a dead connection; a change on it causes one restart."""
    assert serving_harness.sandbox.do_blocking(Controls.end_streams, Ending.SILENCE) == 1
    serving_harness.change(DB_PASSWORD="second")

    serving_harness.expect_restarts(1, seconds=75)


def test_an_event_that_never_comes_is_found_by_the_next_connect(serving_harness: ClusterHarness) -> None:
    """The next connect finds a change whose event was dropped."""
    serving_harness.sandbox.controls.faults.drop_events = 1
    serving_harness.change(DB_PASSWORD="second")
    serving_harness.expect_restarts(0)

    serving_harness.sandbox.do_blocking(Controls.end_streams, Ending.CLEAN)
    serving_harness.expect_restarts(1)


def test_a_stale_read_does_not_lose_the_change(serving_harness: ClusterHarness) -> None:
    """If reads are older than the event, the operator reads again, and the change causes one restart."""
    serving_harness.sandbox.do_blocking(Controls.freeze_reads, 1.5)
    serving_harness.change(DB_PASSWORD="second")

    serving_harness.expect_restarts(1)


@pytest.mark.parametrize(
    "sandbox_options",
    [
        pytest.param(Options(generation=generation, fan_out_delay=0.4), id=name)
        for name, generation in generations.BY_NAME.items()
    ],
)
def test_every_server_generation_is_served(harness: ClusterHarness) -> None:
    """A new key, an update, a deletion and a change behind an import cause one restart each."""
    where = {"environmentSlug": "prod", "secretPath": "/payments"}  # the older streams know no globs
    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox, conditions=where))
    harness.operator.start()
    harness.wait_serving()

    harness.change(API_KEY="new")
    harness.wait_restarts(1)
    harness.change(DB_PASSWORD="second")
    harness.wait_restarts(2)
    harness.delete("API_KEY")
    harness.wait_restarts(3)
    harness.change(path="/shared", environment="dev", TOKEN="first")
    harness.sandbox.do_blocking(Controls.add_import, "prod", "/payments", ("dev", "/shared"))
    harness.wait_restarts(4)
    harness.change(path="/shared", environment="dev", TOKEN="second")
    harness.expect_restarts(5)


def test_a_paused_workload_is_restarted_on_release(serving_harness: ClusterHarness) -> None:
    """Changes do not restart a paused workload; after its release they cause one restart."""
    paused = {"events.infisical.com/auto-reload": "true", "events.infisical.com/paused": "true"}
    serving_harness.apply(workload(annotations=paused))
    held = serving_harness.generation()  # a Deployment's generation counts annotations too
    serving_harness.change(DB_PASSWORD="second")
    serving_harness.eventually(
        lambda: serving_harness.get("ies", "payments")["status"].get("lastSkip", {}).get("reason") == "Paused"
    )
    serving_harness.change(DB_PASSWORD="third")
    serving_harness.expect_restarts(0, since=held)

    serving_harness.kubectl(
        "annotate", "deployment", "api", "-n", serving_harness.namespace, "events.infisical.com/paused-"
    )
    serving_harness.expect_restarts(1, since=held + 1, seconds=40)


def test_only_workloads_that_are_concerned_are_restarted(harness: ClusterHarness) -> None:
    """A workload restarts only if it opted in for this subscription and its keys."""
    harness.apply(credentials(harness.sandbox), subscription(harness.sandbox))
    by_name = {"events.infisical.com/subscription": "mail, payments"}
    narrowed = {"events.infisical.com/auto-reload": "true", "events.infisical.com/secret-keys": "API_*"}
    elsewhere = {"events.infisical.com/subscription": "mail"}
    for name, annotations in {"named": by_name, "narrow": narrowed, "mail": elsewhere, "none": {}}.items():
        harness.apply(workload(name, annotations=annotations))
    harness.operator.start()
    harness.wait_serving()

    harness.change(DB_PASSWORD="second")

    harness.expect_restarts(1, "named")
    assert [harness.generation(name) for name in ("narrow", "mail", "none")] == [1, 1, 1]


def test_a_broken_neighbour_in_another_namespace_does_no_harm(serving_harness: ClusterHarness) -> None:
    """Wrong credentials in one namespace do not affect the subscription in another namespace."""
    other = f"{serving_harness.namespace}-b"
    serving_harness.kubectl("create", "namespace", other)
    try:
        wrong = credentials(serving_harness.sandbox, clientSecret="not-it")
        for manifest in (wrong, subscription(serving_harness.sandbox)):
            serving_harness.kubectl("apply", "-n", other, "-f", "-", stdin=json.dumps(manifest))
        serving_harness.operator.kill()
        serving_harness.operator.command = [*serving_harness.operator.command, "--namespace", other]
        serving_harness.operator.start()
        serving_harness.eventually(
            lambda: (
                "CredentialsRejected" in serving_harness.kubectl("describe", "ies", "payments", "-n", other)
            )
        )

        serving_harness.change(DB_PASSWORD="second")

        serving_harness.expect_restarts(1)
    finally:
        serving_harness.kubectl("delete", "namespace", other, "--wait=false")


def test_a_broken_neighbour_does_no_harm(serving_harness: ClusterHarness) -> None:
    """Wrong credentials of one subscription do not affect another subscription in the namespace."""
    wrong = {
        "universalAuth": {
            "clientIdRef": {"name": "wrong", "key": "clientId"},
            "clientSecretRef": {"name": "wrong", "key": "clientSecret"},
        }
    }
    secret = credentials(serving_harness.sandbox, clientSecret="not-it")
    secret["metadata"]["name"] = "wrong"
    serving_harness.apply(secret, subscription(serving_harness.sandbox, "broken", authentication=wrong))
    condition = serving_harness.wait_reason("Authenticated", "CredentialsRejected", "broken")
    assert "check the credentials" in condition["message"]

    serving_harness.change(DB_PASSWORD="second")

    serving_harness.expect_restarts(1)
