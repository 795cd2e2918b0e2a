"""Reading state at the wire: ids and versions of what is there, whatever the server's generation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from infisical_events.core.credentials import UniversalCredentials
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import (
    Partition,
    PartitionState,
    SecretVersion,
    Snapshot,
    short_id,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical import http_client
from infisical_events.infisical.http_client import NamespaceSharing
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError
from infisical_events.infisical.session import Session
from infisical_events.runtime.limits.secret_quota import SecretQuota
from infisical_sandbox.server import Controls, Options, ResponseFault, Sandbox
from infisical_sandbox.server.domain import generations
from support.builders import a_spec
from support.infisical_sessions import SUBSCRIBE, V3, V4, a_sandbox_session, a_session, logged_in, refused
from support.scripted_server import After, Answer, Request, Script, always, answer, in_turn, routed, serving

A = Scope.parse("prod:/a")
BELOW_A = Scope.parse("prod:/a/**")
NO_ROUTE = answer(404, {"message": "Route GET:/api not found", "error": "Not Found", "statusCode": 404})
PROXY_404 = answer(404, b"default backend - 404", {"Content-Type": "text/plain"})


def secret(key: str, version: int = 1, **more: object) -> dict[str, Any]:
    """A secret as both list routes write it, reduced to what is read."""
    return {"id": f"id-of-{key}", "secretKey": key, "version": version, "type": "shared"} | more


def listing(*secrets: Mapping[str, Any], imports: object = ()) -> Answer:
    """The answer of either list route."""
    return answer(200, {"secrets": list(secrets), "imports": list(imports) if imports == () else imports})


def secret_version(key: str, version: int = 1) -> SecretVersion:
    """How such a secret is seen."""
    return SecretVersion(short_id(f"id-of-{key}"), version)


def keys(snapshot: Snapshot) -> dict[str, dict[str, int]]:
    """Versions by key by part, in words."""
    return {
        str(partition): {key: seen.version for key, seen in body.versions.items()}
        for partition, body in snapshot.partitions.items()
    }


async def seen(script: Script, *scopes: Scope) -> dict[Partition, PartitionState]:
    """What one look at a scripted server sees."""
    async with serving(script) as server, a_session(server.url) as session:
        return dict((await session.read_snapshot(scopes or (A,))).partitions)


async def refused_with(given: Answer) -> InfisicalError:
    """What a look fails with that is answered like this."""
    async with serving(always(given)) as server, a_session(server.url) as session:
        return await refusal_of(session)


async def refusal_of(session: Session) -> InfisicalError:
    """What a look fails with."""
    with pytest.raises(InfisicalError) as error:
        await session.read_snapshot((A,))
    return error.value


# -- what is seen -------------------------------------------------------------------------------------


async def test_nothing_but_ids_and_versions_is_asked_for() -> None:
    """Values are not asked for, and nothing is left to the defaults of a server."""
    async with serving(always(listing())) as server, a_session(server.url) as session:
        await session.read_snapshot((A, BELOW_A))
        literal, recursive = (parse_qs(urlsplit(request.target).query) for request in server.requests)
    assert literal == {
        "projectId": ["7f4d1c2b"],
        "environment": ["prod"],
        "secretPath": ["/a"],
        "recursive": ["false"],
        "viewSecretValue": ["false"],
        "expandSecretReferences": ["false"],
        "include_imports": ["true"],
        "includeImports": ["true"],
    }
    assert recursive == literal | {"recursive": ["true"]}


async def test_literal_scope() -> None:
    """A folder alone is one part, wherever its secrets say that they are."""
    partitions = await seen(always(listing(secret("K", 3, secretPath="a/"))))
    assert partitions == {
        Partition.own(Folder("prod", "/a")): PartitionState.of({"K": secret_version("K", 3)})
    }


async def test_recursive_scope() -> None:
    """A folder with all below it is a part per folder."""
    given = listing(secret("K", secretPath="/a"), secret("K2", secretPath="/a/b/"))
    assert await seen(always(given), BELOW_A) == {
        Partition.own(Folder("prod", "/a")): PartitionState.of({"K": secret_version("K")}),
        Partition.own(Folder("prod", "/a/b")): PartitionState.of({"K2": secret_version("K2")}),
    }


async def test_imports_with_ranks() -> None:
    """Each import is a part of its own, and its place in the list is part of what is seen."""
    imports = [
        {"environment": "dev", "secretPath": "/x", "secrets": [secret("X", 2)]},
        {"environment": "prod", "secretPath": "/empty", "secrets": []},
        {"environment": "dev", "secretPath": "/y/", "secrets": [secret("Y"), secret("Z", type="personal")]},
    ]
    assert await seen(always(listing(imports=imports))) == {
        Partition(A, Folder("dev", "/x")): PartitionState.of({"X": secret_version("X", 2)}, 0),
        Partition(A, Folder("dev", "/y")): PartitionState.of({"Y": secret_version("Y")}, 2),
    }


@pytest.mark.parametrize("imports", [None, []])
async def test_no_imports(imports: object) -> None:
    """A server that does not write imports is understood."""
    body = {"secrets": [secret("K")]} | ({} if imports is None else {"imports": imports})
    assert len(await seen(always(answer(200, body)))) == 1


async def test_personal_secrets_are_ignored() -> None:
    """A personal override is nobody's workload's business and hides no shared secret."""
    given = listing(
        secret("K", 1), secret("K", 9, id="other", type="personal"), secret("MINE", type="personal")
    )
    assert await seen(always(given)) == {
        Partition.own(Folder("prod", "/a")): PartitionState.of({"K": secret_version("K")})
    }


async def test_values_are_dropped() -> None:
    """A value that a server sends all the same is nowhere in what was seen."""
    given = listing(secret("K", secretValue="canary-value", secretValueHidden=False))
    assert "canary" not in repr(await seen(always(given)))


async def test_missing_folder_is_empty() -> None:
    """A folder that does not exist has nothing in it, and no error is made of it."""
    assert await seen(always(refused(404, "SecretPathNotFound", "Folder '/a' not found"))) == {}


async def test_ten_thousand_keys() -> None:
    """A list of ten thousand secrets is seen whole."""
    names = [f"KEY_{n:05}" for n in range(10_000)]
    padding: dict[str, Any] = {
        "secretValue": "<hidden-by-infisical>",
        "secretComment": "",
        "tags": [],
        "secretPath": "/a",
    }
    [body] = (await seen(always(listing(*(secret(name, **padding) for name in names))))).values()
    assert body.versions.keys() == set(names)


async def test_moments() -> None:
    """An observation tells between which moments it was made."""
    async with serving(always(listing())) as server, a_session(server.url) as session:
        snapshot = await session.read_snapshot((A,))
    assert snapshot.started <= snapshot.finished
    assert snapshot.scopes == (A,)


# -- at a local Infisical -----------------------------------------------------------------------------


@pytest.mark.parametrize("generation", generations.BY_NAME.values(), ids=generations.BY_NAME)
async def test_seen_at_an_infisical(generation: generations.Generation) -> None:
    """All generations of a local Infisical show own secrets, those below and imports."""
    async with Sandbox.in_thread(Options(generation=generation)) as sandbox:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1", "L": "1"})
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "2"})
        await sandbox.do(Controls.set_secrets, "prod", "/a/b", {"M": "1"})
        await sandbox.do(Controls.set_secrets, "dev", "/x", {"X": "1"})
        await sandbox.do(Controls.add_import, "prod", "/a", ("dev", "/x"))
        async with a_sandbox_session(sandbox, "/a/**") as session:
            observed = keys(await session.read_snapshot((BELOW_A,)))
            literal = keys(await session.read_snapshot((A,)))
    assert literal == {"prod:/a": {"K": 2, "L": 1}, "prod:/a<-dev:/x": {"X": 1}}
    assert observed["prod:/a/b"] == {"M": 1}


async def test_describing_is_enough() -> None:
    """An identity that may describe secrets and not read their values sees all that is needed."""
    rule = {"subject": "secrets", "action": ["describeSecret"]}
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "canary-value"})
        await sandbox.do(Controls.permit, [rule])
        assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"K": 1}}


async def test_unchanged_at_an_infisical() -> None:
    """What did not change is seen again as it was; what changed is seen changed."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        first = await session.read_snapshot((A,))
        assert (await session.read_snapshot((A,))).partitions == first.partitions
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "2"})
        assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"K": 2}}
        await sandbox.do(Controls.delete_folder, "prod", "/a")
        assert keys(await session.read_snapshot((A,))) == {}
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"K": 1}}


async def test_slug_at_an_infisical() -> None:
    """A project of a local Infisical can be named by its slug."""
    async with Sandbox.in_thread() as sandbox:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        spec = a_spec(projectId=None, projectSlug=sandbox.project_slug)
        credentials = UniversalCredentials(sandbox.client_id, sandbox.client_secret)
        async with a_session(sandbox.url, spec, credentials) as session:
            assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"K": 1}}


# -- 304 ----------------------------------------------------------------------------------------------


def tagged(tag: str, current: Answer) -> Script:
    """A list that is answered in full to those who do not know its tag."""

    async def script(request: Request) -> Answer:
        if request.headers.get("if-none-match") == tag:
            return Answer((b"HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n" % tag.encode(),))
        head, _, body = current.pieces[0].partition(b"\r\n\r\n")
        return Answer((head + b"\r\nETag: %s\r\n\r\n" % tag.encode() + body,))

    return script


async def test_not_modified_stands_for_the_last_body() -> None:
    """Nothing is sent of what did not change, and it is seen as it was."""
    async with serving(tagged('"t1"', listing(secret("K")))) as server, a_session(server.url) as session:
        first = await session.read_snapshot((A,))
        assert (await session.read_snapshot((A,))).partitions == first.partitions
        assert [r.headers.get("if-none-match") for r in server.requests] == [None, '"t1"']


async def test_tags_of_scopes_are_kept_apart() -> None:
    """The tag of one scope is not sent for another."""
    async with (
        serving(tagged('"t1"', listing(secret("K", secretPath="/a")))) as server,
        a_session(server.url) as session,
    ):
        await session.read_snapshot((A, BELOW_A))
        assert [r.headers.get("if-none-match") for r in server.requests] == [None, None]


async def test_tag_of_a_folder_that_vanished() -> None:
    """What a folder held before it vanished does not stand for what it holds when it is back."""
    gone = refused(404, "SecretPathNotFound", "gone")
    steps = [tagged('"t1"', listing(secret("K"))), always(gone), tagged('"t1"', listing(secret("L")))]

    async def script(request: Request) -> Answer:
        return await steps.pop(0)(request)

    async with serving(script) as server, a_session(server.url) as session:
        observed = [keys(await session.read_snapshot((A,))) for _ in range(3)]
    assert observed == [{"prod:/a": {"K": 1}}, {}, {"prod:/a": {"L": 1}}]


async def test_not_modified_without_a_question() -> None:
    """A 304 that nobody asked for stands for nothing."""
    error = await refused_with(Answer((b"HTTP/1.1 304 Not Modified\r\n\r\n",)))
    assert error.reason is Reason.UNEXPECTED_RESPONSE


# -- the two routes -----------------------------------------------------------------------------------


async def test_older_server() -> None:
    """A server that knows only the older route is read by it, and asked by it from then on."""
    script = logged_in(v3=always(listing(secret("K"))))
    async with serving(script) as server, a_session(server.url) as session:
        for _ in range(3):
            assert (await session.read_snapshot((A,))).key_count == 1
        assert [request.path for request in server.requests] == [V4, V3, V3, V3]
        assert parse_qs(urlsplit(server.requests[-1].target).query)["workspaceId"] == ["7f4d1c2b"]


async def test_upgraded_server() -> None:
    """A server that stops to know the older route is read by the newer one again."""
    routes = {V3: always(listing(secret("OLD")))}
    async with serving(routed(routes)) as server, a_session(server.url) as session:
        await session.read_snapshot((A,))
        routes.clear()
        routes[V4] = always(listing(secret("NEW")))
        assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"NEW": 1}}


@pytest.mark.parametrize("trouble", [NO_ROUTE, PROXY_404])
async def test_a_proxy_knows_nothing_for_a_while(trouble: Answer) -> None:
    """A 404 of something in between, while the server is away, does not decide about the route."""
    v4 = in_turn(trouble, listing(secret("K")))
    async with serving(routed({V4: v4, V3: always(trouble)})) as server, a_session(server.url) as session:
        assert (await refusal_of(session)).reason is Reason.UNEXPECTED_RESPONSE
        for _ in range(2):
            assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"K": 1}}
        assert [request.path for request in server.requests] == [V4, V3, V4, V4]


# -- refused ------------------------------------------------------------------------------------------

QUOTE = "You are not allowed to describeSecret on secrets"
LIMITER = {"x-ratelimit-limit": "60", "retry-after": "17"}
REFUSED: dict[str, tuple[Answer, Reason, str]] = {
    "rights": (refused(403, "PermissionDenied", QUOTE), Reason.PERMISSION_DENIED,
               f"(PermissionDenied: {QUOTE})"),
    "project": (refused(404, "NotFound", "Project with id x not found"), Reason.PROJECT_NOT_FOUND, "id …"),
    "issues": (
        refused(422, "ValidationFailure", [{"message": "Required"}, {"message": "Too big"}]),
        Reason.REQUEST_REJECTED,
        "(ValidationFailure: Required; Too big)",
    ),
    "glob": (refused(400, "BadRequest", "Invalid folder name"), Reason.REQUEST_REJECTED, "Invalid folder"),
    "failure": (refused(500, "InternalServerError", "Something went wrong"), Reason.SERVER_ERROR, "500"),
    "gateway": (answer(504, b"<html>"), Reason.SERVER_ERROR, "504"),
    "page": (answer(200, b"<html>", {"Content-Type": "text/html"}), Reason.UNEXPECTED_RESPONSE, "not JSON"),
    "deep": (answer(200, b"[" * 100_000), Reason.UNEXPECTED_RESPONSE, "not JSON"),
    "half": (answer(200, b'{"secrets": ['), Reason.UNEXPECTED_RESPONSE, "not JSON"),
    "bytes": (answer(200, b'{"secrets": "\xff"}'), Reason.UNEXPECTED_RESPONSE, "not JSON"),
    "list": (answer(200, []), Reason.UNEXPECTED_RESPONSE, "structure"),
    "null": (answer(200, None), Reason.UNEXPECTED_RESPONSE, "structure"),
    "no secrets": (answer(200, {}), Reason.UNEXPECTED_RESPONSE, "structure"),
    "odd secrets": (answer(200, {"secrets": {"a": 1}}), Reason.UNEXPECTED_RESPONSE, "structure"),
    "no id": (listing({"secretKey": "K", "version": 1}), Reason.UNEXPECTED_RESPONSE, "structure"),
    "no version": (listing(secret("K") | {"version": None}), Reason.UNEXPECTED_RESPONSE, "structure"),
    "no key": (listing(secret("K", secretKey=None)), Reason.UNEXPECTED_RESPONSE, "structure"),
    "odd environment": (listing(imports=[{"environment": 7, "secretPath": "/", "secrets": []}]),
                        Reason.UNEXPECTED_RESPONSE, "structure"),
    "vast version": (answer(200, b'{"secrets": [{"id": "x", "secretKey": "K", "version": 1e999}]}'),
                     Reason.UNEXPECTED_RESPONSE, "structure"),
    "odd imports": (listing(imports=[{"secrets": []}]), Reason.UNEXPECTED_RESPONSE, "structure"),
    "odd path": (listing(imports=[{"environment": "dev", "secretPath": 7, "secrets": []}]),
                 Reason.UNEXPECTED_RESPONSE, "structure"),
    "closed": (Answer((), After.CLOSE), Reason.UNREACHABLE, "RemoteProtocolError"),
    "reset": (Answer((), After.RESET), Reason.UNREACHABLE, "ReadError"),
    "cut": (Answer((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",), After.CLOSE),
            Reason.UNREACHABLE, "RemoteProtocolError"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "reason", "words"), REFUSED.values(), ids=REFUSED)
async def test_refusals(given: Answer, reason: Reason, words: str) -> None:
    """Each failure of a look has its reason and a sentence that says what to do."""
    error = await refused_with(given)
    assert error.reason is reason
    assert words in str(error)


async def test_asked_to_slow_down() -> None:
    """The limiter's wait is passed on."""
    error = await refused_with(answer(429, {"error": "RateLimitExceeded", "message": "slow"}, LIMITER))
    assert (error.reason, error.retry_after) == (Reason.RATE_LIMITED, 17.0)


async def test_one_scope_of_two_fails() -> None:
    """When one scope cannot be read nothing is told of the other: no folder may be taken for empty."""
    script = in_turn(listing(secret("K")), refused(500, "InternalServerError", "Something went wrong"))
    async with serving(script) as server, a_session(server.url) as session:
        with pytest.raises(InfisicalError):
            await session.read_snapshot((A, BELOW_A))


async def test_trouble_that_is_over_at_an_infisical() -> None:
    """A look that failed is made again with success when the trouble is over."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        await sandbox.do(Controls.fail_requests, ResponseFault("GET /api/v4/*", status=503))
        assert (await refusal_of(session)).reason is Reason.SERVER_ERROR
        assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"K": 1}}


# -- bounds -------------------------------------------------------------------------------------------


def many(count: int) -> Answer:
    """A list of so many secrets."""
    return listing(*(secret(f"K{number}") for number in range(count)))


async def test_a_namespace_that_keeps_too_many() -> None:
    """What a namespace may keep is given back when a subscription ends."""
    quota = SecretQuota(max_of_namespace=500, always_admitted=0)
    sharing = NamespaceSharing(keep=partial(quota.keep, "team"))
    async with serving(always(many(300))) as server:
        async with a_session(server.url, sharing=sharing) as first:
            assert (await first.read_snapshot((A,))).key_count == 300
            async with a_session(server.url, sharing=sharing) as second:
                error = await refusal_of(second)
            assert error.reason is Reason.TOO_MANY_SECRETS
            assert "300 secrets" in str(error)
        async with a_session(server.url, sharing=sharing) as third:
            assert (await third.read_snapshot((A,))).key_count == 300


async def test_large_lists_take_turns() -> None:
    """One large body of a namespace is in memory at a time; others read on."""
    held, most, small = 0, 0, 0

    @asynccontextmanager
    async def permit(*, is_large: bool) -> AsyncIterator[None]:
        nonlocal held, most, small
        small += not is_large
        async with turns if is_large else nullcontext():
            held += is_large
            most = max(most, held)
            yield
            held -= is_large

    turns, sharing = asyncio.Lock(), NamespaceSharing(permit=permit)
    async with serving(always(many(20_000))) as server, AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(a_session(server.url, sharing=sharing)) for _ in range(3)]
        snapshots = await asyncio.gather(*(session.read_snapshot((A,)) for session in sessions))
    assert [snapshot.key_count for snapshot in snapshots] == [20_000] * 3
    assert (most, held, small) == (1, 0, 3)


async def test_waiting_for_memory_is_not_the_servers_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that waits for its turn longer than a request may take is read all the same."""
    monkeypatch.setattr(http_client, "MAX_REQUEST_SECONDS", 1.5)

    @asynccontextmanager
    async def permit(*, is_large: bool) -> AsyncIterator[None]:
        await asyncio.sleep(2.0 * is_large)
        yield

    async with (
        serving(always(many(15_000))) as server,
        a_session(server.url, sharing=NamespaceSharing(permit=permit)) as session,
    ):
        assert (await session.read_snapshot((A,))).key_count == 15_000


# -- one secret by its name ---------------------------------------------------------------------------

FOLDER_A = Folder("prod", "/a")
FOUND = answer(200, {"secret": secret("K")})
NO_SECRET = refused(404, "NotFound", "Secret with name 'K' not found")


async def told_of(given: Answer, key: str = "K") -> bool:
    """Whether a secret counts as gone when the question is answered like this."""
    async with serving(always(given)) as server, a_session(server.url) as session:
        return await session.is_gone(FOLDER_A, key)


async def test_one_secret_is_asked_for_without_its_value() -> None:
    """Neither the value nor what imports or a person's override hold is asked for."""
    async with serving(always(FOUND)) as server, a_session(server.url) as session:
        assert not await session.is_gone(FOLDER_A, "K")
        [request] = server.requests
    assert request.path == f"{V4}/K"
    assert parse_qs(urlsplit(request.target).query) == {
        "projectId": ["7f4d1c2b"],
        "environment": ["prod"],
        "secretPath": ["/a"],
        "type": ["shared"],
        "viewSecretValue": ["false"],
        "expandSecretReferences": ["false"],
        "include_imports": ["false"],
        "includeImports": ["false"],
    }


@pytest.mark.parametrize("key", ["a/b", "..", ".", "a?b=c", "a#b", "%2F", "É 1", "&x=1", "a\r\nb", "\ud800"])
async def test_any_name_is_one_name(key: str) -> None:
    """Nothing in a name is taken for anything but a name."""
    async with serving(always(FOUND)) as server, a_session(server.url) as session:
        await session.is_gone(FOLDER_A, key)
        [request] = server.requests
    below = request.path.removeprefix(f"{V4}/")
    assert unquote(below, errors="surrogatepass") == key
    assert not set(below) & set("/.&# ")


@pytest.mark.parametrize("given", [NO_SECRET, refused(404, "SecretPathNotFound", "Folder '/a' not found")])
async def test_gone(given: Answer) -> None:
    """A secret is gone when the application says that it or its folder is not there."""
    assert await told_of(given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (refused(403, "PermissionDenied", "not allowed"), Reason.PERMISSION_DENIED),
        (NO_ROUTE, Reason.UNEXPECTED_RESPONSE),
        (PROXY_404, Reason.UNEXPECTED_RESPONSE),
        (answer(502, b"<html>"), Reason.SERVER_ERROR),
        (answer(200, b"<html>"), Reason.UNEXPECTED_RESPONSE),
        (answer(200, {"secrets": []}), Reason.UNEXPECTED_RESPONSE),
        (answer(200, []), Reason.UNEXPECTED_RESPONSE),
        (Answer((b"HTTP/1.1 304 Not Modified\r\n\r\n",)), Reason.UNEXPECTED_RESPONSE),
        (Answer((), After.CLOSE), Reason.UNREACHABLE),
    ],
)
async def test_neither_gone_nor_there(given: Answer, reason: Reason) -> None:
    """A secret that may not be seen is not gone, and trouble tells nothing about it."""
    with pytest.raises(InfisicalError) as error:
        await told_of(given)
    assert error.value.reason is reason


@pytest.mark.parametrize(("given", "gone"), [(FOUND, False), (NO_SECRET, True)])
async def test_one_secret_of_an_older_server(given: Answer, gone: bool) -> None:  # noqa: FBT001 - parametrized
    """A server that knows only the older route is asked by it."""
    async with serving(routed({f"{V3}/K": always(given)})) as server, a_session(server.url) as session:
        assert await session.is_gone(FOLDER_A, "K") is gone
        [request] = server.asked(f"{V3}/K")
    assert parse_qs(urlsplit(request.target).query)["workspaceId"] == ["7f4d1c2b"]


@pytest.mark.parametrize("generation", generations.BY_NAME.values(), ids=generations.BY_NAME)
async def test_gone_at_an_infisical(generation: generations.Generation) -> None:
    """At a local Infisical absent secrets are gone, present ones are not, hidden ones cannot be told."""
    options = Options(generation=generation)
    async with Sandbox.in_thread(options) as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1", "a/b": "1"})
        there = [await session.is_gone(FOLDER_A, key) for key in ("K", "a/b", "L")]
        nowhere = await session.is_gone(Folder("prod", "/nowhere"), "K")
        only_l = {"subject": "secrets", "action": ["describeSecret"], "conditions": {"secretName": "L"}}
        await sandbox.do(Controls.permit, [only_l])
        with pytest.raises(InfisicalError) as error:
            await session.is_gone(FOLDER_A, "K")
    assert (there, nowhere) == ([False, False, True], True)
    assert error.value.reason is Reason.PERMISSION_DENIED


# -- slugs --------------------------------------------------------------------------------------------

SLUG = {"projectId": None, "projectSlug": "shop"}
NEW_SLUG, OLD_SLUG = "/api/v1/projects/slug/shop", "/api/v2/workspace/shop"


@pytest.mark.parametrize("route", [NEW_SLUG, OLD_SLUG])
async def test_slug_is_looked_up_once(route: str) -> None:
    """A slug is looked up by whichever route the server knows, once."""
    script = routed({route: always(answer(200, {"id": "p-7"}))})
    async with serving(script) as server, a_session(server.url, a_spec(**SLUG)) as session:
        assert [await session.project_id() for _ in range(3)] == ["p-7"] * 3
        assert len(server.asked(route)) == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (refused(404, "NotFound", "Project not found"), Reason.PROJECT_NOT_FOUND),
        (refused(403, "ForbiddenError", "not a member"), Reason.PERMISSION_DENIED),
        (answer(200, {"project": {}}), Reason.PROJECT_NOT_FOUND),
        (answer(200, []), Reason.PROJECT_NOT_FOUND),
        (answer(200, b"<html>"), Reason.UNEXPECTED_RESPONSE),
    ],
)
async def test_slug_that_leads_nowhere(given: Answer, reason: Reason) -> None:
    """A slug that cannot be looked up is told with the reason, and is looked up again later."""
    routes = {NEW_SLUG: in_turn(given, answer(200, {"id": "p-7"}))}
    async with serving(routed(routes)) as server, a_session(server.url, a_spec(**SLUG)) as session:
        with pytest.raises(InfisicalError) as error:
            await session.project_id()
        assert error.value.reason is reason
        assert await session.project_id() == "p-7"


async def listen(session: Session) -> None:
    """Open a stream."""
    async with session.stream():
        pass


async def read_result(session: Session) -> None:
    """Look at a folder."""
    await session.read_snapshot((A,))


async def ask(session: Session) -> None:
    """Ask for one secret."""
    await session.is_gone(FOLDER_A, "K")


FORBIDDEN = refused(403, "ForbiddenError", "not a member")
NO_PROJECT = refused(404, "NotFound", "Project not found")


@pytest.mark.parametrize(
    ("do", "refusal"),
    [
        (read_result, NO_PROJECT),
        (read_result, FORBIDDEN),
        (listen, NO_PROJECT),
        (listen, FORBIDDEN),
        (ask, FORBIDDEN),
    ],
)
async def test_project_that_was_made_anew(do: Callable[[Session], Awaitable[None]], refusal: Answer) -> None:
    """A slug whose project is gone, or closed, is looked up again: another project may have its name now."""
    routes = {
        NEW_SLUG: in_turn(answer(200, {"id": "p-7"}), answer(200, {"id": "p-8"})),
        V4: always(refusal),
        f"{V4}/K": always(refusal),
        SUBSCRIBE: always(refusal),
    }
    async with serving(routed(routes)) as server, a_session(server.url, a_spec(**SLUG)) as session:
        with pytest.raises(InfisicalError):
            await do(session)
        routes[V4] = always(listing(secret("K")))
        await read_result(session)
        last = parse_qs(urlsplit(server.requests[-1].target).query)
    assert last["projectId"] == ["p-8"]


async def test_doubt_about_a_project_that_is_the_same() -> None:
    """Looking a slug up again costs one request, and not the lists that are known."""
    lists = tagged('"t1"', listing(secret("K")))
    routes = {NEW_SLUG: always(answer(200, {"id": "p-7"})), V4: lists, SUBSCRIBE: always(FORBIDDEN)}
    async with serving(routed(routes)) as server, a_session(server.url, a_spec(**SLUG)) as session:
        await read_result(session)
        with pytest.raises(InfisicalError):
            await listen(session)
        await read_result(session)
        assert [r.headers.get("if-none-match") for r in server.asked(V4)] == [None, '"t1"']
        assert len(server.asked(NEW_SLUG)) == 2


# -- what is not there ----------------------------------------------------------------------------------

EVERY_GENERATION = pytest.mark.parametrize(
    "generation", generations.BY_NAME.values(), ids=generations.BY_NAME
)


@EVERY_GENERATION
async def test_missing_places_at_an_infisical(generation: generations.Generation) -> None:
    """A missing folder or environment is named as missing, and not taken for an empty one."""
    nowhere, no_environment = Scope(Folder("prod", "/nowhere")), Scope(Folder("prd", "/a"))
    options = Options(generation=generation)
    async with Sandbox.in_thread(options) as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a/b", {"K": "1"})
        snapshot = await session.read_snapshot((A, nowhere, no_environment))
        assert await session.environments() == {"dev", "staging", "prod"}
        assert await session.subfolders(Folder("prod", "/")) == {"a"}
        assert await session.subfolders(FOLDER_A) == {"b"}
        with pytest.raises(FolderMissingError):
            await session.subfolders(nowhere.folder)
    assert snapshot.missing == (nowhere, no_environment)


@EVERY_GENERATION
async def test_a_renamed_environment_at_an_infisical(generation: generations.Generation) -> None:
    """Its secrets have the same ids under the new slug."""
    renamed = Scope(Folder("production", "/a"))
    options = Options(generation=generation)
    async with Sandbox.in_thread(options) as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        before = await session.read_snapshot((A,))
        await sandbox.do(Controls.rename_environment, "prod", "production")
        after = await session.read_versions((renamed,))
        assert (await session.read_snapshot((A,))).missing == (A,)
    assert [state.ids for state in before.partitions.values()] == [
        state.ids for state in after.partitions.values()
    ]


@EVERY_GENERATION
async def test_an_expired_token_at_an_infisical(generation: generations.Generation) -> None:
    """A 403 of Node and a 401 of the Go port both lead to one new login."""
    options = Options(generation=generation)
    async with Sandbox.in_thread(options) as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        await session.read_snapshot((A,))
        await sandbox.do(Controls.expire_tokens)
        assert keys(await session.read_snapshot((A,))) == {"prod:/a": {"K": 1}}


@EVERY_GENERATION
async def test_a_missing_project_at_an_infisical(generation: generations.Generation) -> None:
    """It is told from a missing folder, also where both have the same name of an error."""
    async with Sandbox.in_thread(Options(generation=generation)) as sandbox:
        credentials = UniversalCredentials(sandbox.client_id, sandbox.client_secret)
        async with a_session(sandbox.url, a_spec(projectId="none"), credentials) as session:
            assert (await refusal_of(session)).reason is Reason.PROJECT_NOT_FOUND
