"""From a change to the last new pod, in virtual time: sync, verify, restart once, follow to the end."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, WorkloadKind
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from support.builders import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    ROLLOUT,
    STATEFUL_SET,
)
from support.harness import SubscriptionHarness
from support.virtual_time import in_virtual_time, virtual_now

GROUP = "events.infisical.com"
ADDRESS = "https://app.infisical.com"
HASH = "reconcile.external-secrets.io/data-hash"
VERSION = "secrets.infisical.com/version"
OPTED_IN = {f"{GROUP}/auto-reload": "true"}


class Team(SubscriptionHarness):
    """A subscription whose workloads use the Secrets `env` and `own` of two providers."""

    syncs = 1

    def sync(self, content: str) -> None:
        """The ExternalSecret of Secret `env` has synced, with this content."""
        self.syncs += 1
        ready = {"type": "Ready", "status": "True", "message": "synced"}
        status = {"syncedResourceVersion": f"1-{self.syncs}", "conditions": [ready]}
        self.cluster.keep_secret("team", "env", {HASH: content}, written_at=virtual_now())
        self.cluster.put_source("team", EXTERNAL_SECRET, "env", spec={}, status=status)

    def fail_to_sync(self) -> None:
        """The ExternalSecret reports why it could not sync."""
        ready = {"type": "Ready", "status": "False", "message": "could not get secret data"}
        status = {"syncedResourceVersion": "1-1", "conditions": [ready]}
        self.cluster.put_source("team", EXTERNAL_SECRET, "env", spec={}, status=status)

    def write_silently(self, content: str, path: str = "/a") -> None:
        """The InfisicalSecret of Secret `own` has this content; it never acknowledges a sync."""
        scope = {"secretsScope": {"envSlug": "prod", "secretsPath": path}}
        spec = {"authentication": {"universalAuth": scope}, "managedSecretReference": {"secretName": "own"}}
        self.cluster.keep_secret("team", "own", {VERSION: content}, written_at=virtual_now())
        self.cluster.put_source("team", INFISICAL_SECRET, "own", spec=spec, status={})

    @property
    def metrics(self) -> Metrics:
        """The metrics of the running process."""
        assert self.runner is not None
        return self.runner.dependencies.metrics

    @property
    def settled(self) -> str:
        """The reason of condition RestartsComplete."""
        return self.condition("RestartsComplete")[1]

    @property
    def told(self) -> list[str]:
        """The reasons of the Kubernetes Events on the subscription, without the baseline's."""
        return self.event_reasons[1:]

    def results(self) -> list[tuple[str, str]]:
        """What became of the workloads in the newest action."""
        return [(w["name"], w["result"]) for w in self.status["lastAction"]["workloads"]]


def synced_team(**fields: Any) -> Team:  # noqa: ANN401 - fields of the spec
    """A team whose Deployment uses a Secret that an ExternalSecret writes."""
    team = Team(**fields)
    team.create("web", uses=["env"])
    team.sync("old")
    return team


# -- sync, verify, restart ------------------------------------------------------------------------


@in_virtual_time
async def test_a_restart_waits_for_the_secret() -> None:
    """The source is asked once; the restart comes after its answer, once, and is followed to its end."""
    async with synced_team() as team:
        await team.change(20.0)
        assert (team.rollouts("web"), team.count("request_sync"), team.settled) == ([0], 1, "Resyncing")

        team.sync("new")
        synced_at = asyncio.get_running_loop().time()
        await asyncio.sleep(600.0)
        assert (team.rollouts("web"), team.count("request_sync"), team.settled) == (
            [1],
            1,
            "NoPendingRestarts",
        )
        (restarted_at,) = team.moments("patch_workload")
        assert 0 < restarted_at - synced_at <= 2.5
        assert (team.results(), team.told) == ([("web", "RolledOut")], ["Restarted"])


@in_virtual_time
async def test_durations_are_measured() -> None:
    """From the event to the pending restart, to the patch after a sync, and to the end of the rollout."""
    async with synced_team(debounceSeconds=2) as team:
        await team.change(20.0)
        team.sync("new")
        synced_at = asyncio.get_running_loop().time()
        await asyncio.sleep(600.0)
        (restarted_at,) = team.moments("patch_workload")
        text = team.metrics.render().decode()

    detection = measured(text, "detection_latency_seconds")
    assert len(detection) == len(measured(text, "restart_latency_seconds")) == 1
    assert 2.0 <= detection[0] <= 5.0
    assert measured(text, "restart_latency_seconds")[0] == pytest.approx(
        20.0 - detection[0] + restarted_at - synced_at, abs=0.5
    )
    assert 0 < measured(text, "rollout_duration_seconds")[0] < 600


@in_virtual_time
async def test_a_change_without_a_workload_is_counted() -> None:
    """By its reason, once; a restart that waits counts as a result of its workload."""
    async with Team() as team:
        await team.change()
        text = team.metrics.render().decode()
    assert 'infisical_events_skipped_changes_total{reason="NoMatchingWorkload"} 1.0' in text


@in_virtual_time
async def test_a_rejected_restart_keeps_its_reason_in_the_metrics() -> None:
    """Between two attempts, too: an alert waits for so long before it fires."""
    async with Team("web") as team:
        team.cluster.fail("patch_workload", ForbiddenError("not now"), times=1_000)
        await team.change(30.0)
        for _ in range(30):
            found = re.findall(r"_pending_restarts{(.*)} 1.0", team.metrics.render().decode())
            assert found == ['namespace="team",reason="RestartFailed",subscription="app"']
            await asyncio.sleep(60.0)


def measured(text: str, name: str) -> list[float]:
    """The sum of the seconds of a histogram in which one duration is; nothing if none or several are."""
    is_one = f"infisical_events_{name}_count 1.0" in text
    return (
        [float(each) for each in re.findall(rf"^infisical_events_{name}_sum (\S+)$", text, re.MULTILINE)]
        if is_one
        else []
    )


@in_virtual_time
async def test_a_restart_tells_nothing_of_the_content() -> None:
    """The workload carries a token of it under the operator's key; the next change compares with that."""
    async with synced_team() as team:
        await team.change()
        team.sync("new")
        await asyncio.sleep(5.0)
        told = team.cluster.workload_of("team", "web")["metadata"]["annotations"][f"{GROUP}/last-restart"]
        token = json.loads(told)["secrets"]["env"]
        assert token
        assert "new" not in token

        await team.change()
        team.sync("newer")
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [2]


@in_virtual_time
async def test_who_has_synced_first() -> None:
    """Content that was new before anybody asked is restarted for as soon as the source acknowledges."""
    async with synced_team() as team:
        team.sync("new")
        await team.change(20.0)
        assert team.rollouts("web") == [0]
        team.sync("new")
        await asyncio.sleep(5.0)
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 1)


@in_virtual_time
async def test_nothing_new_in_the_secret() -> None:
    """A source that has synced twice since and has what the pods have saves a restart, and that is told."""
    async with synced_team() as team:
        await team.change()
        for _ in range(2):
            team.sync("old")
            await asyncio.sleep(5.0)
        assert (team.rollouts("web"), team.count("request_sync"), team.settled) == (
            [0],
            2,
            "NoPendingRestarts",
        )
        assert team.status["lastSkip"]["reason"] == "NoDataChange"


@in_virtual_time
async def test_a_source_that_lagged_at_first() -> None:
    """One that finds the old data and then the new costs one restart."""
    async with synced_team() as team:
        await team.change()
        team.sync("old")
        await asyncio.sleep(5.0)
        team.sync("new")
        await asyncio.sleep(60.0)
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 2)


@in_virtual_time
async def test_no_answer_and_a_restart_all_the_same() -> None:
    """With onTimeout Restart, when its time is over; the source is told with its own words meanwhile."""
    async with synced_team(resync={"timeoutSeconds": 30, "onTimeout": "Restart"}) as team:
        team.fail_to_sync()
        await team.change(29.0)
        assert (team.rollouts("web"), team.settled) == ([0], "Resyncing")
        (settled,) = [c for c in team.status["conditions"] if c["type"] == "RestartsComplete"]
        assert "externalsecret/env (could not get secret data)" in settled["message"]

        await asyncio.sleep(6.0)
        assert (team.rollouts("web"), team.told) == ([1], ["ResyncTimedOut", "Restarted"])


@pytest.mark.parametrize("is_crashed", [False, True])
@in_virtual_time
async def test_an_answer_after_the_restart(is_crashed: bool) -> None:  # noqa: FBT001 - a table
    """Pods that were started with what there was get the new content whenever it comes, and once."""
    async with synced_team(resync={"timeoutSeconds": 30, "onTimeout": "Restart"}) as team:
        team.fail_to_sync()
        await team.change(29.0)
        if is_crashed:
            team.cluster.fail("write_status", KubernetesError("away"), times=5)
        await asyncio.sleep(4.0)
        if is_crashed:
            await team.crash()
            await team.start()
        assert team.rollouts("web") == [1]
        await asyncio.sleep(7200.0)
        assert (team.rollouts("web"), team.settled) == ([1], "ResyncTimedOut")
        assert team.told.count("ResyncTimedOut") == 1

        team.sync("new")
        await asyncio.sleep(20.0)
        assert (team.rollouts("web"), team.settled) == ([2], "NoPendingRestarts")
        team.sync("new")
        await asyncio.sleep(7200.0)
        assert team.rollouts("web") == [2]


@in_virtual_time
async def test_an_answer_after_the_restart_that_changes_nothing() -> None:
    """A source that finds the same data after all costs no second restart."""
    async with synced_team(resync={"timeoutSeconds": 30, "onTimeout": "Restart"}) as team:
        team.fail_to_sync()
        await team.change(40.0)
        for _ in range(2):
            team.sync("old")
            await asyncio.sleep(20.0)
        assert (team.rollouts("web"), team.settled) == ([1], "NoPendingRestarts")
        assert team.status["lastSkip"]["reason"] == "NoDataChange"


@pytest.mark.parametrize(("on_timeout", "seconds"), [("Restart", 3700.0), ("Skip", 0.0)])
@in_virtual_time
async def test_who_never_answers_at_all(on_timeout: str, seconds: float) -> None:
    """A source that only shows its content is given an hour after a restart; a skip waits for ever."""
    team = Team(resync={"timeoutSeconds": 30, "onTimeout": on_timeout})
    team.create("web", uses=["own"])
    team.write_silently("old")
    async with team:
        await team.change(100.0 + seconds)
        is_over = on_timeout == "Restart"
        assert (team.rollouts("web"), team.settled) == (
            [int(is_over)],
            "NoPendingRestarts" if is_over else "ResyncTimedOut",
        )


@in_virtual_time
async def test_a_silent_source_beside_one_that_changed() -> None:
    """What reads nothing that changed holds nobody up: the other one's content explains the change."""
    team = synced_team(resync={"timeoutSeconds": 30, "onTimeout": "Skip"})
    team.create("web", uses=["env", "own"])
    team.write_silently("old", path="/elsewhere")
    async with team:
        await team.change()
        assert (team.rollouts("web"), team.settled) == ([0], "Resyncing")
        team.sync("new")
        await asyncio.sleep(5.0)
        assert (team.rollouts("web"), team.settled) == ([1], "NoPendingRestarts")


@in_virtual_time
async def test_who_never_answers_is_watched_after_the_restart() -> None:
    """What it wrote may have been an older change's: content that moves again is another restart, quietly."""
    team = Team()
    team.create("web", uses=["own"])
    team.write_silently("old")
    async with team:
        await team.change()
        team.write_silently("older change")
        await asyncio.sleep(30.0)
        assert (team.rollouts("web"), team.settled) == ([1], "NoPendingRestarts")

        team.write_silently("newest")
        await asyncio.sleep(30.0)
        assert (team.rollouts("web"), team.settled) == ([2], "NoPendingRestarts")
        assert [reason for reason in team.told if "Timed" in reason or "Warn" in reason] == []

        await asyncio.sleep(720.0)
        team.write_silently("of a change that nobody selects")
        await asyncio.sleep(60.0)
        assert (team.rollouts("web"), team.status["ledger"]["debts"]) == ([2], [])


@in_virtual_time
async def test_a_key_that_cannot_be_read_is_no_other_content() -> None:
    """Without the key nothing can be compared: the restart waits for it, and says so."""
    team = Team()
    team.create("web", uses=["own"])
    team.write_silently("old")
    async with team:
        await team.change(3.0)
        team.has_digest_key = False
        await asyncio.sleep(300.0)
        assert (team.rollouts("web"), team.settled) == ([0], "KubernetesAPIError")


@in_virtual_time
async def test_a_workload_that_is_made_anew_while_it_is_decided() -> None:
    """Is none of those that the debt is of: its pods began after the change."""
    team = synced_team(action="Restart")

    async def recreate(method: str) -> None:
        if method == "read_workload" and team.status["ledger"]["debts"]:
            team.cluster.interpose = team._called
            team.cluster.delete_workload("team", "web")
            team.create("web", uses=["env"])

    async with team:
        team.cluster.interpose = recreate
        await team.change(60.0)
        assert (team.rollouts("web"), team.settled) == ([0], "NoPendingRestarts")


@in_virtual_time
async def test_a_question_that_is_taken_back() -> None:
    """A ClusterExternalSecret takes it back: its ExternalSecret is not asked, and heard all the same."""
    team = synced_team(resync={"onTimeout": "Skip"})
    owner = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ClusterExternalSecret",
        "name": "all",
        "uid": "1",
    }
    team.cluster.own_source("team", EXTERNAL_SECRET, "env", owner)
    async with team:
        await team.change(120.0)
        assert (team.rollouts("web"), team.count("request_sync"), team.settled) == ([0], 0, "ResyncTimedOut")

        team.sync("new")
        await asyncio.sleep(60.0)
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 0)


@in_virtual_time
async def test_no_answer_and_no_restart() -> None:
    """With onTimeout Skip it is alarmed once and waited on; the restart follows the sync."""
    async with synced_team(resync={"timeoutSeconds": 30, "onTimeout": "Skip"}) as team:
        await team.change(1000.0)
        assert (team.rollouts("web"), team.settled) == ([0], "ResyncTimedOut")
        assert team.told == ["ResyncTimedOut"]

        team.sync("new")
        await asyncio.sleep(20.0)
        assert (team.rollouts("web"), team.settled) == ([1], "NoPendingRestarts")


@in_virtual_time
async def test_two_workloads_of_one_source() -> None:
    """It is asked once for both, and each is restarted once."""
    team = synced_team()
    team.create("api", uses=["env"])
    async with team:
        await team.change(20.0)
        assert (team.rollouts("web", "api"), team.count("request_sync")) == ([0, 0], 1)
        team.sync("new")
        await asyncio.sleep(60.0)
        assert (team.rollouts("web", "api"), team.count("request_sync")) == ([1, 1], 1)


@in_virtual_time
async def test_a_process_that_dies_while_it_waits() -> None:
    """Its successor finds the question and the answer where they are, and asks nobody again."""
    async with synced_team() as team:
        await team.change()
        await team.crash()
        team.sync("new")
        await team.start()
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 1)


@in_virtual_time
async def test_a_process_that_dies_after_the_restart() -> None:
    """Its successor finds the receipt, follows the rollout, and restarts nothing."""
    async with synced_team() as team:
        await team.change()
        team.cluster.fail("write_status", KubernetesError("away"), times=5)
        team.sync("new")
        await asyncio.sleep(3.0)
        await team.crash()
        assert team.rollouts("web") == [1]

        team.roll(RolloutProgress.UNDER_WAY, "web")
        await team.start()
        await asyncio.sleep(120.0)
        assert (team.rollouts("web"), team.settled, team.count("request_sync")) == ([1], "RollingOut", 1)
        team.roll(RolloutProgress.COMPLETE, "web")
        await asyncio.sleep(10.0)
        assert (team.rollouts("web"), team.settled) == ([1], "NoPendingRestarts")


@in_virtual_time
async def test_a_question_whose_answer_is_lost() -> None:
    """It was put: nobody is asked again for it."""
    async with synced_team() as team:
        team.cluster.lose_answer("request_sync")
        await team.change(20.0)
        assert team.count("request_sync") == 1
        team.sync("new")
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_a_source_that_may_not_be_asked() -> None:
    """After its time the restart is made with what there is."""
    async with synced_team(resync={"timeoutSeconds": 30}) as team:
        team.cluster.fail("request_sync", ForbiddenError("RBAC says no"), times=1000)
        await team.change(20.0)
        assert team.rollouts("web") == [0]
        await asyncio.sleep(20.0)
        assert team.rollouts("web") == [1]


@pytest.mark.parametrize("action", ["Restart", "ResyncThenRestart"])
@in_virtual_time
async def test_nobody_writes_its_secrets(action: str) -> None:
    """Then there is nothing to wait for."""
    async with Team("web", action=action) as team:
        await team.change()
        assert (team.rollouts("web"), team.settled) == ([1], "NoPendingRestarts")


@in_virtual_time
async def test_an_action_that_does_not_wait() -> None:
    """With Restart no source is looked at."""
    async with synced_team(action="Restart") as team:
        looks = team.count("list_providers")
        await team.change()
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 0)
        assert team.count("list_providers") == looks


@pytest.mark.parametrize(
    ("kind", "action", "reason"),
    [
        (CRON_JOB, "ResyncThenRestart", "AppliesToNextRun"),
        (JOB, "Restart", "AppliesToNextRun"),
        (DEPLOYMENT, "Resync", "Resynced"),
    ],
)
@in_virtual_time
async def test_fresh_secrets_without_a_restart(kind: WorkloadKind, action: str, reason: str) -> None:
    """What runs once, and what is only to be synced, is left alone when its Secrets are fresh."""
    team = Team(action=action)
    team.create("nightly", kind, uses=["env"])
    team.sync("old")
    async with team:
        await team.change()
        team.sync("new")
        await asyncio.sleep(10.0)
        assert (team.count("patch_workload"), team.settled) == (0, "NoPendingRestarts")
        assert team.status["lastSkip"]["reason"] == reason
        assert team.status["counters"]["resyncs"] == 1


@in_virtual_time
async def test_a_resync_without_a_source() -> None:
    """Is told: the workload goes on with what it has."""
    async with Team("web", action="Resync") as team:
        await team.change()
        assert (team.rollouts("web"), team.status["lastSkip"]["reason"]) == ([0], "NoSecretProvider")


@in_virtual_time
async def test_an_argo_rollout_keeps_its_template() -> None:
    """Its pods are restarted by the next whole second, so that those of this one are, too."""
    team = Team()
    team.create("web", ROLLOUT)
    async with team:
        await team.change()
        spec = team.cluster.workload_of("team", "web", ROLLOUT)["spec"]
        assert spec["template"]["metadata"]["annotations"] == {}
        assert spec["restartAt"].endswith("Z")
        assert team.results() == [("web", "RolledOut")]


# -- who else restarts it -------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["reloader.stakater.com/auto", "wave.pusher.com/update-on-config-change"])
@in_virtual_time
async def test_somebody_else_restarts_it(mark: str) -> None:
    """It is left to them when its Secret is fresh; with the annotation against that it is not."""
    async with synced_team() as team:
        team.cluster.annotate_workload("team", "web", {mark: "true"})
        await team.change()
        team.sync("new")
        await asyncio.sleep(5.0)
        assert (team.rollouts("web"), team.settled) == ([0], "NoPendingRestarts")
        assert team.status["lastSkip"]["reason"] == "ManagedByOtherController"
        assert mark in team.status["lastSkip"]["message"]

        team.cluster.annotate_workload("team", "web", {f"{GROUP}/ignore-other-reloaders": "true"})
        await team.change()
        team.sync("newer")
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_pods_that_somebody_made_since_are_fresh() -> None:
    """Somebody's rollout is waited for; if all its pods are younger than the Secret no other is made."""
    async with synced_team() as team:
        await team.change()
        team.sync("new")
        team.roll(RolloutProgress.UNDER_WAY, "web")
        await asyncio.sleep(20.0)
        assert (team.rollouts("web"), team.settled) == ([0], "RolloutInProgress")

        team.cluster.put_pods("team", "web", virtual_now(), virtual_now() - timedelta(seconds=5))
        team.roll(RolloutProgress.COMPLETE, "web")
        await asyncio.sleep(20.0)
        assert (team.rollouts("web"), team.settled) == ([0], "NoPendingRestarts")
        assert team.status["lastSkip"]["reason"] == "CoveredByRollout"


@in_virtual_time
async def test_content_that_comes_back_after_somebodys_rollout() -> None:
    """What the pods were started with by somebody else is noted, or the old content would pass for it."""
    async with synced_team() as team:
        await team.change()
        team.sync("new")
        team.cluster.put_pods("team", "web", virtual_now() + timedelta(seconds=5))
        await asyncio.sleep(20.0)
        assert (team.rollouts("web"), team.status["lastSkip"]["reason"]) == ([0], "CoveredByRollout")

        await team.change()
        team.sync("old")
        await asyncio.sleep(20.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_a_workload_made_after_the_baseline() -> None:
    """What the Secret had before it was made says nothing of its pods."""
    async with synced_team() as team:
        team.create("late", uses=["env"])
        team.cluster.date_workload("team", "late", virtual_now())
        await team.change()
        for _ in range(2):
            team.sync("old")
            await asyncio.sleep(5.0)
        assert (team.rollouts("web", "late"), team.settled) == ([0, 1], "NoPendingRestarts")


@pytest.mark.parametrize("age", [0, 2, 60])
@in_virtual_time
async def test_pods_that_may_be_older(age: float) -> None:
    """Times are whole seconds: a pod that is not clearly younger than the Secret is restarted."""
    async with synced_team() as team:
        await team.change()
        team.cluster.put_pods("team", "web", virtual_now() + timedelta(seconds=2 - age))
        team.sync("new")
        await asyncio.sleep(20.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_somebodys_rollout_that_is_stuck() -> None:
    """It is waited for no longer than five minutes: it may be stuck for want of this restart."""
    async with synced_team() as team:
        await team.change()
        team.sync("new")
        team.roll(RolloutProgress.UNDER_WAY, "web")
        await asyncio.sleep(280.0)
        assert team.rollouts("web") == [0]
        await asyncio.sleep(20.0)
        assert team.rollouts("web") == [1]


# -- order, concurrency, failure ------------------------------------------------------------------


@in_virtual_time
async def test_one_at_a_time() -> None:
    """With maxConcurrent 1 the next begins when the one before is available."""
    async with Team("a", "b", "c", rollout={"maxConcurrent": 1}) as team:
        team.roll(RolloutProgress.UNDER_WAY, "a", "b", "c")
        await team.change(20.0)
        assert (team.rollouts("a", "b", "c"), team.settled) == ([1, 0, 0], "WaitingForRollouts")
        team.roll(RolloutProgress.COMPLETE, "a")
        await asyncio.sleep(20.0)
        assert team.rollouts("a", "b", "c") == [1, 1, 0]
        team.roll(RolloutProgress.COMPLETE, "b")
        await asyncio.sleep(20.0)
        assert (team.rollouts("a", "b", "c"), team.settled) == ([1, 1, 1], "RollingOut")
        team.roll(RolloutProgress.COMPLETE, "c")
        await asyncio.sleep(20.0)
        assert (team.rollouts("a", "b", "c"), team.settled) == ([1, 1, 1], "NoPendingRestarts")


@in_virtual_time
async def test_one_wave_after_the_other() -> None:
    """A wave begins when the one before is available, whatever the names."""
    team = Team(rollout={"order": "ByWave"})
    team.create("a", wave="1")
    team.create("b")
    team.create("c", wave="-1")
    async with team:
        team.roll(RolloutProgress.UNDER_WAY, "a", "b", "c")
        await team.change(20.0)
        assert (team.rollouts("c", "b", "a"), team.settled) == ([1, 0, 0], "WaitingForWave")
        team.roll(RolloutProgress.COMPLETE, "c", "b")
        await asyncio.sleep(20.0)
        assert team.rollouts("c", "b", "a") == [1, 1, 1]


@in_virtual_time
async def test_a_held_workload_holds_up_no_wave() -> None:
    """Its owner may hold it for ever."""
    team = Team(rollout={"order": "ByWave"})
    team.create("a", paused="true")
    team.create("b", wave="1")
    async with team:
        await team.change(20.0)
        assert (team.rollouts("a", "b"), team.settled) == ([0, 1], "Paused")


async def _halted() -> Team:
    """The rollout of `a` has failed, and `b` waits."""
    team = Team("a", "b", rollout={"maxConcurrent": 1, "onFailure": "Halt"})
    await team.start()
    team.roll(RolloutProgress.UNDER_WAY, "a")
    await team.change()
    team.roll(RolloutProgress.FAILED, "a")
    await asyncio.sleep(20.0)
    assert (team.rollouts("a", "b"), team.settled) == ([1, 0], "RolloutHalted")
    assert team.told[:3] == ["Restarted", "RolloutFailed", "RolloutHalted"]
    assert team.results() == [("a", "RolloutFailed")]
    return team


@in_virtual_time
async def test_a_failure_halts_until_it_is_mended() -> None:
    """The others go on when the workload that failed is available after all, over a crash in between."""
    team = await _halted()
    await team.crash()
    await team.start()
    await asyncio.sleep(600.0)
    assert team.rollouts("a", "b") == [1, 0]

    team.roll(RolloutProgress.COMPLETE, "a")
    await asyncio.sleep(20.0)
    assert (team.rollouts("a", "b"), team.settled) == ([1, 1], "NoPendingRestarts")
    assert "RolloutResumed" in team.told
    await team.crash()


@in_virtual_time
async def test_a_failure_halts_until_somebody_says_go_on() -> None:
    """A new value of resume-at ends the halt once, and is acknowledged."""
    team = await _halted()
    await team.ask("resume-at", "1", 20.0)
    assert (team.rollouts("a", "b"), team.settled) == ([1, 1], "NoPendingRestarts")
    assert team.status["lastHandledResumeAt"] == "1"
    await team.crash()


@in_virtual_time
async def test_the_next_change_may_mend_what_failed() -> None:
    """The workload that failed is restarted for it; the others still wait."""
    team = await _halted()
    await team.change(20.0)
    assert team.rollouts("a", "b") == [2, 0]
    team.roll(RolloutProgress.COMPLETE, "a")
    await asyncio.sleep(20.0)
    assert (team.rollouts("a", "b"), team.settled) == ([2, 1], "NoPendingRestarts")
    await team.crash()


@in_virtual_time
async def test_a_failure_that_halts_nobody() -> None:
    """With onFailure Continue it is told, and the condition names it as long as it lasts."""
    async with Team("a", "b", rollout={"maxConcurrent": 1}) as team:
        team.roll(RolloutProgress.FAILED, "a")
        await team.change(20.0)
        assert (team.rollouts("a", "b"), team.settled) == ([1, 1], "RolloutFailed")
        assert "RolloutFailed" in team.told


@in_virtual_time
async def test_a_rollout_that_does_not_end() -> None:
    """It has failed after ten minutes, as kinds without a deadline of their own have none."""
    async with Team("web") as team:
        team.roll(RolloutProgress.UNDER_WAY, "web")
        await team.change(590.0)
        assert (team.results(), team.settled) == ([("web", "Restarted")], "RollingOut")
        await asyncio.sleep(30.0)
        assert (team.results(), team.settled) == ([("web", "RolloutFailed")], "RolloutFailed")


@in_virtual_time
async def test_a_rollout_that_somebody_overtakes() -> None:
    """Another template without the receipt is somebody else's rollout."""
    async with Team("web") as team:
        team.roll(RolloutProgress.UNDER_WAY, "web")
        await team.change()
        marks = {f"{GROUP}/revision-app": None}
        team.cluster.edit_workload("team", "web", {"template": {"metadata": {"annotations": marks}}})
        await asyncio.sleep(20.0)
        assert team.results() == [("web", "Restarted")]  # the other template still rolls out
        team.roll(RolloutProgress.COMPLETE, "web")
        await asyncio.sleep(20.0)
        assert team.results() == [("web", "RolloutSuperseded")]


@pytest.mark.parametrize(
    ("kind", "spec", "result"),
    [
        (DEPLOYMENT, {"paused": True}, "RolloutPaused"),
        (STATEFUL_SET, {"updateStrategy": {"type": "OnDelete"}}, "RolloutOnDelete"),
        (DAEMON_SET, {"updateStrategy": {"type": "OnDelete"}}, "RolloutOnDelete"),
    ],
)
@in_virtual_time
async def test_what_rolls_out_by_hand(kind: WorkloadKind, spec: dict[str, Any], result: str) -> None:
    """It is patched once, told, named by the condition, and not waited for."""
    team = Team()
    team.create("web", kind)
    team.cluster.edit_workload("team", "web", spec, kind)
    async with team:
        await team.change(60.0)
        assert (team.count("patch_workload"), team.settled) == (1, result)
        assert (team.results(), team.told) == ([("web", result)], [result])


@in_virtual_time
async def test_changes_close_together() -> None:
    """The second restart comes cooldownSeconds after the first, however many changes there were meanwhile."""
    async with Team("web", cooldownSeconds=30) as team:
        for _ in range(5):
            await team.change(2.0)
        assert (team.rollouts("web"), team.settled) == ([1], "CoolingDown")
        await asyncio.sleep(60.0)
        assert team.rollouts("web") == [2]
        first, second = team.moments("patch_workload")
        assert 30.0 <= second - first <= 31.0


# -- budget ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_budget_is_kept() -> None:
    """What exceeds it waits for the next minute, and is told."""
    async with Team("a", "b", "c", budget=RestartBudget(per_minute=2)) as team:
        await team.change(30.0)
        assert (team.rollouts("a", "b", "c"), team.settled) == ([1, 1, 0], "RestartBudgetExhausted")
        assert "RestartBudgetExhausted" in team.told
        await asyncio.sleep(40.0)
        assert (team.rollouts("a", "b", "c"), team.settled) == ([1, 1, 1], "NoPendingRestarts")


@in_virtual_time
async def test_a_subscription_that_ends_gives_its_places_back() -> None:
    """What it had rolling out is followed by nobody any more, and must not count for ever."""
    budget = RestartBudget(most_rolling=1)
    team = Team("a", budget=budget)
    async with team:
        team.roll(RolloutProgress.UNDER_WAY, "a")
        await team.change()
        assert not budget.try_acquire(SubscriptionKey("team", "other", "2"), "b")
        team.cluster.delete_subscription(team.key)
        await team.crash()
        assert budget.try_acquire(SubscriptionKey("team", "other", "2"), "b")


# -- modes and requests ---------------------------------------------------------------------------


@in_virtual_time
async def test_a_dry_run() -> None:
    """It tells what it would do, does nothing, and owes nothing when it is over."""
    async with synced_team(mode="DryRun") as team:
        await team.change()
        assert team.results() == [("web", "WouldRestart")]
        assert (team.status["lastAction"]["reason"], len(team.status["history"])) == ("WouldRestart", 1)
        assert (team.status["ledger"]["debts"], team.settled) == ([], "NoPendingRestarts")
        await team.ask("restart-at", "1")
        assert team.status["lastHandledRestartAt"] == "1"

        await team.edit(mode="Enforce")
        await asyncio.sleep(600.0)
        assert (team.rollouts("web"), team.count("request_sync"), team.count("patch_workload")) == ([0], 0, 0)

        await team.change()
        team.sync("new")
        await asyncio.sleep(10.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_what_was_owed_before_a_dry_run() -> None:
    """Is kept while it lasts, and done after it."""
    async with synced_team() as team:
        await team.change()
        await team.edit(mode="DryRun")
        team.sync("new")
        await asyncio.sleep(60.0)
        assert (team.rollouts("web"), team.settled) == ([0], "DryRun")
        await team.edit()
        await asyncio.sleep(20.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_a_person_asks_for_a_look() -> None:
    """It is made at once, and acknowledged by the annotation's value."""
    async with Team("web", resyncIntervalSeconds=86400) as team:
        team.infisical.version += 1
        await asyncio.sleep(600.0)
        assert team.rollouts("web") == [0]
        await team.ask("reconcile-at", "today")
        assert (team.rollouts("web"), team.status["lastHandledReconcileAt"]) == ([1], "today")
        await asyncio.sleep(600.0)
        assert team.rollouts("web") == [1]


@pytest.mark.parametrize("failures", [0, 1, 5])
@in_virtual_time
async def test_a_person_asks_for_a_restart(failures: int) -> None:
    """All are restarted once for one value, also when it could not be written down at first."""
    async with Team("a", "b") as team:
        team.cluster.fail("write_status", KubernetesError("away"), times=failures)
        await team.ask("restart-at", "now", 120.0)
        assert (team.rollouts("a", "b"), team.settled) == ([1, 1], "NoPendingRestarts")
        assert team.status["lastHandledRestartAt"] == "now"

        await team.crash()
        await team.start()
        await asyncio.sleep(600.0)
        assert team.rollouts("a", "b") == [1, 1]
        await team.ask("restart-at", "again", 60.0)
        assert team.rollouts("a", "b") == [2, 2]


@in_virtual_time
async def test_a_restart_that_is_asked_for_needs_no_new_content() -> None:
    """The source is asked to sync first; then it is restarted, whatever the content is."""
    async with synced_team() as team:
        await team.ask("restart-at", "now")
        assert (team.rollouts("web"), team.count("request_sync")) == ([0], 1)
        team.sync("old")
        await asyncio.sleep(10.0)
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 1)


@in_virtual_time
async def test_a_request_from_before_the_baseline() -> None:
    """An object that is created with these annotations asks for nothing."""
    team = Team("web")
    team.cluster.annotate_subscription(team.key, {f"{GROUP}/restart-at": "1", f"{GROUP}/resume-at": "1"})
    async with team:
        await asyncio.sleep(60.0)
        assert team.rollouts("web") == [0]


# -- history --------------------------------------------------------------------------------------


@in_virtual_time
async def test_the_history_has_the_last_ten_actions() -> None:
    """The newest first, each with how its rollouts ended and when."""
    async with Team("web") as team:
        for _ in range(12):
            await team.change(10.0)
        history = team.status["history"]
        times = [action["time"] for action in history]
        assert (len(history), history[0]) == (10, team.status["lastAction"])
        assert {tuple(w["result"] for w in action["workloads"]) for action in history} == {("RolledOut",)}
        assert all(action["completedTime"] >= action["time"] for action in history)
        assert times == sorted(times, reverse=True)
        assert (team.status["counters"]["restarts"], team.rollouts("web")) == (12, [12])


@in_virtual_time
async def test_the_history_survives() -> None:
    """A rollout that began under one process is told to its end by the next."""
    async with Team("web") as team:
        team.roll(RolloutProgress.UNDER_WAY, "web")
        await team.change()
        assert team.results() == [("web", "Restarted")]
        await team.crash()
        team.roll(RolloutProgress.COMPLETE, "web")
        await team.start()
        assert team.results() == [("web", "RolledOut")]
        (action,) = team.status["history"]
        assert action["completedTime"] is not None
