"""The Secret that the operator keeps for itself, made once and read by everybody."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.credential_reader import MissingKeyError
from infisical_events.kube.digest_key_secret import DigestKeySecret
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubernetes_errors import ForbiddenError
from infisical_events.runtime.app.digest_keys import DigestKeys
from support.scripted_server import Answer, Request, ScriptedServer, answer, serving

SECRETS = "/api/v1/namespaces/ops/secrets"


class Cluster:
    """An API server with one Secret, or none; `is_raced` lets another replica make it first."""

    def __init__(self, *, is_raced: bool = False, refuses: bool = False) -> None:
        self.key: str | None = None
        self.is_raced, self.refuses = is_raced, refuses

    async def __call__(self, request: Request) -> Answer:
        """Serve get and create."""
        if self.refuses:
            return answer(403, {"message": "secrets is forbidden", "code": 403})
        if request.method == "POST":
            if self.is_raced:
                self.key = "made-by-the-other-replica-a-moment-before"
                return answer(409, {"message": "already exists", "code": 409})
            self.key = json.loads(request.body)["stringData"]["key"]
            return answer(201, {})
        if self.key is None:
            return answer(404, {"message": "not found", "code": 404})
        return answer(200, {"data": {"key": base64.b64encode(self.key.encode()).decode()}})


@asynccontextmanager
async def kept_in(cluster: Cluster) -> AsyncIterator[tuple[DigestKeySecret, ScriptedServer]]:
    """The Secret `key` of namespace `ops`."""
    async with serving(cluster) as server, ApiClient(Configuration(host=server.url)) as client:
        yield DigestKeySecret(KubeApi(client, 10.0), "ops", "key"), server


async def test_the_key_is_made_once() -> None:
    """Whoever asks first makes it; it is long, and everybody gets the same one."""
    async with kept_in(Cluster()) as (secret, server):
        first, second = await secret.read_or_make(), await secret.read_or_make()

    assert first == second
    assert len(first) >= 43
    assert [request.method for request in server.requests] == ["GET", "POST", "GET", "GET"]


async def test_two_replicas_make_one_key() -> None:
    """Of two that make it at once the first one wins."""
    cluster = Cluster(is_raced=True)
    async with kept_in(cluster) as (secret, _):
        assert await secret.read_or_make() == cluster.key


async def test_a_key_that_can_be_guessed_is_refused() -> None:
    """What somebody else put there is no key if it is short."""
    cluster = Cluster()
    cluster.key = "canary-1"
    async with kept_in(cluster) as (secret, _):
        with pytest.raises(MissingKeyError, match="fewer than 32 characters") as refusal:
            await secret.read_or_make()
    assert cluster.key not in str(refusal.value)


async def test_a_refusal_names_what_to_grant() -> None:
    """Without the right to that Secret the sentence names the flag, and nothing else is tried."""
    async with kept_in(Cluster(refuses=True)) as (secret, server):
        with pytest.raises(ForbiddenError):
            await secret.read_or_make()
        with pytest.raises(InfisicalError, match="--digest-key-secret") as refusal:
            await DigestKeys(secret.read_or_make).current()
    assert refusal.value.reason is Reason.KUBERNETES_API_ERROR
    assert {request.path for request in server.requests} == {f"{SECRETS}/key"}


async def test_a_rotated_key_is_taken_up(pass_time: Callable[[float], None]) -> None:
    """A key is read again after a minute, and not before."""
    cluster = Cluster()
    async with kept_in(cluster) as (secret, server):
        keys = DigestKeys(secret.read_or_make)
        first = await keys.current()
        cluster.key = "another-key-that-somebody-has-put-there"
        assert await keys.current() == first
        asked = len(server.requests)
        pass_time(61.0)
        assert await keys.current() != first
    assert len(server.requests) == asked + 1


async def test_a_key_that_cannot_be_read_again_is_used_on(pass_time: Callable[[float], None]) -> None:
    """Another one, or none, would make everything incomparable."""
    cluster = Cluster()
    async with kept_in(cluster) as (secret, _):
        keys = DigestKeys(secret.read_or_make)
        first = await keys.current()
        cluster.refuses = True
        pass_time(61.0)
        assert await keys.current() == first
