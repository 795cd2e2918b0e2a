"""Several subscriptions of one namespace: who writes a Secret, who restarts, and who takes it over."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from infisical_events.api.specs import EventType
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import SubscriptionKey
from support.builders import IMPORT, UPDATE, a_folder, a_partition, a_partition_state, a_raw_spec, an_entry
from support.fake_infisical import FakeInfisical
from support.harness import NAMESPACE, OPTED_IN, SupervisorHarness
from support.virtual_time import in_virtual_time

COMMON, APP, IMPORTED = a_partition("/common"), a_partition("/app"), a_partition("/app", source="/common")
DAY = 86400


def a_spec_of(path: str, *secrets: str, **fields: object) -> dict[str, Any]:
    """A subscription of one folder that writes Secrets from it."""
    entries = [{"name": name, "environmentSlug": "prod", "secretPath": path} for name in secrets]
    events = [an_entry(kind, path=path) for kind in (UPDATE, IMPORT)]
    usual = {"debounceSeconds": 0, "resyncIntervalSeconds": DAY, "resync": {"secrets": entries}}
    return a_raw_spec(*events, **usual | fields)


class Team(SupervisorHarness):
    """A namespace of `prod:/common` and of `prod:/app`, which imports it."""

    def __init__(self) -> None:
        """Create the folders."""
        super().__init__(infisical=FakeInfisical({}))
        self.put_smtp(1)

    def put_smtp(self, version: int) -> None:
        """Write SMTP in `prod:/common`; the import shows it at once."""
        for partition in (COMMON, IMPORTED):
            self.infisical.partitions[partition] = a_partition_state(SMTP=version)
        self.infisical.partitions.setdefault(APP, a_partition_state(OWN=1))

    def send(self, kind: EventType, path: str, *keys: str) -> None:
        """Send an event on every stream."""
        self.infisical.send(SecretEvent(kind, a_folder(path), frozenset(keys)))

    async def change_smtp(self, version: int, import_event_after: float = 4.0) -> None:
        """A change with its event, and the import event that the server sends seconds later."""
        self.put_smtp(version)
        self.send(UPDATE, "/common", "SMTP")
        await asyncio.sleep(import_event_after)
        self.send(IMPORT, "/app")

    def deploy(self, name: str, uses: Iterable[str]) -> None:
        """A Deployment that opts in to every subscription."""
        self.cluster.create_workload(NAMESPACE, name, OPTED_IN, secrets=uses)

    def notes(self) -> str:
        """All Events."""
        return "\n".join(notice.note for notice in self.cluster.notices)

    def data(self) -> dict[str, str]:
        """The data of Secret `app-env`."""
        return dict(self.cluster.data_of(NAMESPACE, "app-env"))

    def rollouts(self, name: str = "web") -> int:
        """How often the pod template was changed."""
        return self.cluster.rollouts_of(NAMESPACE, name)

    def writer_of_secret(self) -> str:
        """The uid of the subscription that controls `app-env`."""
        found = self.cluster.secret_of(NAMESPACE, "app-env")
        return found.controller_uid if found else ""


@asynccontextmanager
async def serving(team: Team) -> AsyncIterator[None]:
    """The operator, until everything is done."""
    await asyncio.sleep(10)
    try:
        yield
    finally:
        await team.supervisor.close()


# -- a Secret that another subscription writes --------------------------------------------------------


async def restarted_with(team: Team, **delays: float) -> list[dict[str, str]]:
    """The data of `app-env` at each restart of `web` after a change of what `/app` imports."""
    seen: list[dict[str, str]] = []

    async def watch(method: str) -> None:
        if method == "patch_workload":
            seen.append(team.data())
        await asyncio.sleep(0)

    team.cluster.interpose = watch
    await team.change_smtp(2, **delays)
    await asyncio.sleep(120)
    return seen


@in_virtual_time
async def test_a_restart_waits_for_a_secret_that_another_subscription_writes() -> None:
    """The listener hears of the change first; one restart follows, with the new data."""
    team = Team()
    team.subscribe("writer", a_spec_of("/app", "app-env"))
    team.subscribe("listener", a_spec_of("/common"))
    team.deploy("web", ["app-env"])
    async with serving(team):
        seen = await restarted_with(team)
        assert (team.rollouts(), team.data()["SMTP"]) == (1, "SMTP 2")
    assert [data["SMTP"] for data in seen if data] == ["SMTP 2"]
    assert "no managed Secret" not in team.notes()


@in_virtual_time
async def test_a_workload_of_the_listener_alone_gets_the_new_data() -> None:
    """The writer does not restart it, so the listener does."""
    team = Team()
    team.subscribe("writer", a_spec_of("/app", "app-env"))
    team.subscribe("listener", a_spec_of("/common"))
    only = {"events.infisical.com/subscription": "listener"}
    team.cluster.create_workload(NAMESPACE, "web", only, secrets=["app-env"])
    async with serving(team):
        seen = await restarted_with(team, import_event_after=20.0)
        assert team.rollouts() == 1
    assert [data["SMTP"] for data in seen] == ["SMTP 2"]


@in_virtual_time
async def test_a_workload_made_before_the_secret_gets_the_new_data() -> None:
    """With which content its pods started is unknown: they are restarted once the Secret is new."""
    team = Team()
    team.subscribe("listener", a_spec_of("/common"))
    team.deploy("web", ["app-env"])
    async with serving(team):
        team.subscribe("writer", a_spec_of("/app", "app-env"))
        await asyncio.sleep(10)
        seen = await restarted_with(team)
        assert team.rollouts() == 1
    assert [data["SMTP"] for data in seen] == ["SMTP 2"]


@in_virtual_time
async def test_a_change_that_is_not_in_the_secret_of_another_subscription_restarts_nothing() -> None:
    """`app-env` is not made from the folder that changed, so the data of the pods is the same."""
    team = Team()
    team.infisical.partitions[a_partition("/other")] = a_partition_state(X=1)
    team.subscribe("writer", a_spec_of("/app", "app-env"))
    team.subscribe("listener", a_spec_of("/other"))
    team.deploy("web", ["app-env"])
    async with serving(team):
        team.infisical.put("X", 2, a_partition("/other"))
        await asyncio.sleep(15)
        assert (team.rollouts(), "NoDataChange") == (
            0,
            team.cluster.status_of(await _key(team, "listener"))["lastSkip"]["reason"],
        )


@in_virtual_time
async def test_a_writer_that_never_finds_the_change_is_not_waited_for_without_end() -> None:
    """After the time-out the workload is restarted, and again when the Secret changes after all."""
    team = Team()
    team.subscribe("writer", a_spec_of("/app", "app-env", suspend=False, resyncIntervalSeconds=300))
    team.subscribe("listener", a_spec_of("/common"))
    only = {"events.infisical.com/subscription": "listener"}
    team.cluster.create_workload(NAMESPACE, "web", only, secrets=["app-env"])
    async with serving(team):
        team.put_smtp(2)
        team.send(UPDATE, "/common", "SMTP")
        await asyncio.sleep(90)
        assert (team.rollouts(), team.data()["SMTP"]) == (1, "SMTP 1")
        await asyncio.sleep(300)
        assert (team.rollouts(), team.data()["SMTP"]) == (2, "SMTP 2")


@in_virtual_time
async def test_a_secret_that_was_deleted_is_waited_for_until_its_writer_restores_it() -> None:
    """New pods could not start without it; the listener still knows who writes it."""
    team = Team()
    team.subscribe("writer", a_spec_of("/app", "app-env"))
    team.subscribe("listener", a_spec_of("/common"))
    team.deploy("web", ["app-env"])
    async with serving(team):
        asyncio.get_running_loop().call_later(3.0, team.cluster.delete_secret, NAMESPACE, "app-env")
        seen = await restarted_with(team)
        assert team.rollouts() == 1
    assert [data.get("SMTP") for data in seen] == ["SMTP 2"]


async def _key(team: Team, name: str) -> SubscriptionKey:
    listed = await team.cluster.list_subscriptions((NAMESPACE,))
    return next(each.key for each in listed if each.key.name == name)


# -- a subscription that is renamed or removed --------------------------------------------------------


@in_virtual_time
async def test_a_secret_stays_when_its_subscription_is_renamed() -> None:
    """GitOps creates the new subscription and then deletes the old one: the Secret never vanishes."""
    team = Team()
    old = team.subscribe("old", a_spec_of("/app", "app-env"))
    team.deploy("web", ["app-env"])
    async with serving(team):
        before = team.cluster.secret_of(NAMESPACE, "app-env")
        new = team.subscribe("new", a_spec_of("/app", "app-env"))
        await asyncio.sleep(1)
        team.cluster.delete_subscription(old)
        team.supervisor.remove(old.uid)
        team.cluster.collect_garbage()
        kept = team.cluster.secret_of(NAMESPACE, "app-env")
        assert before is not None
        assert kept is not None
        assert kept.uid == before.uid
        await asyncio.sleep(60)
        assert team.writer_of_secret() == new.uid
        assert team.rollouts() == 0
        await team.change_smtp(2)
        await asyncio.sleep(30)
        assert (team.rollouts(), team.data()["SMTP"]) == (1, "SMTP 2")


@in_virtual_time
async def test_a_secret_is_back_when_its_subscription_was_deleted_first() -> None:
    """Garbage collection may be faster than the new subscription; it is created within a minute."""
    team = Team()
    old = team.subscribe("old", a_spec_of("/app", "app-env"))
    async with serving(team):
        team.cluster.delete_subscription(old)
        team.supervisor.remove(old.uid)
        new = team.subscribe("new", a_spec_of("/app", "app-env"))
        await asyncio.sleep(2)
        team.cluster.collect_garbage()
        await asyncio.sleep(60)
        assert (team.writer_of_secret(), team.data()["SMTP"]) == (new.uid, "SMTP 1")


@in_virtual_time
async def test_a_recreated_subscription_takes_its_secret_over_at_once() -> None:
    """It does not wait until Kubernetes has deleted the Secret of the former one."""
    team = Team()
    old = team.subscribe("old", a_spec_of("/app", "app-env"))
    async with serving(team):
        team.cluster.delete_subscription(old)
        team.supervisor.remove(old.uid)
        again = team.subscribe("old", a_spec_of("/app", "app-env"))
        await asyncio.sleep(5)
        assert team.writer_of_secret() == again.uid
        team.cluster.collect_garbage()
        assert team.data()["SMTP"] == "SMTP 1"


@in_virtual_time
async def test_a_secret_passes_on_when_its_entry_moves_to_another_subscription() -> None:
    """Within a minute, while both subscriptions live."""
    team = Team()
    old = team.subscribe("old", a_spec_of("/app", "app-env"))
    async with serving(team):
        new = team.subscribe("new", a_spec_of("/app", "app-env"))
        await asyncio.sleep(10)
        assert team.writer_of_secret() == old.uid
        team.cluster.edit_subscription(old, a_spec_of("/app"))
        team.supervisor.upsert(old, 2)
        await asyncio.sleep(60)
        assert team.writer_of_secret() == new.uid
        team.cluster.delete_subscription(old)
        team.cluster.collect_garbage()
        assert team.data()["SMTP"] == "SMTP 1"


@in_virtual_time
async def test_two_subscriptions_with_one_secret_do_not_take_it_from_each_other() -> None:
    """The first one keeps it; one Warning names it; values are not read in vain."""
    team = Team()
    old = team.subscribe("old", a_spec_of("/app", "app-env"))
    async with serving(team):
        team.subscribe("new", a_spec_of("/app", "app-env"))
        await asyncio.sleep(10)
        before = team.infisical.calls.count("read_values")
        await asyncio.sleep(600)
        rejected = [notice.note for notice in team.cluster.notices if notice.reason == Reason.SECRET_REJECTED]
        assert (team.writer_of_secret(), len(rejected)) == (old.uid, 1)
        assert "is written by the subscription 'old'" in rejected[0]
        assert team.infisical.calls.count("read_values") == before
