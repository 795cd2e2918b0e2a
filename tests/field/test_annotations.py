"""What people write on workloads: it is understood, or an Event on the workload says what to write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infisical_events.api.resources import GROUP
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError
from infisical_events.runtime.inspection.annotation_inspector import AnnotationInspector
from support.builders import a_raw_spec
from support.fake_cluster import FakeCluster
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time

MINUTE = 60.0


class Typist(SubscriptionHarness):
    """A subscription `app`, and an inspector that runs as long as the process."""

    is_active = True

    @asynccontextmanager
    async def inspected(self) -> AsyncIterator[None]:
        """Inspect the workloads of all namespaces."""
        inspector = AnnotationInspector(
            cluster=self.cluster,
            watch=self.cluster.watch_workloads,
            namespaces=(),
            is_active=lambda: self.is_active,
        )
        task = asyncio.create_task(inspector.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def write(self, name: str = "web", namespace: str = NAMESPACE, **words: str) -> None:
        """A Deployment with exactly these annotations of the operator's group."""
        annotations = {f"{GROUP}/{word.replace('_', '-')}": text for word, text in words.items()}
        self.cluster.create_workload(namespace, name, annotations)

    def said(self, name: str = "web") -> list[str]:
        """The notes of the Warnings on a workload."""
        return notes_of(self.cluster, name)


def notes_of(cluster: FakeCluster, name: str) -> list[str]:
    """The notes of the Warnings on a workload."""
    return [n.note for n in cluster.notices if n.about.name == name and n.is_warning]


@asynccontextmanager
async def a_typist(**fields: Any) -> AsyncIterator[Typist]:  # noqa: ANN401 - of the spec
    """A served subscription that watches `DB_URL` in `prod:/a`, and an inspector."""
    async with Typist(**fields) as typist, typist.inspected():
        yield typist


@pytest.mark.parametrize("text", ["True", "yes", "1", "TRUE", " true", "on", "until Friday", ""])
@in_virtual_time
async def test_a_paused_workload_is_not_restarted(text: str) -> None:
    """A hold never fails open."""
    async with Typist() as typist:
        typist.create("web", paused=text)
        await typist.change()

        assert typist.rollouts("web") == [0]


@pytest.mark.parametrize("text", ["yes", "True", "1", "TRUE", " true", "on"])
@in_virtual_time
async def test_a_workload_opts_in_by_any_boolean(text: str) -> None:
    """It is restarted."""
    async with Typist() as typist:
        typist.write(auto_reload=text)
        await typist.change()

        assert typist.rollouts("web") == [1]


@in_virtual_time
async def test_an_explicit_opt_out_beside_a_subscription() -> None:
    """It wins."""
    async with Typist() as typist:
        typist.write(auto_reload="false", subscription="app")
        await typist.change()

        assert typist.rollouts("web") == [0]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (
            {"auto_reload": "true", "paused": "until Friday"},
            f"Annotation {GROUP}/paused: 'until Friday' is no",
        ),
        ({"auto_reload": "ture"}, f"Annotation {GROUP}/auto-reload: 'ture' is no boolean"),
        ({"autoreload": "true"}, f"Annotation '{GROUP}/autoreload' is unknown: did you mean auto-reload?"),
        ({"subscription": "ap"}, f"Annotation {GROUP}/subscription: there is no subscription 'ap': did you"),
        (
            {"auto_reload": "true", "environment": "Production"},
            f"Annotation {GROUP}/environment: 'Production' is",
        ),
        (
            {"auto_reload": "true", "secret_keys": "^KEY.*$"},
            f"Annotation {GROUP}/secret-keys: '^KEY.*$' matches",
        ),
        ({"secret_keys": "DB_*"}, "The annotations of deployment/web have no effect without"),
    ],
)
@in_virtual_time
async def test_a_mistake_is_said_within_a_minute(words: dict[str, str], note: str) -> None:
    """On the workload, without a change in Infisical, and once."""
    async with a_typist() as typist:
        typist.write(**words)
        await asyncio.sleep(MINUTE)
        (said,) = typist.said()
        assert said.startswith(note)

        typist.cluster.annotate_workload(NAMESPACE, "web", {"team": "shop"})
        await asyncio.sleep(10 * MINUTE)
        assert typist.said() == [said]


@in_virtual_time
async def test_a_mistake_made_later() -> None:
    """It is said after the edit, and a correction needs no word."""
    async with a_typist() as typist:
        typist.write(auto_reload="true")
        await asyncio.sleep(MINUTE)
        assert typist.said() == []

        typist.cluster.annotate_workload(NAMESPACE, "web", {f"{GROUP}/wave": "first"})
        await asyncio.sleep(MINUTE)
        typist.cluster.annotate_workload(NAMESPACE, "web", {f"{GROUP}/wave": "1"})
        await asyncio.sleep(MINUTE)
        assert typist.said() == [f"Annotation {GROUP}/wave: write a whole number such as 1."]


@in_virtual_time
async def test_an_annotation_on_the_pod_template() -> None:
    """It is found although the workload itself has none."""
    async with a_typist() as typist:
        typist.write()
        template = {"template": {"metadata": {"annotations": {f"{GROUP}/auto-reload": "true"}}}}
        typist.cluster.edit_workload(NAMESPACE, "web", template)
        await asyncio.sleep(MINUTE)

        (said,) = typist.said()
        assert said.endswith("has no effect on the pod template: write it on deployment/web itself.")


@in_virtual_time
async def test_a_namespace_without_a_subscription() -> None:
    """A workload that opted in there would wait for ever without a word."""
    async with a_typist() as typist:
        typist.write("other", "elsewhere", auto_reload="true")
        await asyncio.sleep(MINUTE)

        (said,) = typist.said("other")
        assert said.startswith("Namespace elsewhere has no InfisicalEventSubscription")


@in_virtual_time
async def test_a_subscription_that_is_created_just_after_the_workload() -> None:
    """As one `kubectl apply` or one release does: nothing is wrong."""
    async with a_typist() as typist:
        typist.write("other", "elsewhere", subscription="late")
        await asyncio.sleep(10.0)
        typist.cluster.create_subscription("elsewhere", "late", {})
        await asyncio.sleep(MINUTE)

        assert typist.said("other") == []


@in_virtual_time
async def test_a_right_workload_and_one_that_did_not_opt_in() -> None:
    """Nothing is said."""
    async with a_typist() as typist:
        typist.write(auto_reload="true", environment="prod", secret_keys="KEY*", wave="2")
        typist.cluster.create_workload(NAMESPACE, "other", {"team": "shop"})
        await asyncio.sleep(MINUTE)

        assert (typist.said(), typist.said("other")) == ([], [])


@in_virtual_time
async def test_a_mistake_that_a_change_finds_as_well() -> None:
    """The inspector and the reconcile pass say it in the same words, so that it is said once."""
    async with a_typist() as typist:
        typist.write(auto_reload="true", wave="first")
        await typist.change()
        await asyncio.sleep(MINUTE)

        assert typist.said() == [f"Annotation {GROUP}/wave: write a whole number such as 1."]


@in_virtual_time
async def test_another_replica_holds_the_first_shard() -> None:
    """It reports; this one neither watches nor reports until it holds the shard."""
    async with a_typist() as typist:
        typist.is_active = False
        typist.write(auto_reload="ture")
        await asyncio.sleep(MINUTE)
        assert typist.said() == []

        typist.is_active = True
        await asyncio.sleep(MINUTE)
        assert len(typist.said()) == 1


@pytest.mark.parametrize("error", [KubernetesError("503"), ForbiddenError("no right to watch")])
@in_virtual_time
async def test_a_watch_that_fails(error: KubernetesError) -> None:
    """It is tried again, and what exists is not reported twice."""
    typist = Typist()
    typist.cluster.fail("watch_workloads", error, times=20)
    async with typist, typist.inspected():
        typist.write(auto_reload="ture")
        await asyncio.sleep(30 * MINUTE)

        assert len(typist.said()) == 1


@in_virtual_time
async def test_a_workload_without_annotations_costs_no_request() -> None:
    """Nothing is read for it."""
    async with a_typist() as typist:
        typist.cluster.create_workload(NAMESPACE, "other", {"team": "shop"})
        before = typist.count("list_subscriptions")
        await asyncio.sleep(MINUTE)

        assert typist.count("list_subscriptions") == before


@in_virtual_time
async def test_a_subscription_that_has_read_nothing_yet() -> None:
    """What its spec excludes is said at once, what needs a read is not guessed."""
    async with a_typist() as typist:
        spec = a_raw_spec()
        typist.cluster.create_subscription("elsewhere", "new", spec)
        typist.write("keys", "elsewhere", auto_reload="true", secret_keys="KEY_*")
        typist.write("place", "elsewhere", auto_reload="true", environment="dev")
        await asyncio.sleep(2 * MINUTE)

        assert (len(typist.said("keys")), len(typist.said("place"))) == (0, 1)
