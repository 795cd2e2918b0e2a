"""Questions of a person on call, asked when all Events are gone and the operator was restarted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from e2e.restart_order.slots import using_secret
from support.cluster_harness import ClusterHarness
from support.command_line import Answer, CommandLine
from support.fake_controllers.manifests import infisical_secret
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("foreign_crds")]

GROUP = "events.infisical.com"
CONDITIONS = {"environmentSlug": "prod", "secretPath": "/payments/**", "secretKeys": ["DB_*"]}
MOST_LINES = 15


def opted_in(subscription_name: str, **more: str) -> dict[str, str]:
    """Annotations that opt in to one subscription."""
    words = {"auto-reload": "true", "subscription": subscription_name} | more
    return {key if "/" in key else f"{GROUP}/{key.replace('_', '-')}": text for key, text in words.items()}


def manifests(harness: ClusterHarness) -> list[Manifest]:
    """One workload for each question."""
    sandbox, namespace = harness.sandbox, harness.namespace
    reloader = opted_in("payments", **{"reloader.stakater.com/auto": "true"})
    silent = opted_in("waiting", action="ResyncThenRestart")
    return [
        credentials(sandbox),
        subscription(sandbox, events=["secret:update"], conditions=CONDITIONS),
        subscription(sandbox, "asking", conditions={"environmentSlug": "prod", "secretPath": "/asking"}),
        subscription(sandbox, "slow", cooldownSeconds=3600),
        subscription(sandbox, "waiting", resync={"timeoutSeconds": 3600}),
        subscription(sandbox, "stalled", address="https://collector.example"),
        workload("api", annotations=opted_in("payments")),
        workload("asked", annotations=opted_in("asking")),
        workload("typo", annotations={f"{GROUP}/auto-relod": "true"}),
        workload("named", annotations=opted_in("paymets")),
        workload("held", annotations=opted_in("payments", paused="true")),
        workload("cool", annotations=opted_in("slow")),
        using_secret("plain", workload("left", annotations=reloader)),
        workload("stuck", annotations=opted_in("stalled")),
        using_secret("mirrored", workload("silent", annotations=silent)),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plain"}, "stringData": {"A": "1"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mirrored"}, "stringData": {"A": "1"}},
        infisical_secret("mirror", namespace, "mirrored"),
    ]


def state_of(harness: ClusterHarness, subscription_name: str, name: str) -> str:
    """What the status of a subscription says of a workload."""
    statuses = harness.get("ies", subscription_name).get("status", {}).get("workloads", ())
    return next((each["state"] for each in statuses if each["name"] == name), "")


def last_skip(harness: ClusterHarness, subscription_name: str) -> str:
    """The reason of the newest skip of a subscription."""
    status = harness.get("ies", subscription_name).get("status", {})
    return str((status.get("lastSkip") or {}).get("reason", ""))


def prepare(harness: ClusterHarness) -> str:
    """Let everything happen that is asked about; return the value of the restart request."""
    for name in ("payments", "asking", "slow", "waiting"):
        harness.wait_serving(name)
    harness.wait_reason("Stalled", "AddressNotAllowed", "stalled")
    value = datetime.now(UTC).isoformat()  # noqa: TID251 - as a user writes it
    harness.kubectl("annotate", "ies", "asking", f"{GROUP}/restart-at={value}", "-n", harness.namespace)
    harness.change(DB_PASSWORD="second")
    harness.wait_restarts(1, "api")
    harness.wait_restarts(1, "cool")
    harness.wait_restarts(1, "asked")
    harness.change(DB_PASSWORD="third")
    harness.wait_restarts(2, "api")
    harness.eventually(lambda: state_of(harness, "slow", "cool") == "Held", seconds=30)
    harness.eventually(lambda: state_of(harness, "payments", "held") == "Held", seconds=30)
    harness.eventually(lambda: state_of(harness, "waiting", "silent") == "Syncing", seconds=30)
    harness.eventually(lambda: state_of(harness, "payments", "api") == "Idle", seconds=30)
    harness.change(OTHER_KEY="new")
    harness.change(OTHER_KEY="newer")
    harness.eventually(lambda: last_skip(harness, "payments") == "KeysNotSelected", seconds=30)
    return value


@pytest.fixture
def ask(harness: ClusterHarness, cluster: Any) -> CommandLine:  # noqa: ANN401 - ours or a foreign one
    """The command line in the namespace of a harness."""
    return CommandLine(cluster.kubeconfig, harness.namespace)


def says(answer: Answer, *texts: str) -> None:
    """Check that an answer is short and has these texts."""
    assert len(answer.lines) <= MOST_LINES, answer.output
    assert [text for text in texts if text not in answer.output] == [], answer.output + answer.errors


@pytest.mark.timeout(300)
def test_twelve_questions(harness: ClusterHarness, ask: CommandLine) -> None:
    """Each answer names the cause, the object and the remedy, after Events and the process are gone."""
    harness.apply(*manifests(harness))
    harness.operator.start()
    requested = prepare(harness)
    harness.kubectl("delete", "events", "--all", "-n", harness.namespace)
    harness.operator.kill()
    harness.operator.start()
    harness.wait_serving()
    event = ("explain", "event", "secret:update", "--env", "prod", "--path", "/payments")

    # Why was it restarted? A change of this key, and how the rollout ended.
    restarted = ask("explain", "deployment/api")
    says(restarted, "Restarted:", "by payments", "secret:update prod:/payments DB_PASSWORD", "RolledOut")
    assert restarted.code == 0, restarted.output
    # A person asked for it.
    says(ask("explain", "deployment/asked"), "restart-at", requested, "infisicaleventsubscription/asking")
    # A key that is not selected.
    says(ask("explain", "deployment/api"), "KeysNotSelected", "OTHER_KEY", "secretKeys")
    key = ask(*event, "--key", "OTHER_KEY")
    says(key, "payments", "KeysNotSelected", "DB_*", "Add the key to secretKeys")
    # Another folder, and another environment.
    folder = ask(*event[:-1], "/mail", "--key", "DB_PASSWORD")
    says(folder, "PathNotSelected", "/payments/**", "Add an entry with this folder")
    environment = ask("explain", "event", "secret:update", "--env", "dev", "--path", "/payments")
    says(environment, "EnvironmentNotSelected", "prod", "Add an entry with this environmentSlug")
    # A wrong annotation.
    says(ask("explain", "deployment/typo"), "InvalidAnnotation", "auto-relod", "did you mean auto-reload")
    # No subscription of that name.
    says(ask("explain", "deployment/named"), "SubscriptionNotFound", "paymets", "did you mean payments")
    # Paused.
    says(ask("explain", "deployment/held"), "Held: Paused", f"Remove the annotation {GROUP}/paused")
    # Cooling down.
    says(ask("explain", "deployment/cool"), "Held: CoolingDown", "cooldownSeconds", "DB_PASSWORD")
    # Left to Reloader.
    left = ask("explain", "deployment/left")
    says(left, "ManagedByOtherController", "Stakater Reloader", "ignore-other-reloaders")
    # The subscription is stalled.
    says(ask("explain", "deployment/stuck"), "AddressNotAllowed", "subscription/stalled", "--allowed-address")
    # The provider is silent.
    says(ask("explain", "deployment/silent"), "Syncing", "infisicalsecret/mirror", "kubectl describe")

    assert ask("status").code == 1
    assert ask("status", "payments").code == 0
    says(ask("history", "deployment/api"), "secret:update", "prod:/payments", "DB_PASSWORD", "RolledOut")


def test_what_an_event_would_do_happens(serving_harness: ClusterHarness, ask: CommandLine) -> None:
    """The answer about an event is what the operator does; nothing happens by asking."""
    harness = serving_harness
    harness.apply(workload("held", annotations=opted_in("payments", paused="true")))
    event = ("explain", "event", "secret:update", "--env", "prod", "--path", "/payments")
    answer = ask(*event, "--key", "DB_PASSWORD", "-o", "json")

    effects = {each["name"]: each["effect"] for each in answer.data["workloads"]}
    assert (answer.code, effects) == (0, {"api": "SyncThenRestart", "held": "Held"})
    harness.change(DB_PASSWORD="second")
    harness.expect_restarts(1)
    assert harness.generation("held") == 1


def test_requests_are_acknowledged(serving_harness: ClusterHarness, ask: CommandLine) -> None:
    """`--wait` returns when the operator has done what was requested."""
    assert "acknowledged" in ask("reconcile", "payments", "--wait").output
    assert "acknowledged" in ask("restart", "payments", "--wait").output
    serving_harness.wait_restarts(1)
    assert "acknowledged" in ask("suspend", "payments", "--wait").output
    assert serving_harness.condition("Suspended")["status"] == "True"
    assert "Suspended" in ask("explain", "deployment/api").output
    assert "acknowledged" in ask("resume", "payments", "--wait").output
    serving_harness.wait_serving()


def test_a_question_without_an_answer(serving_harness: ClusterHarness, ask: CommandLine) -> None:
    """What does not exist is said with what exists; a cluster that cannot be asked is exit code 3."""
    missing = ask("explain", "deployment/apo")
    assert (missing.code, "did you mean api?" in missing.errors) == (1, True)
    assert ask("explain", "pod/api").code == 2
    assert ask("status", "nothing").code == 1
    elsewhere = ask("status", "--context", "nowhere")
    assert (elsewhere.code, "nowhere" in elsewhere.errors) == (3, True)
    assert serving_harness.generation() == 1
