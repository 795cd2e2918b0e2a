"""The API server at the wire: what is asked of it, and every way in which it can fail."""

import asyncio
import base64
import json
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from infisical_events.api.specs import SecretKeyRef
from infisical_events.core.request_metrics import RequestMetrics
from infisical_events.core.status.kube_events import InvolvedObject, KubeEvent
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.credential_reader import CredentialReader, MissingKeyError
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.event_recorder import EventRecorder
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import METADATA_LIST, path_of
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubernetesError,
    NotFoundError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from infisical_events.kube.protected_objects import ProtectedObjectError, ProtectedObjects, protected_by
from infisical_events.kube.subscription_client import SubscriptionClient, path_of_subscription
from infisical_events.kube.workload_client import WorkloadClient
from infisical_events.runtime.metrics import Metrics
from support.builders import a_workload
from support.scripted_server import (
    After,
    Answer,
    Request,
    Script,
    ScriptedServer,
    always,
    answer,
    routed,
    serving,
)

TOKEN = "kube-canary-token"
KEY = SubscriptionKey("team", "app", "uid-1")
LIST = "/apis/apps/v1/namespaces/team/deployments"
HTML = answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html"})


@asynccontextmanager
async def reached(
    script: Script, seconds: float = 10.0, metrics: RequestMetrics | None = None
) -> AsyncIterator[tuple[KubeApi, ScriptedServer]]:
    """A client of a scripted API server."""
    async with serving(script) as server:
        configuration = Configuration(host=server.url)
        configuration.api_key = {"BearerToken": f"Bearer {TOKEN}"}
        async with ApiClient(configuration) as client:
            yield KubeApi(client, seconds, metrics=metrics), server


def status(code: int, message: str) -> Answer:
    """A refusal as the API server writes it."""
    return answer(code, {"kind": "Status", "status": "Failure", "message": message, "code": code})


def metadata(name: str, **more: object) -> dict[str, Any]:
    """An item of a metadata list."""
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "namespace": "team",
            "generation": 3,
        }
        | more
    }


def paged(pages: Mapping[str, Answer]) -> Script:
    """Pages by their continue token, for those who ask for metadata and name a limit."""

    async def script(request: Request) -> Answer:
        query = parse_qs(urlsplit(request.target).query)
        if "as=PartialObjectMetadataList" not in request.headers["accept"] or "limit" not in query:
            return status(406, "only lists of metadata are served, page by page")
        return pages[query.get("continue", [""])[0]]

    return script


def page(names: list[str] | None, following: str = "") -> Answer:
    """One page; no names at all is how the API server writes an empty list of metadata."""
    items = names if names is None else [metadata(name) for name in names]
    return answer(200, {"metadata": {"continue": following, "resourceVersion": "9"}, "items": items})


async def listed(kube: KubeApi) -> list[str]:
    """The names in a list."""
    found = await kube.list(LIST, lambda item: str(item["metadata"]["name"]), accept=METADATA_LIST)
    return list(found)


# -- lists --------------------------------------------------------------------------------------------


async def test_pages() -> None:
    """A long list is read page by page to its end, as metadata only."""
    pages = {"": page(["a", "b"], "2/x="), "2/x=": page(["c"], "3"), "3": page(["d"])}
    async with reached(paged(pages)) as (kube, _):
        assert await listed(kube) == ["a", "b", "c", "d"]


async def test_pages_of_large_objects() -> None:
    """A page of too many bytes is asked for again in smaller pages, now and the next time."""
    names = [f"n-{number:03}" for number in range(200)]
    sizes: list[int] = []

    async def script(request: Request) -> Answer:
        query = parse_qs(urlsplit(request.target).query)
        begin, size = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        sizes.append(size)
        following = str(begin + size) if begin + size < len(names) else ""
        shown = names[begin : begin + size]
        items = [metadata(name, annotations={"note": "x" * 250_000}) for name in shown]
        return answer(200, {"metadata": {"continue": following}, "items": items})

    async with reached(script) as (kube, _):
        assert await listed(kube) == names
        assert sizes[:3] == [500, 62, 7]
        assert set(sizes[2:]) == {7}
        sizes.clear()
        assert await listed(kube) == names
        assert set(sizes) == {14}


@pytest.mark.parametrize("count", [1, 2])
async def test_object_without_end(count: int) -> None:
    """A list of which one object alone has too many bytes is an error."""
    items = [metadata(f"n-{number}", annotations={"note": "x" * 17_000_000}) for number in range(count)]
    async with reached(always(answer(200, {"metadata": {}, "items": items}))) as (kube, _):
        with pytest.raises(KubernetesError, match="more than 16777216 bytes"):
            await listed(kube)


async def test_empty_list() -> None:
    """An empty list, whose items the API server writes as null, has no items."""
    async with reached(paged({"": page(None)})) as (kube, _):
        assert await listed(kube) == []


@pytest.mark.parametrize(
    "given",
    [
        HTML,
        answer(200, {"kind": "Status"}),
        answer(200, []),
        answer(200, {"items": [{}]}),
        answer(200, {"items": [{"metadata": None}]}),
        answer(200, {"items": [{"metadata": {"name": "without a uid"}}]}),
    ],
)
async def test_list_that_is_none(given: Answer) -> None:
    """What is no list is an error and never an empty list: nothing may be taken for gone."""
    async with reached(always(given)) as (kube, _):
        with pytest.raises(KubernetesError):
            await listed(kube)


async def test_list_that_breaks_off() -> None:
    """A list whose second page fails is an error as a whole."""
    pages = {"": page(["a"], "2"), "2": status(410, "the continue token is too old")}
    async with reached(paged(pages)) as (kube, _):
        with pytest.raises(KubernetesError, match="too old"):
            await listed(kube)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_climb(name: str) -> None:
    """A name from a user that would change what a path is about makes no path."""
    with pytest.raises(KubernetesError):
        path_of("api", "v1", "namespaces", "team", "secrets", name)


def test_names_that_branch() -> None:
    """A name from a user stays one segment, whatever stands in it."""
    assert path_of("api", "a/b?c#d%") == "/api/a%2Fb%3Fc%23d%25"


# -- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (400, InvalidError),
        (413, InvalidError),
        (422, InvalidError),
        (500, KubernetesError),
    ],
)
async def test_refusals(code: int, kind: type[KubernetesError]) -> None:
    """A refusal is told apart by its status and carries the API server's own sentence."""
    async with reached(always(status(code, "because"))) as (kube, _):
        with pytest.raises(kind, match="because") as caught:
            await kube.merge_patch(path_of_subscription(KEY), {})
        assert type(caught.value) is kind


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b'"text"', b"null", b"[1]", b"\xff", b'{"m']
)
async def test_refusal_without_a_status_object(body: bytes) -> None:
    """A refusal of something in between, which is no Status object, is told by its number."""
    async with reached(always(answer(502, body))) as (kube, _):
        with pytest.raises(KubernetesError, match="502"):
            await kube.get(path_of_subscription(KEY))


async def test_long_refusal() -> None:
    """The API server's sentence is capped and stays on one line."""
    async with reached(always(status(422, "first\nsecond " + "x" * 10_000))) as (kube, _):
        with pytest.raises(KubernetesError) as caught:
            await kube.get(path_of_subscription(KEY))
        assert len(str(caught.value)) <= 500
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("given", [HTML, answer(200, "text"), answer(200, b"")])
async def test_success_that_is_none(given: Answer) -> None:
    """A success whose body is no object is an error."""
    async with reached(always(given)) as (kube, _):
        with pytest.raises(KubernetesError, match="is not an object"):
            await kube.get(path_of_subscription(KEY))


# -- no answer ----------------------------------------------------------------------------------------

BROKEN = {
    "silence": Answer((), After.SILENCE),
    "closed": Answer((), After.CLOSE),
    "reset": Answer((), After.RESET),
    "cut": Answer((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",), After.CLOSE),
    "half": Answer((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",), After.SILENCE),
    "garbage": Answer((b"SSH-2.0-OpenSSH_9.6\r\n",), After.CLOSE),
}


@pytest.mark.parametrize("given", BROKEN.values(), ids=BROKEN)
async def test_unknown_outcome(given: Answer) -> None:
    """A write without a readable answer may have happened."""
    async with reached(always(given), seconds=0.2) as (kube, _):
        with pytest.raises(UnknownOutcomeError):
            await kube.merge_patch(path_of_subscription(KEY), {})


async def test_nobody_there() -> None:
    """An API server that is away is an error, and one that comes back is served again."""
    async with reached(always(answer(200, {"kind": "x"}))) as (kube, server):
        url, server_is_back = server.url, await kube.get("/api")
    assert server_is_back == {"kind": "x"}
    async with ApiClient(Configuration(host=url)) as client:
        with pytest.raises(UnknownOutcomeError):
            await KubeApi(client).get("/api")


@pytest.mark.parametrize("cancelled_after", [0.0, 0.3])
async def test_who_is_cancelled_while_the_process_is_frozen(cancelled_after: float) -> None:
    """A cancellation and the end of a request that are due at once, in either order, are a cancellation."""
    async with reached(always(Answer((), After.SILENCE)), seconds=0.2) as (kube, server):
        asking = asyncio.create_task(kube.get("/api/v1/nodes/x"))
        async with asyncio.timeout(10.0):
            while not server.requests:  # noqa: ASYNC110 - a state of the server
                await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(cancelled_after, asking.cancel)
        _freeze(0.5)
        await asyncio.wait({asking})
        assert asking.cancelled()


def _freeze(seconds: float) -> None:
    """Nothing runs, as after SIGSTOP, and all timers of this time are due together."""
    threading.Event().wait(seconds)


@pytest.mark.parametrize("given", [*BROKEN.values(), status(401, "Unauthorized"), HTML])
async def test_token_is_never_told(given: Answer) -> None:
    """No error text carries the operator's own token."""
    async with reached(always(given), seconds=0.2) as (kube, _):
        with pytest.raises(KubernetesError) as caught:
            await kube.get(path_of_subscription(KEY))
        assert TOKEN not in str(caught.value)
        assert caught.value.__cause__ is None


async def test_token_is_sent() -> None:
    """A request carries the bearer token of the configuration."""
    async with reached(always(answer(200, {}))) as (kube, server):
        await kube.get(path_of_subscription(KEY))
        assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("error", [FileNotFoundError("token"), ConfigException(TOKEN), ValueError(TOKEN)])
async def test_token_cannot_be_read(error: Exception) -> None:
    """A token that cannot be read when it is due is an error of the request, which was not made."""

    def refresh(_: Configuration) -> None:
        raise error

    configuration = Configuration(host="http://127.0.0.1:9")
    configuration.api_key = {"BearerToken": f"Bearer {TOKEN}"}
    configuration.refresh_api_key_hook = refresh
    async with ApiClient(configuration) as client:
        with pytest.raises(KubernetesError, match="cannot create the request") as caught:
            await KubeApi(client).get(path_of_subscription(KEY))
    assert type(caught.value) is KubernetesError
    assert TOKEN not in str(caught.value)


async def test_token_of_two_lines() -> None:
    """A token that would add a header of its own makes no request."""
    async with serving(always(answer(200, {}))) as server:
        configuration = Configuration(host=server.url)
        configuration.api_key = {"BearerToken": f"Bearer {TOKEN}\r\nImpersonate-User: admin"}
        async with ApiClient(configuration) as client:
            with pytest.raises(KubernetesError) as caught:
                await KubeApi(client).get(path_of_subscription(KEY))
        assert server.requests == []
    assert TOKEN not in str(caught.value)


# -- subscriptions ------------------------------------------------------------------------------------

STORED: dict[str, Any] = {
    "metadata": {"uid": "uid-1", "resourceVersion": "5", "generation": 2},
    "spec": {"projectId": "p"},
    "status": {"observedGeneration": 1},
}


def compare_and_swap(version: str) -> Script:
    """The status of one object, for those who know its uid and resourceVersion."""

    async def script(request: Request) -> Answer:
        query = parse_qs(urlsplit(request.target).query)
        if request.headers["content-type"] != "application/merge-patch+json":
            return status(415, "only merge patches")
        if query.get("fieldManager") != ["infisical-events"]:
            return status(400, "no field manager")
        if request.json()["metadata"] != {"uid": "uid-1", "resourceVersion": version}:
            return status(409, "the object has been modified")
        changed = {
            "metadata": STORED["metadata"] | {"resourceVersion": "6"},
            "status": request.json()["status"],
        }
        return answer(200, STORED | changed)

    return routed(
        {
            f"{path_of_subscription(KEY)}/status": script,
            path_of_subscription(KEY): always(answer(200, STORED)),
        }
    )


async def test_subscription_is_read() -> None:
    """A read gives what decisions need."""
    async with reached(compare_and_swap("5")) as (kube, _):
        stored = await SubscriptionClient(kube).get(KEY)
    assert (stored.uid, stored.resource_version, stored.generation) == ("uid-1", "5", 2)
    assert (stored.spec, stored.status, stored.is_deleting) == (STORED["spec"], STORED["status"], False)


async def test_status_is_written() -> None:
    """A status is merged under the uid and the resourceVersion that were read."""
    async with reached(compare_and_swap("5")) as (kube, _):
        stored = await SubscriptionClient(kube).write_status(KEY, "5", {"observedGeneration": 2})
    assert (stored.resource_version, stored.status) == ("6", {"observedGeneration": 2})


async def test_status_of_a_changed_object() -> None:
    """A status for an object that was written since it was read is not stored."""
    async with reached(compare_and_swap("9")) as (kube, _):
        with pytest.raises(ConflictError):
            await SubscriptionClient(kube).write_status(KEY, "5", {})


async def test_answer_that_is_no_subscription() -> None:
    """An object without the metadata of a stored one is an error."""
    async with reached(always(answer(200, {"kind": "Other"}))) as (kube, _):
        with pytest.raises(KubernetesError):
            await SubscriptionClient(kube).get(KEY)


@pytest.mark.parametrize(
    ("namespaces", "uids"),
    [((), {"uid-a", "uid-b"}), (("team",), {"uid-a"}), (("team", "web"), {"uid-a", "uid-b"})],
)
async def test_listed(namespaces: tuple[str, ...], uids: set[str]) -> None:
    """The subscriptions of all namespaces, or of some."""
    base = "/apis/events.infisical.com/v1alpha1"
    routes = {
        f"{base}/infisicaleventsubscriptions": always(page(["a", "b"])),
        f"{base}/namespaces/team/infisicaleventsubscriptions": always(page(["a"])),
        f"{base}/namespaces/web/infisicaleventsubscriptions": always(page(["b"])),
    }
    async with reached(routed(routes)) as (kube, _):
        listed = await SubscriptionClient(kube).list(namespaces)
    assert {one.key.uid for one in listed} == uids
    assert {one.generation for one in listed} == {3}


# -- workloads ----------------------------------------------------------------------------------------


def others() -> dict[str, Script]:
    """No CronJobs, no Jobs, and no Argo Rollouts in this cluster."""
    batch = LIST.replace("apps", "batch")
    return {
        batch.replace("deployments", "cronjobs"): always(page(None)),
        batch.replace("deployments", "jobs"): always(page(None)),
        "/apis/argoproj.io/v1alpha1": always(status(404, "no")),
    }


async def test_workloads() -> None:
    """All kinds are listed with the operator's annotations, without those that are being deleted."""
    deleting = metadata("old", deletionTimestamp="2030-01-01T00:00:00Z")
    own = {"events.infisical.com/auto-reload": "true"}
    annotated = metadata("web", annotations=own | {"other.tool/note": "x"})
    routes = {
        LIST: always(answer(200, {"items": [annotated, deleting]})),
        LIST.replace("deployments", "statefulsets"): always(page(["db"])),
        LIST.replace("deployments", "daemonsets"): always(page(None)),
        **others(),
    }
    async with reached(routed(routes)) as (kube, _):
        listed = await WorkloadClient(kube, Discovery(kube)).list("team")
    assert listed.failures == {}
    assert [(w.kind.kind, w.name, w.annotations) for w in listed.workloads] == [
        ("Deployment", "web", own),
        ("StatefulSet", "db", {}),
    ]


_BATCH = ("cronjobs", "jobs")


async def test_one_kind_cannot_be_listed() -> None:
    """A kind that cannot be listed is named with the API server's words, and the others are listed."""
    routes = {
        LIST: always(page(["web"])),
        LIST.replace("deployments", "daemonsets"): always(page([])),
        LIST.replace("deployments", "statefulsets"): always(status(403, "no")),
        **{LIST.replace("apps", "batch").replace("deployments", kind): always(page([])) for kind in _BATCH},
    }
    async with reached(routed(routes)) as (kube, _):
        listed = await WorkloadClient(kube, Discovery(kube)).list("team")
    assert [workload.name for workload in listed.workloads] == ["web"]
    assert listed.failures.keys() >= {"StatefulSet"}
    assert "no" in listed.failures["StatefulSet"]


async def test_no_kind_can_be_listed() -> None:
    """Without any list nothing is known: that is an error."""
    async with reached(always(status(403, "no"))) as (kube, _):
        with pytest.raises(ForbiddenError):
            await WorkloadClient(kube, Discovery(kube)).list("team")


PODS = "/api/v1/namespaces/team/pods"


async def test_pods_of_a_workload() -> None:
    """They are found by their labels."""
    pod = metadata("db-0", creationTimestamp="2030-01-01T00:00:00Z")
    async with reached(routed({PODS: always(answer(200, {"items": [pod]}))})) as (kube, server):
        (found,) = await WorkloadClient(kube, Discovery(kube)).list_pods("team", "app=db")
        query = parse_qs(urlsplit(server.requests[-1].target).query)
    assert (str(found), query["labelSelector"]) == ("pod/db-0 is not ready", ["app=db"])


async def test_pods_that_are_none() -> None:
    """An item that is no pod is an error."""
    async with reached(routed({PODS: always(page(["db-0"]))})) as (kube, _):
        with pytest.raises(KubernetesError):
            await WorkloadClient(kube, Discovery(kube)).list_pods("team", "app=db")


async def test_workload_is_patched() -> None:
    """A restart is one merge patch of the workload; the result is the template as it is stored then."""
    stored = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
    async with reached(always(answer(200, stored))) as (kube, server):
        workload = a_workload()
        found = await WorkloadClient(kube, Discovery(kube)).patch("team", workload, {"spec": {}})
        last = server.requests[-1]
    assert found == {"a": "b"}
    assert (last.method, last.path, last.json()) == ("PATCH", f"{LIST}/web", {"spec": {}})


# -- credentials --------------------------------------------------------------------------------------

SECRET = "/api/v1/namespaces/team/secrets/login"
REF = SecretKeyRef(name="login", key="token")


async def test_secret_value() -> None:
    """A value is decoded, and a trailing newline is a common slip."""
    data = {"token": base64.b64encode(b" s3cret\n").decode()}
    async with reached(routed({SECRET: always(answer(200, {"data": data}))})) as (kube, _):
        assert await CredentialReader(kube).secret_value("team", REF) == "s3cret"


async def test_concurrent_reads_of_one_secret() -> None:
    """They are one request, also if the first one that asked is cancelled; a later read is a new one."""
    data = {name: base64.b64encode(name.encode()).decode() for name in ("id", "secret")}
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def script(_: Request) -> Answer:
        begun.set()
        await goes_on.wait()
        return answer(200, {"data": data})

    async with reached(script) as (kube, server):
        reader = CredentialReader(kube)
        first, *others = (
            asyncio.create_task(reader.secret_value("team", SecretKeyRef(name="login", key=key)))
            for key in ("id", "id", "secret")
        )
        await begun.wait()
        first.cancel()
        goes_on.set()
        assert await asyncio.gather(*others) == ["id", "secret"]
        assert len(server.requests) == 1
        await reader.secret_value("team", SecretKeyRef(name="login", key="id"))
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "data", [None, {}, {"token": ""}, {"token": "Cg=="}, {"token": "_"}, {"token": "/w=="}]
)
async def test_secret_without_text(data: dict[str, str] | None) -> None:
    """A key that is missing, empty, blank or no text is an error that names both and shows nothing."""
    async with reached(routed({SECRET: always(answer(200, {"data": data}))})) as (kube, _):
        with pytest.raises(MissingKeyError, match=r"^secret/login has no text under key token$"):
            await CredentialReader(kube).secret_value("team", REF)


async def test_secret_without_data() -> None:
    """A Secret without data has no text under any key."""
    async with reached(always(answer(200, {"data": None}))) as (kube, _):
        with pytest.raises(MissingKeyError):
            await CredentialReader(kube).secret_value("team", REF)


async def test_service_account_token() -> None:
    """A ServiceAccount token is short-lived and for the audiences that are asked for."""

    async def grant(request: Request) -> Answer:
        spec = request.json()["spec"]
        return answer(201, {"status": {"token": f"{spec['expirationSeconds']} {spec['audiences']}"}})

    path = "/api/v1/namespaces/team/serviceaccounts/robot/token"
    async with reached(routed({path: grant})) as (kube, _):
        token = await CredentialReader(kube).service_account_token("team", "robot", ("infisical",))
    assert token == "600 ['infisical']"


async def test_service_account_answer_without_token() -> None:
    """An answer without a token is an error."""
    async with reached(always(answer(201, {"status": {}}))) as (kube, _):
        with pytest.raises(KubernetesError):
            await CredentialReader(kube).service_account_token("team", "robot", ("infisical",))


OWN_CLAIMS = {"sub": "system:serviceaccount:ops:operator", "aud": ["https://issuer.example"]}


@pytest.mark.parametrize(
    "audiences",
    [
        (),
        ("https://kubernetes.default.svc",),
        ("infisical", "https://kubernetes.default.svc.cluster.local"),
        ("https://issuer.example",),
    ],
)
async def test_no_token_that_the_api_server_accepts(audiences: tuple[str, ...]) -> None:
    """Neither its usual audiences are requested, nor that of the operator's own token, nor none."""
    own = base64.urlsafe_b64encode(json.dumps(OWN_CLAIMS).encode()).decode().rstrip("=")
    async with reached(always(answer(201, {"status": {"token": "jwt"}}))) as (kube, server):
        reader = CredentialReader(kube, protected_by(f"head.{own}.signature", frozenset()))
        with pytest.raises(ProtectedObjectError, match="the API server accepts tokens for audience"):
            await reader.service_account_token("team", "robot", audiences)
        assert await reader.service_account_token("team", "robot", ("infisical",)) == "jwt"
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"])
async def test_a_token_for_the_api_server_is_nobodys_credential(kind: str) -> None:
    """A Secret that holds one is not read as a login, and what it holds is not told."""
    stored = {"type": kind, "data": {"token": base64.b64encode(b"canary-jwt").decode()}}
    async with reached(routed({SECRET: always(answer(200, stored))})) as (kube, _):
        with pytest.raises(ProtectedObjectError, match="holds a token for the API server") as error:
            await CredentialReader(kube).secret_value("team", REF)
    assert "canary" not in str(error.value)


async def test_the_operators_own_is_no_subscriptions_business() -> None:
    """Neither its ServiceAccount nor its Secret; their namesakes in other namespaces are somebody else's."""
    own = ProtectedObjects("system:serviceaccount:team:robot", frozenset({("team", "login")}))
    data = {"token": base64.b64encode(b"s3cret").decode()}
    granted = {"data": data, "status": {"token": "jwt"}}
    async with reached(always(answer(200, granted))) as (kube, server):
        reader = CredentialReader(kube, own)
        token = reader.service_account_token("team", "robot", AUDIENCES)
        for asking in (reader.secret_value("team", REF), token):
            with pytest.raises(ProtectedObjectError, match="belongs to the operator"):
                await asking
        assert server.requests == []
        assert await reader.secret_value("other", REF) == "s3cret"
        assert await reader.service_account_token("other", "robot", AUDIENCES) == "jwt"
        assert await reader.service_account_token("team", "robot2", AUDIENCES) == "jwt"


AUDIENCES = ("infisical",)


def _jwt(payload: str) -> str:
    return f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(payload.encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    ("token", "user"),
    [
        (_jwt('{"sub": "system:serviceaccount:team:robot"}'), "system:serviceaccount:team:robot"),
        ("Bearer " + _jwt('{"sub": "system:serviceaccount:team:a"}'), "system:serviceaccount:team:a"),
        (_jwt("{}"), ""),
        (_jwt("[]"), ""),
        (_jwt("no JSON"), ""),
        ("an.opaque.token", ""),
        ("opaque", ""),
        ("", ""),
    ],
)
async def test_who_asks(token: str, user: str) -> None:
    """The token of a ServiceAccount says whose it is; of other credentials it is not known."""
    configuration = Configuration(host="http://127.0.0.1:1", api_key={"BearerToken": token})
    async with ApiClient(configuration) as client:
        assert KubeApi(client).protected_with(("ops", "key")).user == user


# -- Kubernetes Events --------------------------------------------------------------------------------


async def test_event_is_recorded() -> None:
    """An Event is written beside its object, with a name of its own and a note that is admitted."""
    about = InvolvedObject("apps/v1", "Deployment", "team", "w" * 253, "uid-web")
    async with reached(always(answer(201, {}))) as (kube, server):
        for _ in range(2):
            notice = KubeEvent(about, "Restarted", "x" * 2_000, is_warning=True)
            await EventRecorder(kube).record(notice, datetime(2030, 1, 1, tzinfo=UTC))
    first, second = (request.json() for request in server.requests)
    assert server.requests[0].path == "/api/v1/namespaces/team/events"
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert len(first["metadata"]["name"]) <= 253
    assert (len(first["message"]), first["type"], first["lastTimestamp"]) == (
        1024,
        "Warning",
        "2030-01-01T00:00:00Z",
    )


async def test_event_that_exists() -> None:
    """An Event that is written once has a name of its content: the API server rejects a second one."""
    about = InvolvedObject("apps/v1", "Deployment", "team", "web", "uid-1")
    once = KubeEvent(about, "InvalidAnnotation", "Annotation x.", is_once=True)
    async with reached(always(status(409, "already exists"))) as (kube, server):
        for event in (once, once, replace(once, note="Annotation y.")):
            await EventRecorder(kube).record(event, datetime(2030, 1, 1, tzinfo=UTC))
        with pytest.raises(ConflictError):
            await EventRecorder(kube).record(replace(once, is_once=False), datetime(2030, 1, 1, tzinfo=UTC))

    first, second, another, _ = (request.json()["metadata"]["name"] for request in server.requests)
    assert first == second
    assert first != another


async def test_requests_are_counted() -> None:
    """By verb and code, each that was sent; a connection without a response is an error."""
    metrics = Metrics()
    answers = {LIST: answer(200, {"items": []}), "/odd": answer(418, {}), "/late": Answer(())}
    script = routed({path: always(each) for path, each in answers.items()})
    async with reached(script, metrics=metrics.kubernetes_requests) as (kube, _):
        await kube.list(LIST, dict)
        for path in ("/gone", "/odd"):
            with pytest.raises(KubernetesError):
                await kube.get(path)
        with pytest.raises(UnknownOutcomeError):
            await kube.merge_patch("/late", {})
    text = metrics.render().decode()
    found = re.findall(
        r'^infisical_events_kubernetes_requests_total{code="(\w+)",verb="(\w+)"} 1.0$', text, re.MULTILINE
    )
    assert set(found) == {("200", "LIST"), ("404", "GET"), ("4xx", "GET"), ("error", "PATCH")}
    assert 'infisical_events_kubernetes_request_duration_seconds_count{verb="GET"} 2.0' in text


async def test_watches_are_counted() -> None:
    """By the head of their response, while they are open."""
    metrics = Metrics()
    async with reached(always(answer(403, {})), metrics=metrics.kubernetes_requests) as (kube, _):
        with pytest.raises(ForbiddenError):
            await anext(kube.watch("/watched", "", b""))
    assert 'requests_total{code="403",verb="WATCH"} 1.0' in metrics.render().decode()
