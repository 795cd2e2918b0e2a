"""A subscription stays connected to the right server as the right identity, and leaves nothing behind.

Each test states what clients of such streams have been seen to get wrong. All of the operator is real here
but for the API server.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from fuzz.corpus import A
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.runtime.app.bootstrap import infisical_opener
from infisical_events.runtime.app.digest_keys import DigestKeys
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler
from infisical_events.runtime.stream.stream_handover import open_with_handover
from infisical_sandbox.server import Controls, Ending, ResponseFault, Sandbox
from support import leaks
from support.builders import a_raw_spec, an_entry
from support.eventually import eventually_async
from support.harness import SupervisorHarness
from support.infisical_sessions import LOOPBACK, SUBSCRIBE, TOKEN, V4, a_session, refused
from support.scripted_server import (
    After,
    Answer,
    Request,
    Script,
    always,
    answer,
    in_turn,
    routed,
    serving,
    stream,
)

NOTHING = answer(200, {"secrets": [], "imports": []})
OPEN = stream([], After.SILENCE)
OPEN_AND_CLOSED = stream([A], After.CLOSE)
ENDINGS = [Ending.CLEAN, Ending.ABORT, Ending.RESET]


async def no_key() -> str:
    """Nobody here observes values."""
    raise NotImplementedError


class ConnectedSupervisor(SupervisorHarness):
    """A supervisor with real sockets to any Infisical on this machine; the API server is in memory."""

    def __init__(self) -> None:
        super().__init__(
            open_infisical=infisical_opener(DigestKeys(no_key), LOOPBACK, CooperativeScheduler()),
            clock=utc_now,
            default_address="http://127.0.0.1",
            egress=LOOPBACK,
        )

    def subscribe_with_token(self, name: str, address: str, token: str = TOKEN) -> SubscriptionKey:
        """A subscription with an access token of its own."""
        self.cluster.put_secret("team", f"infisical-{name}", {"token": token})
        reference = {"accessTokenRef": {"name": f"infisical-{name}", "key": "token"}}
        spec = a_raw_spec(address=address, authentication=reference, debounceSeconds=0)
        return self.subscribe(name, spec)

    def subscribe_at(self, sandbox: Sandbox, name: str = "app") -> SubscriptionKey:
        """A subscription to the ready-made project of a local Infisical, by the ready-made identity."""
        values = {"id": sandbox.client_id, "secret": sandbox.client_secret}
        self.cluster.put_secret("team", f"infisical-{name}", values)
        references = {
            "clientIdRef": {"name": f"infisical-{name}", "key": "id"},
            "clientSecretRef": {"name": f"infisical-{name}", "key": "secret"},
        }
        spec = a_raw_spec(
            an_entry(path="/a"),
            an_entry("secret:create", path="/a"),
            address=sandbox.url,
            projectId=sandbox.project_id,
            authentication={"universalAuth": references},
            debounceSeconds=0,
        )
        return self.subscribe(name, spec)

    def edit(self, key: SubscriptionKey, **fields: object) -> None:
        """Another spec, of which the watch tells."""
        stored = self.cluster._subscriptions[key.namespace, key.name]
        self.cluster.edit_subscription(key, stored["spec"] | fields)
        self.supervisor.upsert(key, stored["metadata"]["generation"] + 1)

    def is_watching(self, key: SubscriptionKey) -> bool:
        """Whether the stream is open and the state known."""
        return self.condition(key, "Ready") == ("True", "Watching")


@pytest.fixture
async def operator() -> AsyncIterator[ConnectedSupervisor]:
    """An operator that is closed at the end, promptly."""
    made = ConnectedSupervisor()
    yield made
    async with asyncio.timeout(5):
        await made.supervisor.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def streams_of(sandbox: Sandbox) -> int:
    """How many streams a local Infisical has open."""
    return await sandbox.do(Controls.count_streams)


def an_infisical(subscribe: Script, lists: Script | None = None) -> Script:
    """A server that needs no login; without more nothing is there."""
    return routed({SUBSCRIBE: subscribe, V4: lists or always(NOTHING)})


# -- ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
async def test_any_end_is_followed_by_a_stream(operator: ConnectedSupervisor, ending: Ending) -> None:
    """However a stream ends, also cleanly, there is another one within a second or two."""
    async with Sandbox.in_thread() as sandbox:
        key = operator.subscribe_at(sandbox)
        await eventually_async(lambda: operator.is_watching(key))
        for _ in range(3):
            assert await sandbox.do(Controls.end_streams, ending) == 1
            await eventually_async(lambda: _are(sandbox, 1), seconds=5.0)
        await operator.supervisor.close()


async def _are(sandbox: Sandbox, count: int) -> bool:
    return await streams_of(sandbox) == count


async def test_what_nobody_was_told_is_found_after_a_connect(operator: ConnectedSupervisor) -> None:
    """A change without an event is acted on when a stream is open again, and not at the next interval."""
    async with Sandbox.in_thread() as sandbox:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        operator.cluster.create_workload("team", "web", {"events.infisical.com/auto-reload": "true"})
        key = operator.subscribe_at(sandbox)
        await eventually_async(lambda: operator.is_watching(key))
        await sandbox.do(Controls.rotate_secrets, "prod", "/a", {"K": "2"})
        assert operator.cluster.rollouts_of("team", "web") == 0
        await sandbox.do(Controls.end_streams, Ending.CLEAN)
        await eventually_async(lambda: operator.cluster.rollouts_of("team", "web") == 1)
        await operator.supervisor.close()


async def test_what_changes_before_the_first_connect_is_found(operator: ConnectedSupervisor) -> None:
    """A change between the first look and the first stream is acted on: the state is looked at after it."""
    version, may_connect = 1, asyncio.Event()

    async def lists(_: Request) -> Answer:
        secret = {"id": "id-of-K", "secretKey": "K", "version": version, "type": "shared"}
        return answer(200, {"secrets": [secret], "imports": []})

    async def slowly(_: Request) -> Answer:
        await may_connect.wait()
        return OPEN

    async with serving(an_infisical(slowly, lists)) as server:
        operator.cluster.create_workload("team", "web", {"events.infisical.com/auto-reload": "true"})
        key = operator.subscribe_with_token("app", server.url)
        await eventually_async(lambda: "ledger" in operator.cluster.status_of(key))
        version = 2
        may_connect.set()
        await eventually_async(lambda: operator.cluster.rollouts_of("team", "web") == 1)
        await operator.supervisor.close()


async def test_server_cannot_delay_the_next_stream(operator: ConnectedSupervisor) -> None:
    """A `retry` of an hour is no reason to be blind for an hour."""
    async with Sandbox.in_thread() as sandbox:
        key = operator.subscribe_at(sandbox)
        await eventually_async(lambda: operator.is_watching(key))
        await sandbox.do(Controls.write_streams, b"retry: 3600000\n\n")
        await sandbox.do(Controls.end_streams, Ending.CLEAN)
        await eventually_async(lambda: _are(sandbox, 1), seconds=5.0)
        await operator.supervisor.close()


async def test_dead_stream_does_not_look_alive(operator: ConnectedSupervisor) -> None:
    """When the stream is over and no other can be had, status and metric say so, and why."""
    refusal = refused(500, "InternalServerError", "Something went wrong")
    dying = in_turn(stream([], After.CLOSE), refusal)
    async with serving(an_infisical(dying)) as server:
        key = operator.subscribe_with_token("app", server.url)
        await eventually_async(lambda: operator.condition(key, "Streaming") == ("False", "ServerError"))
        labels = {"namespace": "team", "subscription": "app"}
        name = "infisical_events_stream_connected"
        assert operator.metrics.registry.get_sample_value(name, labels) == 0.0
        await operator.supervisor.close()


# -- never two, never any left ------------------------------------------------------------------------


async def test_never_two_streams(operator: ConnectedSupervisor) -> None:
    """However streams end, the server has one of ours afterwards and no more, and a change is heard once."""
    async with Sandbox.in_thread() as sandbox:
        key = operator.subscribe_at(sandbox)
        await eventually_async(lambda: operator.is_watching(key))
        for ending in ENDINGS:
            await sandbox.do(Controls.end_streams, ending)
            await eventually_async(lambda: _are(sandbox, 1))
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        await eventually_async(lambda: _events_of(operator, key) == 1)
        assert await streams_of(sandbox) == 1
        await operator.supervisor.close()


def _events_of(operator: ConnectedSupervisor, key: SubscriptionKey) -> int:
    return int(operator.cluster.status_of(key).get("counters", {}).get("eventsReceived", 0))


async def test_ended_streams_leave_no_connection() -> None:
    """A hundred streams, one after the other, each with another end, leave no connection and no task."""
    script = in_turn(*[stream([A], after) for after in (After.KEEP, After.CLOSE, After.RESET)] * 33, OPEN)
    async with serving(always_subscribed(script)) as server, a_session(server.url) as session:
        for _ in range(99):
            with pytest.raises(InfisicalError):
                await _drained(session.stream)
        await eventually_async(lambda: server.connections <= 1)
        assert len(asyncio.all_tasks()) <= 2 + server.connections


async def test_refused_streams_leave_no_connection() -> None:
    """Two hundred refused subscriptions leave no task, and no connection but the one that is kept."""
    refusal = refused(400, "BadRequest", "Upgrade plan to use event subscriptions")
    async with serving(always_subscribed(always(refusal))) as server, a_session(server.url) as session:
        for _ in range(200):
            with pytest.raises(InfisicalError):
                await _drained(session.stream)
        assert server.connections <= 1
        assert len(server.requests) == 200
        assert len(asyncio.all_tasks()) <= 2


async def test_streams_that_are_over_are_gone() -> None:
    """Whatever ended or refused a stream, nothing of it is left, also before garbage is collected."""
    refusal = refused(500, "InternalServerError", "Something went wrong")
    script = in_turn(*[stream([A], After.CLOSE), stream([A], After.RESET), refusal] * 11, OPEN)
    async with serving(always_subscribed(script)) as server, a_session(server.url) as session:
        await _over(session.stream)  # what is made once is made
        with leaks.uncollected():
            before = leaks.objects()
            for _ in range(32):
                await _over(session.stream)
            left = leaks.objects() - before
            # A response of httpx that was read as a stream is in a circle of its own, with its connection.
            for part in ("FairStream", "_PacedBody"):
                left.pop(part, None)
            assert left == Counter()


async def _over(open_stream: Any) -> None:  # noqa: ANN401 - of a session
    with suppress(InfisicalError):
        await _drained(open_stream)


async def test_outages_leave_no_error(operator: ConnectedSupervisor) -> None:
    """A subscription that is watching again keeps no error, and of its streams only the one that is open."""
    refusal = refused(500, "InternalServerError", "Something went wrong")
    script = in_turn(OPEN_AND_CLOSED, OPEN_AND_CLOSED, refusal, Answer((), After.RESET), OPEN)
    async with serving(an_infisical(script)) as server:
        with leaks.uncollected():
            before, there = leaks.errors(), leaks.objects()
            key = operator.subscribe_with_token("app", server.url)
            await eventually_async(
                lambda: len(server.asked(SUBSCRIBE)) == 5 and operator.is_watching(key), seconds=30.0
            )
            assert leaks.errors() - before == Counter()
            assert (leaks.objects() - there)["StreamConnection"] == 1
        await operator.supervisor.close()


async def test_edited_specs_leave_nothing(operator: ConnectedSupervisor) -> None:
    """Of what served a spec that was replaced nothing is left, also before garbage is collected."""
    async with serving(an_infisical(always(OPEN))) as server:
        with leaks.uncollected():
            before, there = leaks.errors(), leaks.objects()
            key = operator.subscribe_with_token("app", server.url)
            await eventually_async(lambda: operator.is_watching(key))
            for number in range(2, 5):
                operator.edit(key, debounceSeconds=number)
                await eventually_async(lambda count=number: len(server.asked(SUBSCRIBE)) == count)  # type: ignore[misc]
            assert leaks.errors() - before == Counter()
            assert (leaks.objects() - there)["StreamController"] == 1
        await operator.supervisor.close()


def always_subscribed(script: Script) -> Script:
    """A server of nothing but streams."""
    return routed({SUBSCRIBE: script})


async def _drained(open_stream: Any) -> None:  # noqa: ANN401 - of a session
    async with open_with_handover(open_stream, lambda: 3000.0) as relay:
        async for _ in relay.items():
            pass


# -- stalled and busy ---------------------------------------------------------------------------------


async def test_stalled_server_blocks_nobody(operator: ConnectedSupervisor) -> None:
    """A server that accepts and never answers delays no other subscription, and not the end of its own."""
    stalled = always(Answer((), After.SILENCE))
    async with serving(stalled) as stuck, serving(an_infisical(always(OPEN))) as well:
        first = operator.subscribe_with_token("first", stuck.url)
        await eventually_async(lambda: stuck.connections >= 1)
        second = operator.subscribe_with_token("second", well.url)
        await eventually_async(lambda: operator.is_watching(second), seconds=5.0)
        operator.supervisor.remove(first.uid)
        await eventually_async(lambda: stuck.connections == 0, seconds=5.0)
        await operator.supervisor.close()


async def test_busy_look_does_not_stop_the_reading(operator: ConnectedSupervisor) -> None:
    """While a look takes for ever, all that the stream says is heard."""
    chunks = [A] * 500
    script = an_infisical(always(stream(chunks, After.SILENCE)), always(Answer((), After.SILENCE)))
    async with serving(script) as server:
        key = operator.subscribe_with_token("app", server.url)
        await eventually_async(lambda: _events_of(operator, key) == 500, seconds=20.0)
        await operator.supervisor.close()


# -- the right server as the right identity -----------------------------------------------------------


async def test_addresses_never_mix(operator: ConnectedSupervisor) -> None:
    """Each server sees only the tokens of its own subscriptions, over all their streams and looks."""
    brief = always(stream([A], After.CLOSE))
    async with serving(an_infisical(brief)) as one, serving(an_infisical(brief)) as other:
        operator.subscribe_with_token("one", one.url, "token-of-one")
        operator.subscribe_with_token("other", other.url, "token-of-other")
        await eventually_async(lambda: all(len(server.asked(SUBSCRIBE)) >= 4 for server in (one, other)))
        await operator.supervisor.close()
    assert set(_tokens(one.requests)) == {"Bearer token-of-one"}
    assert set(_tokens(other.requests)) == {"Bearer token-of-other"}
    assert {request.headers["host"] for request in one.requests} == {one.url.removeprefix("http://")}


def _tokens(requests: list[Request]) -> Iterator[str]:
    return (request.headers.get("authorization", "") for request in requests)


@pytest.mark.parametrize("end", [Controls.expire_tokens, Controls.revoke_tokens])
async def test_expired_token_is_not_used_again(
    operator: ConnectedSupervisor, end: Callable[[Controls], int]
) -> None:
    """A stream that ends after its token did is opened with another token, by one login."""
    async with Sandbox.in_thread() as sandbox:
        key = operator.subscribe_at(sandbox)
        await eventually_async(lambda: operator.is_watching(key))
        await sandbox.do(end)
        await sandbox.do(Controls.end_streams, Ending.CLEAN)
        await eventually_async(lambda: _are(sandbox, 1), seconds=5.0)
        journal = await sandbox.do(Controls.journal)
        await operator.supervisor.close()
    assert [entry.kind for entry in journal].count("login") == 2


async def test_edited_authentication_opens_another_stream(operator: ConnectedSupervisor) -> None:
    """Another identity in the spec is the one of the next stream, and the old stream is closed."""
    async with serving(an_infisical(always(OPEN))) as server:
        key = operator.subscribe_with_token("app", server.url, "old-token")
        await eventually_async(lambda: operator.is_watching(key))
        operator.cluster.put_secret("team", "infisical-new", {"token": "new-token"})
        operator.edit(key, authentication={"accessTokenRef": {"name": "infisical-new", "key": "token"}})
        await eventually_async(lambda: len(server.asked(SUBSCRIBE)) == 2)
        assert list(_tokens(server.asked(SUBSCRIBE))) == ["Bearer old-token", "Bearer new-token"]
        await eventually_async(lambda: operator.is_watching(key) and server.connections <= 2)
        await operator.supervisor.close()


async def test_edited_address_opens_another_stream(operator: ConnectedSupervisor) -> None:
    """Another address in the spec is where the next stream is, and the old server has none any more."""
    async with serving(an_infisical(always(OPEN))) as old, serving(an_infisical(always(OPEN))) as new:
        key = operator.subscribe_with_token("app", old.url)
        await eventually_async(lambda: operator.is_watching(key))
        operator.edit(key, address=new.url)
        await eventually_async(lambda: len(new.asked(SUBSCRIBE)) == 1 and old.connections == 0)
        await operator.supervisor.close()


# -- permissions --------------------------------------------------------------------------------------


async def test_lost_permission_is_told_and_found_again(operator: ConnectedSupervisor) -> None:
    """A permission that is withdrawn ends the stream, and the refusal that follows says which it is."""
    async with Sandbox.in_thread() as sandbox:
        key = operator.subscribe_at(sandbox)
        await eventually_async(lambda: operator.is_watching(key))
        await sandbox.do(Controls.assign_role, "no-access")
        await sandbox.do(Controls.recheck_streams)
        await eventually_async(lambda: operator.condition(key, "Streaming") == ("False", "PermissionDenied"))
        assert "Retrying every minute" in _message(operator, key)
        await operator.supervisor.close()


def _message(operator: ConnectedSupervisor, key: SubscriptionKey) -> str:
    conditions = operator.cluster.status_of(key)["conditions"]
    return next(str(c["message"]) for c in conditions if c["type"] == "Streaming")


async def test_slow_subscription_is_waited_for(operator: ConnectedSupervisor) -> None:
    """A server that takes a second to subscribe is not asked a second time meanwhile."""
    async with Sandbox.in_thread() as sandbox:
        await sandbox.do(Controls.fail_requests, ResponseFault(f"POST {SUBSCRIBE}", delay=1.0))
        key = operator.subscribe_at(sandbox)
        await eventually_async(lambda: operator.is_watching(key))
        assert await streams_of(sandbox) == 1
        await operator.supervisor.close()
