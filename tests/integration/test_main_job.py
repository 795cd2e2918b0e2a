"""The main job, end to end: a change in Infisical restarts an annotated workload, once."""

import json

import pytest

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.domain import generations
from infisical_sandbox.server.faults import Ending
from infisical_sandbox.server.options import Options
from support.operator_process import Scene, credentials, subscription, workload

pytestmark = pytest.mark.cluster


def test_an_update_restarts_the_deployment_once(shop: Scene) -> None:
    """A new value raises the Deployment's generation by one, its rollout completes, and it says why."""
    shop.change(DB_PASSWORD="second")

    shop.restarts(1)
    told = shop.get("deployment", "api")["metadata"]["annotations"]["events.infisical.com/last-restart"]
    assert "DB_PASSWORD" in told
    assert "secret:update" in told
    assert "second" not in told


def test_a_create_and_a_delete_restart_once_each(shop: Scene) -> None:
    """A new key and its removal are one restart each, without waiting for reads to be proven fresh."""
    shop.change(API_KEY="new")
    shop.restarts(1, seconds=8)

    shop.delete("API_KEY")
    shop.restarts(2, seconds=8)


def test_a_change_behind_an_import_restarts_once(shop: Scene) -> None:
    """A secret that reaches the folder by an import restarts once, though its event comes seconds later."""
    shop.change(path="/shared", environment="dev", TOKEN="first")
    shop.sandbox.do_blocking(Controls.add_import, "prod", "/payments", ("dev", "/shared"))
    shop.restarts(1)

    shop.change(path="/shared", environment="dev", TOKEN="second")
    shop.restarts(2)


def test_what_is_not_selected_does_nothing(shop: Scene) -> None:
    """Another folder, another environment and an excluded key restart nobody."""
    where = {"environmentSlug": "prod", "secretPath": "/payments", "secretKeys": ["DB_*", "!DB_OLD"]}
    shop.apply(subscription(shop.sandbox, conditions=where))
    shop.eventually(lambda: shop.get("ies", "payments")["status"]["observedGeneration"] == 2)
    shop.watching()

    shop.change(path="/other", X="1")
    shop.change(environment="dev", DB_PASSWORD="1")
    shop.change(API_KEY="1")
    shop.change(DB_OLD="1")

    skip = shop.eventually(lambda: shop.get("ies", "payments")["status"].get("lastSkip"))
    assert skip["reason"] == "KeysNotSelected"
    shop.restarts(0)
    shop.change(DB_PASSWORD="2")
    shop.restarts(1)


def test_a_batch_of_fifty_keys_is_one_restart(shop: Scene) -> None:
    """One call that changes fifty keys rolls out once."""
    shop.change(**{f"KEY_{number}": "first" for number in range(50)})
    shop.restarts(1)

    shop.change(**{f"KEY_{number}": "second" for number in range(50)})
    shop.restarts(2)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_other_kinds_are_restarted_too(scene: Scene, kind: str) -> None:
    """StatefulSets and DaemonSets are rolled out like Deployments."""
    scene.apply(credentials(scene.sandbox), workload(kind=kind), subscription(scene.sandbox))
    scene.operator.start()
    scene.watching()

    scene.change(DB_PASSWORD="second")

    scene.restarts(1, kind=kind.lower())


def test_what_changed_while_the_operator_was_dead_restarts_once(shop: Scene) -> None:
    """Killed, changed, started: exactly one restart; started again with nothing changed: none."""
    shop.operator.kill()
    shop.change(DB_PASSWORD="second")

    shop.operator.start()
    shop.restarts(1)
    assert "MissedChangesFound" in shop.kubectl("describe", "ies", "payments", "-n", shop.namespace)

    shop.operator.kill()
    shop.operator.start()
    shop.watching()
    shop.restarts(1)


@pytest.mark.parametrize("ending", [Ending.CLEAN, Ending.ABORT, Ending.RESET])
def test_a_stream_cut_before_a_change_loses_nothing(shop: Scene, ending: Ending) -> None:
    """However the server ends the stream, a change right after it is one restart."""
    assert shop.sandbox.do_blocking(Controls.end_streams, ending) == 1
    shop.change(DB_PASSWORD="second")

    shop.restarts(1)


@pytest.mark.timeout(180)
def test_a_stream_that_falls_silent_loses_nothing(shop: Scene) -> None:
    """A dead connection is noticed by the watchdog; what changed meanwhile is one restart."""
    assert shop.sandbox.do_blocking(Controls.end_streams, Ending.SILENCE) == 1
    shop.change(DB_PASSWORD="second")

    shop.restarts(1, seconds=75)


def test_an_event_that_never_comes_is_found_by_the_next_connect(shop: Scene) -> None:
    """A dropped event is found when the stream is opened again."""
    shop.sandbox.controls.faults.drop_events = 1
    shop.change(DB_PASSWORD="second")
    shop.restarts(0)

    shop.sandbox.do_blocking(Controls.end_streams, Ending.CLEAN)
    shop.restarts(1)


def test_a_stale_read_does_not_lose_the_change(shop: Scene) -> None:
    """When reads lag behind the event, the change is looked for again and restarts once."""
    shop.sandbox.do_blocking(Controls.freeze_reads, 1.5)
    shop.change(DB_PASSWORD="second")

    shop.restarts(1)


@pytest.mark.parametrize("sandbox_options", [Options(generation=generations.E3, fan_out_delay=0.4)])
def test_the_older_server_generation_is_served_too(scene: Scene) -> None:
    """With prefix matching and the older payload an update still restarts once."""
    where = {"environmentSlug": "prod", "secretPath": "/payments"}
    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox, conditions=where))
    scene.operator.start()
    scene.watching()

    scene.change(DB_PASSWORD="second")

    scene.restarts(1)


def test_a_paused_workload_is_restarted_on_release(shop: Scene) -> None:
    """While held nothing happens; on release what came meanwhile is one restart."""
    paused = {"events.infisical.com/auto-reload": "true", "events.infisical.com/paused": "true"}
    shop.apply(workload(annotations=paused))
    held = shop.generation()  # a Deployment's generation counts annotations too
    shop.change(DB_PASSWORD="second")
    shop.eventually(
        lambda: shop.get("ies", "payments")["status"].get("lastSkip", {}).get("reason") == "Paused"
    )
    shop.change(DB_PASSWORD="third")
    shop.restarts(0, since=held)

    shop.kubectl("annotate", "deployment", "api", "-n", shop.namespace, "events.infisical.com/paused-")
    shop.restarts(1, since=held + 1, seconds=40)


def test_only_workloads_that_are_concerned_are_restarted(scene: Scene) -> None:
    """Opting in by name, narrowing by key, opting in elsewhere and not opting in are told apart."""
    scene.apply(credentials(scene.sandbox), subscription(scene.sandbox))
    by_name = {"events.infisical.com/subscription": "mail, payments"}
    narrowed = {"events.infisical.com/auto-reload": "true", "events.infisical.com/secret-keys": "API_*"}
    elsewhere = {"events.infisical.com/subscription": "mail"}
    for name, annotations in {"named": by_name, "narrow": narrowed, "mail": elsewhere, "none": {}}.items():
        scene.apply(workload(name, annotations=annotations))
    scene.operator.start()
    scene.watching()

    scene.change(DB_PASSWORD="second")

    scene.restarts(1, "named")
    assert [scene.generation(name) for name in ("narrow", "mail", "none")] == [1, 1, 1]


def test_a_broken_neighbour_in_another_namespace_does_no_harm(shop: Scene) -> None:
    """One operator for two namespaces: wrong credentials in one leave the other alone."""
    other = f"{shop.namespace}-b"
    shop.kubectl("create", "namespace", other)
    try:
        wrong = credentials(shop.sandbox, clientSecret="not-it")
        for manifest in (wrong, subscription(shop.sandbox)):
            shop.kubectl("apply", "-n", other, "-f", "-", stdin=json.dumps(manifest))
        shop.operator.kill()
        shop.operator.command = [*shop.operator.command, "--namespace", other]
        shop.operator.start()
        shop.eventually(
            lambda: "CredentialsRejected" in shop.kubectl("describe", "ies", "payments", "-n", other)
        )

        shop.change(DB_PASSWORD="second")

        shop.restarts(1)
    finally:
        shop.kubectl("delete", "namespace", other, "--wait=false")


def test_a_broken_neighbour_does_no_harm(shop: Scene) -> None:
    """With a second subscription whose credentials are wrong, the first one goes on."""
    wrong = {
        "universalAuth": {
            "clientIdRef": {"name": "wrong", "key": "clientId"},
            "clientSecretRef": {"name": "wrong", "key": "clientSecret"},
        }
    }
    secret = credentials(shop.sandbox, clientSecret="not-it")
    secret["metadata"]["name"] = "wrong"
    shop.apply(secret, subscription(shop.sandbox, "broken", authentication=wrong))
    condition = shop.has_reason("Authenticated", "CredentialsRejected", "broken")
    assert "check the credentials" in condition["message"]

    shop.change(DB_PASSWORD="second")

    shop.restarts(1)
