"""Kinds of providers that cannot be listed, as behind a conversion webhook that is not there."""

import asyncio

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time

BROKEN = "conversion webhook for external-secrets.io/v1beta1 failed: connection refused"


def a_harness(**fields: object) -> SubscriptionHarness:
    """Deployments with and without a Secret, in a namespace whose ExternalSecrets cannot be listed."""
    harness = SubscriptionHarness("plain", cooldownSeconds=0, **fields)
    harness.create("web", uses=["env"])
    harness.cluster.keep_secret(NAMESPACE, "env", {})
    harness.cluster.refuse_kind(EXTERNAL_SECRET.kind, BROKEN)
    return harness


@in_virtual_time
async def test_a_new_subscription_watches_although_providers_cannot_be_listed() -> None:
    """The login and the baseline do not depend on them."""
    async with a_harness() as harness:
        assert harness.condition("Ready") == ("True", "Watching")


@in_virtual_time
async def test_a_workload_without_secrets_does_not_wait_for_providers() -> None:
    """Only a workload whose Secret may have such a provider waits, in the API server's words."""
    async with a_harness() as harness:
        await harness.change()
        assert harness.rollouts("plain", "web") == [1, 0]
        assert harness.condition("RestartsComplete") == ("False", "KubernetesAPIError")
        assert BROKEN in harness.message("RestartsComplete")
        assert any(BROKEN in each.note for each in harness.cluster.notices if each.is_warning)


@in_virtual_time
async def test_a_secret_of_another_kind_of_provider_does_not_wait() -> None:
    """Its provider is known, so the kind that cannot be listed says nothing about it."""
    harness = a_harness()
    scope = {"secretsScope": {"envSlug": "prod", "secretsPath": "/a"}}
    spec = {"authentication": {"universalAuth": scope}, "managedSecretReference": {"secretName": "own"}}
    harness.cluster.put_source(NAMESPACE, INFISICAL_SECRET, "own", spec=spec, status={})
    harness.cluster.keep_secret(NAMESPACE, "own", {"secrets.infisical.com/version": "1"})
    harness.create("owner", uses=["own"])
    async with harness:
        await harness.change()
        harness.cluster.keep_secret(NAMESPACE, "own", {"secrets.infisical.com/version": "2"})
        await asyncio.sleep(30.0)
        assert harness.rollouts("owner") == [1]


@in_virtual_time
async def test_the_restart_follows_when_the_providers_can_be_listed() -> None:
    """A webhook that is back heals it without another change."""
    async with a_harness(resync={"timeoutSeconds": 3600}) as harness:
        await harness.change(120.0)
        assert harness.rollouts("web") == [0]
        harness.cluster.refuse_kind(EXTERNAL_SECRET.kind, None)
        await asyncio.sleep(60.0)
        assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_a_kind_that_can_never_be_listed_holds_a_restart_no_longer_than_a_sync() -> None:
    """After `timeoutSeconds` the Secret is judged by its own marks."""
    async with a_harness(resync={"timeoutSeconds": 60}) as harness:
        await harness.change(120.0)
        assert harness.rollouts("plain", "web") == [1, 1]
