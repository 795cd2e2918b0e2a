"""Workloads that are annotated for another tool: who restarts them after a change, and who says so."""

import asyncio
from typing import Any

import pytest

from infisical_events.api.resources import EXTERNAL_SECRET, GROUP, INFISICAL_SECRET
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time, virtual_now

AUTO = "reloader.stakater.com/auto"
RELOAD = "secret.reloader.stakater.com/reload"
SEARCH = "reloader.stakater.com/search"
MATCH = "reloader.stakater.com/match"
EXCLUDE = "secrets.exclude.reloader.stakater.com/reload"
WAVE = "wave.pusher.com/update-on-config-change"
INFISICAL = "secrets.infisical.com/auto-reload"


class Shop(SubscriptionHarness):
    """A Deployment `web` whose Secrets are written by External Secrets."""

    version = 1

    def __init__(self, *secrets: str, marks: dict[str, str], **fields: Any) -> None:  # noqa: ANN401 - of the spec
        super().__init__(**fields)
        self.secrets = secrets
        self.create("web", uses=secrets)
        self.cluster.annotate_workload(NAMESPACE, "web", marks)
        self.sync(*secrets)

    def sync(self, *secrets: str, **annotations: str) -> None:
        """External Secrets has written new content into these Secrets, and nothing new into the others."""
        self.version += 1
        ready = {"type": "Ready", "status": "True"}
        status = {"syncedResourceVersion": f"1-{self.version}", "conditions": [ready]}
        for name in self.secrets:
            if name in secrets:
                digest = {"reconcile.external-secrets.io/data-hash": f"content {self.version}"}
                self.cluster.keep_secret(NAMESPACE, name, digest | annotations, written_at=virtual_now())
            self.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, name, spec={}, status=status)

    async def change_and_sync(self, *secrets: str, **annotations: str) -> None:
        """A change in Infisical, which reaches these Secrets."""
        await self.change()
        self.sync(*(secrets or self.secrets), **annotations)
        for _ in range(3):  # a source with unchanged data is asked once more
            await asyncio.sleep(10.0)
            self.sync()
        await asyncio.sleep(10.0)

    @property
    def said(self) -> list[str]:
        """The reasons of the Kubernetes Events on the workload."""
        return [n.reason for n in self.cluster.notices if n.about.name == "web"]


LEFT, RESTARTED = ([0], ["ManagedByOtherController"]), ([1], ["Restarted"])


@pytest.mark.parametrize(
    ("marks", "outcome"),
    [
        ({RELOAD: "tls"}, RESTARTED),
        ({RELOAD: "app-env"}, LEFT),
        ({RELOAD: "app-.+"}, LEFT),
        ({AUTO: "true", EXCLUDE: "app-env"}, RESTARTED),
        ({AUTO: "True"}, LEFT),
        ({AUTO: "false"}, RESTARTED),
        ({SEARCH: "true"}, RESTARTED),
        ({WAVE: "true"}, LEFT),
        ({INFISICAL: "true"}, RESTARTED),
        ({AUTO: "true", f"{GROUP}/ignore-other-reloaders": "true"}, RESTARTED),
    ],
)
@pytest.mark.parametrize("action", ["ResyncThenRestart", "Restart"])
@in_virtual_time
async def test_a_workload_is_left_to_a_tool_that_acts_on_its_secret(
    action: str, marks: dict[str, str], outcome: tuple[list[int], list[str]]
) -> None:
    """One of the two restarts it, and the workload itself shows which."""
    async with Shop("app-env", marks=marks, action=action) as shop:
        await shop.change_and_sync()

        assert (shop.rollouts("web"), shop.said) == outcome


@in_virtual_time
async def test_reloader_searches_for_secrets_with_a_match() -> None:
    """The annotation of the Secret decides."""
    async with Shop("app-env", marks={SEARCH: "true"}) as shop:
        await shop.change_and_sync(**{MATCH: "true"})

        assert (shop.rollouts("web"), shop.said) == LEFT


@in_virtual_time
async def test_reloader_is_told_to_ignore_the_secret() -> None:
    """Then nobody but this operator restarts the workload."""
    async with Shop("app-env", marks={AUTO: "true"}) as shop:
        await shop.change_and_sync(**{"reloader.stakater.com/ignore": "true"})

        assert (shop.rollouts("web"), shop.said) == RESTARTED


@in_virtual_time
async def test_reloader_is_switched_on_by_the_pod_template() -> None:
    """A template counts where the workload itself has none of its annotations."""
    async with Shop("app-env", marks={}) as shop:
        template = {"template": {"metadata": {"annotations": {AUTO: "true"}}}}
        shop.cluster.edit_workload(NAMESPACE, "web", template)
        await shop.change_and_sync()

        assert (shop.rollouts("web"), shop.said) == ([1], ["ManagedByOtherController"])  # the edit itself


@in_virtual_time
async def test_reloader_acts_on_one_of_two_secrets() -> None:
    """The one with new content decides who restarts the workload."""
    async with Shop("app-env", "app-tls", marks={RELOAD: "app-tls"}) as shop:
        await shop.change_and_sync("app-tls")
        assert (shop.rollouts("web"), shop.said) == LEFT

        await shop.change_and_sync("app-env")
        assert shop.rollouts("web") == [1]


@in_virtual_time
async def test_the_infisical_operator_restarts_for_what_it_writes() -> None:
    """An InfisicalSecret of the workload's Secret makes its auto-reload a fact, whatever the action."""
    async with Shop("app-env", marks={INFISICAL: "true"}, action="Restart") as shop:
        spec = {"managedSecretReference": {"secretName": "app-env"}}
        shop.cluster.put_source(NAMESPACE, INFISICAL_SECRET, "app", spec=spec)
        await shop.change_and_sync()

        assert (shop.rollouts("web"), shop.said) == LEFT


@in_virtual_time
async def test_what_is_left_to_another_tool_is_said_once() -> None:
    """Not at each change, and not again by the next process."""
    async with Shop("app-env", marks={AUTO: "true"}) as shop:
        for _ in range(3):
            await shop.change_and_sync()
        await shop.crash()
        await shop.start()
        await shop.change_and_sync()

        assert shop.said == ["ManagedByOtherController"]


@in_virtual_time
async def test_a_requested_restart_of_a_workload_that_reloader_restarts() -> None:
    """No Secret changes, so Reloader does nothing: the restart is made here."""
    async with Shop("app-env", marks={AUTO: "true"}) as shop:
        await shop.ask("restart-at", "now")
        shop.sync()
        await asyncio.sleep(10.0)

        assert shop.rollouts("web") == [1]


@in_virtual_time
async def test_secrets_of_unmarked_workloads_are_not_read_for_a_plain_restart() -> None:
    """What other tools do costs nothing where there are none."""
    async with Shop("app-env", marks={}, action="Restart") as shop:
        await shop.change_and_sync()

        assert (shop.rollouts("web"), shop.count("secret_metadata")) == ([1], 0)
