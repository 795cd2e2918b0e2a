"""The watch of workloads at the wire: what is parsed, what is skipped, and how it can end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.workloads.annotation_checks import WorkloadEvent
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError, NotFoundError
from infisical_events.kube.workload_client import WorkloadClient
from support.builders import CRON_JOB, DEPLOYMENT, JOB
from support.scripted_server import After, Answer, Script, always, answer, serving, stream

OURS = "events.infisical.com/auto-reload"
ALL, TEAM = "/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/team/deployments"


def event(kind: str = "ADDED", version: str = "7", **metadata: Any) -> bytes:  # noqa: ANN401 - JSON
    """One line of a watch of Deployments."""
    usual = {"namespace": "team", "name": "web", "uid": "u", "resourceVersion": version}
    template = {"metadata": {"annotations": metadata.pop("template", {})}}
    stored = {"metadata": usual | metadata, "spec": {"template": template}}
    return json.dumps({"type": kind, "object": stored}).encode() + b"\n"


BOOKMARK = json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}).encode() + b"\n"
EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}


def watched_by(given: Answer, path: str = "") -> Script:
    """The answer to a watch."""

    async def script(request: Any) -> Answer:  # noqa: ANN401 - Request
        return given if path in {"", request.path} else answer(404, {"message": "not found"})

    return script


@asynccontextmanager
async def watching(
    script: Script, namespace: str = "", version: str = "", kind: WorkloadKind = DEPLOYMENT
) -> AsyncIterator[AsyncIterator[WorkloadEvent]]:
    """The events of one watch."""
    async with serving(script) as server, ApiClient(Configuration(host=server.url)) as client:
        kube = KubeApi(client, 5.0)
        async with aclosing(WorkloadClient(kube, Discovery(kube)).watch(kind, namespace, version)) as events:
            yield events
        (request,) = server.requests
        assert "watch=1" in request.target
        assert ("resourceVersion" in request.target) is bool(version)


async def received(
    script: Script, namespace: str = "", version: str = "", kind: WorkloadKind = DEPLOYMENT
) -> list[WorkloadEvent]:
    """All events of one watch, to its end."""
    async with watching(script, namespace, version, kind) as events:
        return [each async for each in events]


def stream_of(*lines: bytes) -> Answer:
    """A watch that the server ends."""
    return stream(lines, content_type="application/json")


async def test_annotations_of_each_place() -> None:
    """Those of the workload, its labels and its pod template."""
    line = event(annotations={OURS: "true"}, labels={OURS: "1"}, template={OURS: "2"})
    (found,) = await received(watched_by(stream_of(line)))

    assert found.found is not None
    assert found.found.workload.annotations == {OURS: "true"}
    assert (found.found.labels, found.found.template_annotations) == ({OURS: "1"}, {OURS: "2"})
    assert (found.version, found.is_deleted) == ("7", False)


async def test_workloads_of_others_are_skipped() -> None:
    """Their text is not parsed, whatever it is."""
    lines = (event(annotations={"team": "shop"}), b"no JSON\n", event("DELETED", annotations={OURS: "true"}))
    (found,) = await received(watched_by(stream_of(*lines)))

    assert found.is_deleted


async def test_a_bookmark() -> None:
    """The next watch goes on from it."""
    (found,) = await received(watched_by(stream_of(BOOKMARK)), version="7")

    assert found == WorkloadEvent("9")


async def test_one_namespace() -> None:
    """Only its workloads are watched."""
    line = event(annotations={OURS: "true"})

    assert len(await received(watched_by(stream_of(line), TEAM), "team")) == 1
    assert len(await received(watched_by(stream_of(line), ALL))) == 1


async def test_an_event_in_pieces() -> None:
    """Lines are put together, also those that are larger than a buffer."""
    line = event(annotations={OURS: "true", "other": "x" * 300_000})
    (found,) = await received(watched_by(stream_of(line[:100], line[100:70_000], line[70_000:])))

    assert found.found is not None


async def test_a_job_of_a_cron_job_is_skipped() -> None:
    """Each run copies what a person wrote once."""
    line = event(annotations={OURS: "x"}, ownerReferences=[{"kind": CRON_JOB.kind}])
    (found,) = await received(watched_by(stream_of(line)), kind=JOB)

    assert found.found is None


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(403, {"message": "deployments is forbidden"}), ForbiddenError),
        (answer(404, {"message": "not found"}), NotFoundError),
        (answer(500, b"<html>"), KubernetesError),
        (stream_of(json.dumps(EXPIRED).encode() + b"\n"), KubernetesError),
        (stream_of(b'{"type": "ADDED", "object": {"x": "infisical"}}\n'), KubernetesError),
        (stream([event(annotations={OURS: "true"})], After.RESET), KubernetesError),
    ],
)
async def test_a_watch_that_fails(given: Answer, error: type[KubernetesError]) -> None:
    """The caller watches again."""
    with pytest.raises(error):
        await received(always(given))


async def test_a_watch_that_is_cancelled() -> None:
    """It ends at once, although nothing comes."""
    silent = stream([event(annotations={OURS: "true"})], After.SILENCE)
    async with watching(always(silent)) as events:
        await anext(events)
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(following, 5.0)
