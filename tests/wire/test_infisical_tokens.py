"""A token whenever one is needed: never asked for twice at once, never again soon after a refusal."""

import asyncio
import gc
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from infisical_events.core.credentials import (
    AccessToken,
    Credentials,
    KubernetesCredentials,
    UniversalCredentials,
)
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError, TokenRejectedError
from infisical_events.infisical.session import Session
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_sandbox.server import Controls, Options, ResponseFault, Sandbox
from infisical_sandbox.server.domain.records import KubernetesSettings, LockoutSettings, TokenSettings
from support import leaks
from support.infisical_sessions import (
    KUBERNETES_LOGIN,
    TOKEN,
    UNIVERSAL,
    UNIVERSAL_LOGIN,
    V4,
    a_sandbox_session,
    a_session,
    granted,
    refused,
)
from support.scripted_server import After, Answer, Request, Script, always, answer, in_turn, routed, serving

PassTime = Callable[[float], None]
SCOPES = (Scope.parse("prod:/a"),)
NOTHING = answer(200, {"secrets": [], "imports": []})
KUBERNETES = KubernetesCredentials("identity", "team/app", "canary-jwt")
METHODS = pytest.mark.parametrize(
    ("credentials", "path", "body"),
    [
        (UNIVERSAL, UNIVERSAL_LOGIN, {"clientId": "client", "clientSecret": "canary-client-secret"}),
        (KUBERNETES, KUBERNETES_LOGIN, {"identityId": "identity", "jwt": "canary-jwt"}),
    ],
)


def only_with(token: Callable[[], str], refusal: Answer) -> Script:
    """Lists for those who carry this token."""

    async def script(request: Request) -> Answer:
        return NOTHING if request.headers.get("authorization") == f"Bearer {token()}" else refusal

    return script


async def caught(session: Session) -> InfisicalError:
    """What a login fails with."""
    with pytest.raises(InfisicalError) as error:
        await session.login()
    return error.value


# -- the three methods --------------------------------------------------------------------------------


@METHODS
async def test_login(credentials: Credentials, path: str, body: dict[str, str]) -> None:
    """A login sends what its method wants and carries no Authorization header, which would be checked."""
    async with (
        serving(routed({path: always(granted())})) as server,
        a_session(server.url, credentials=credentials) as session,
    ):
        await session.login()
        [request] = server.requests
    assert (request.method, request.json()) == ("POST", body)
    assert "authorization" not in request.headers


async def test_universal_login_at_an_infisical() -> None:
    """A client id and a client secret open a local Infisical."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        assert (await session.read_snapshot(SCOPES)).key_count == 0


async def test_kubernetes_login_at_an_infisical() -> None:
    """A ServiceAccount token that the cluster vouches for opens a local Infisical."""
    user = {"username": "system:serviceaccount:team:robot"}
    review = {"kind": "TokenReview", "status": {"authenticated": True, "user": user}}
    async with serving(always(answer(201, review))) as cluster:
        options = Options(kubernetes=KubernetesSettings(cluster.url, namespaces=("team",)))
        async with Sandbox.in_thread(options) as sandbox:
            credentials = KubernetesCredentials(sandbox.identity_id, "team/app", "canary-jwt")
            async with a_session(sandbox.url, credentials=credentials) as session:
                await session.login()
    assert cluster.requests[0].json()["spec"]["token"] == "canary-jwt"


async def test_kubernetes_login_refused_by_the_cluster() -> None:
    """A ServiceAccount token that the cluster does not know is told as refused credentials."""
    review = {"kind": "TokenReview", "status": {"authenticated": False, "error": "unknown"}}
    async with serving(always(answer(201, review))) as cluster:
        options = Options(kubernetes=KubernetesSettings(cluster.url))
        async with Sandbox.in_thread(options) as sandbox:
            credentials = KubernetesCredentials(sandbox.identity_id, "team/app", "canary-jwt")
            async with a_session(sandbox.url, credentials=credentials) as session:
                error = await caught(session)
    assert error.reason is Reason.CREDENTIALS_REJECTED
    assert "The TokenReview says no: unknown" in str(error)


async def test_access_token() -> None:
    """A token made by hand is used as it is, without a login."""
    script = routed({V4: only_with(lambda: TOKEN, refused(401, "UnauthorizedError", "Token missing"))})
    async with serving(script) as server, a_session(server.url, credentials=AccessToken(TOKEN)) as session:
        assert (await session.read_snapshot(SCOPES)).key_count == 0
    assert {request.path for request in server.requests} == {V4}


@pytest.mark.parametrize("token", ["tok en", "tok\nen", "tokén", "“token”", "tok\x00en"])
async def test_access_token_that_is_none(token: str) -> None:
    """A text that cannot stand in a header is told as such and not sent."""
    async with (
        serving(always(NOTHING)) as server,
        a_session(server.url, credentials=AccessToken(token)) as session,
    ):
        error = await caught(session)
        assert (error.reason, server.requests) == (Reason.CREDENTIALS_REJECTED, [])
    assert token not in str(error)


# -- refused ------------------------------------------------------------------------------------------

REFUSALS = [
    refused(401, "UnauthorizedError", "Invalid credentials"),
    refused(401, "UnauthorizedError", "This identity auth method is temporarily locked"),
    refused(401, "KubernetesTokenReviewError", "The TokenReview says no"),
    refused(403, "ForbiddenError", "You are not allowed to access this resource from the current IP address"),
    refused(403, "TokenError", "Your token has expired"),
    refused(400, "BadRequest", "Identity does not belong to this organization"),
    refused(404, "NotFound", "Kubernetes auth method not found for identity"),
    refused(422, "ValidationFailure", [{"message": "Expected string", "path": ["clientId"]}]),
]


@METHODS
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_refused(credentials: Credentials, path: str, body: dict[str, str], refusal: Answer) -> None:
    """Refused credentials are told in one sentence with the server's words, and when to try again."""
    async with (
        serving(routed({path: always(refusal)})) as server,
        a_session(server.url, credentials=credentials) as session,
    ):
        error = await caught(session)
    assert isinstance(error, LoginError)
    assert (error.reason, error.retry_after) == (Reason.CREDENTIALS_REJECTED, 60.0)
    method = path.split("/")[4]
    assert str(error).startswith(f"Infisical rejected the {method} login (")
    assert body


@pytest.mark.parametrize("callers", [1, 20])
async def test_no_second_login_within_the_pause(callers: int, pass_time: PassTime) -> None:
    """After a refusal nobody logs in for a minute, however many ask, and all are told of the refusal."""
    async with (
        serving(always(REFUSALS[0])) as server,
        a_session(server.url, credentials=UNIVERSAL) as session,
    ):
        for _ in range(4):
            errors = await asyncio.gather(*(caught(session) for _ in range(callers)))
            assert {error.reason for error in errors} == {Reason.CREDENTIALS_REJECTED}
            pass_time(14.9)
        assert len(server.requests) == 1


async def test_login_after_the_pause(pass_time: PassTime) -> None:
    """After the pause the credentials are read anew, so that corrected ones are found."""
    left: list[Credentials] = [UniversalCredentials("client", "wrong"), UNIVERSAL]

    async def read() -> Credentials:
        return left.pop(0)

    script = in_turn(REFUSALS[0], granted())
    async with serving(script) as server, a_session(server.url, credentials=read) as session:
        await caught(session)
        pass_time(91.0)
        await session.login()
        assert [r.json()["clientSecret"] for r in server.requests] == ["wrong", "canary-client-secret"]


async def test_lockout_is_never_provoked(pass_time: PassTime) -> None:
    """Wrong credentials that are asked for all the time do not lock the identity of an Infisical out."""
    async with Sandbox.in_thread(Options(lockout=LockoutSettings(threshold=2))) as sandbox:
        wrong = UniversalCredentials(sandbox.client_id, "wrong")
        async with a_session(sandbox.url, credentials=wrong) as session:
            for _ in range(59):
                await caught(session)
                pass_time(1.0)
        async with a_sandbox_session(sandbox) as session:
            await session.login()


# -- many subscriptions with one identity -------------------------------------------------------------


@asynccontextmanager
async def sessions(
    count: int, address: str, credentials: Credentials, attempts: SharedLogins
) -> AsyncIterator[list[Session]]:
    """Sessions of one process."""
    async with AsyncExitStack() as stack:
        opening = (a_session(address, None, credentials, attempts) for _ in range(count))
        yield [await stack.enter_async_context(session) for session in opening]


async def test_lockout_is_never_provoked_together(pass_time: PassTime) -> None:
    """Many subscriptions with the same wrong credentials do not lock the identity out between them."""
    async with Sandbox.in_thread(Options(lockout=LockoutSettings(threshold=2))) as sandbox:
        wrong = UniversalCredentials(sandbox.client_id, "wrong")
        async with sessions(20, sandbox.url, wrong, SharedLogins()) as together:
            for _ in range(5):
                errors = await asyncio.gather(*map(caught, together))
                assert {error.reason for error in errors} == {Reason.CREDENTIALS_REJECTED}
                pass_time(11.9)
        async with a_sandbox_session(sandbox) as session:
            await session.login()


async def test_refusal_outlives_a_session() -> None:
    """A subscription whose spec is edited again and again does not try refused credentials anew each time."""
    attempts = SharedLogins()
    async with serving(always(REFUSALS[0])) as server:
        for _ in range(5):
            async with a_session(server.url, credentials=UNIVERSAL, attempts=attempts) as session:
                await caught(session)
        assert len(server.requests) == 1


async def test_other_credentials_are_tried_at_once() -> None:
    """A refusal says nothing of other credentials, nor of another server."""
    attempts = SharedLogins()
    other = UniversalCredentials("client", "another-secret")
    async with serving(always(REFUSALS[0])) as server, serving(always(granted())) as good:
        async with a_session(server.url, credentials=UNIVERSAL, attempts=attempts) as session:
            await caught(session)
        async with a_session(server.url, credentials=other, attempts=attempts) as session:
            await caught(session)
        async with a_session(good.url, credentials=UNIVERSAL, attempts=attempts) as session:
            await session.login()
        assert len(server.requests) == 2


async def test_one_login_for_all_subscriptions() -> None:
    """All subscriptions with the same credentials use one token, at once and later; others have their own."""
    logins, other = SharedLogins(), UniversalCredentials("client", "another-secret")
    async with (
        serving(in_turn(*map(granted, ("one", "two")))) as server,
        sessions(10, server.url, UNIVERSAL, logins) as together,
        a_session(server.url, credentials=other, attempts=logins) as another,
    ):
        await asyncio.gather(*(session.login() for session in together))
        assert len(server.requests) == 1
        await another.login()
        await another.login()
        assert len(server.requests) == 2


@pytest.mark.parametrize("credentials", [UNIVERSAL, KUBERNETES])
async def test_token_that_all_share_is_refused(credentials: Credentials) -> None:
    """When a token that many subscriptions use is refused, there is one new login for all of them."""
    logins: list[str] = []
    valid = {"first"}

    async def script(request: Request) -> Answer:
        if request.path.endswith("/login"):
            logins.append(request.path)
            return granted("first" if len(logins) == 1 else "second")
        token = request.headers["authorization"].removeprefix("Bearer ")
        return NOTHING if token in valid else refused(401, "UnauthorizedError", "Token revoked")

    async with serving(script) as server, sessions(20, server.url, credentials, SharedLogins()) as together:
        await asyncio.gather(*(session.read_snapshot(SCOPES) for session in together))
        assert len(logins) == 1
        valid.remove("first")
        valid.add("second")
        await asyncio.gather(*(session.read_snapshot(SCOPES) for session in together))
        assert len(logins) == 2


async def test_token_is_shared_while_it_is_used() -> None:
    """A token is kept for as long as a subscription uses it, and no longer."""
    logins = SharedLogins()
    async with serving(always(granted())) as server:
        for _ in range(2):
            async with a_session(server.url, credentials=UNIVERSAL, attempts=logins) as session:
                await session.login()
            del session
            gc.collect()
        assert len(server.requests) == 2


async def test_failure_of_the_way_is_shared() -> None:
    """While a server is away those who wait for one attempt are told of its failure, and make none."""
    held = asyncio.Event()

    async def slow(_: Request) -> Answer:
        await held.wait()
        return Answer((), After.CLOSE)

    async with serving(slow) as server, sessions(10, server.url, UNIVERSAL, SharedLogins()) as together:
        asking = asyncio.gather(*map(caught, together))
        async with asyncio.timeout(10):
            while not server.requests:  # noqa: ASYNC110 - a condition at the other end of a wire
                await asyncio.sleep(0.001)
        held.set()
        assert {error.reason for error in await asking} == {Reason.UNREACHABLE}
        assert len(server.requests) == 1


async def test_nothing_confidential_is_kept_between_logins() -> None:
    """What is remembered of proven and of refused credentials holds no credentials."""
    attempts = SharedLogins()
    answers = in_turn(granted(), refused(401, "UnauthorizedError", "Invalid credentials"))
    async with serving(always(granted())) as good, serving(answers) as bad:
        for server in (good, bad, bad):
            async with a_session(server.url, credentials=UNIVERSAL, attempts=attempts) as session:
                with suppress(LoginError):
                    await session.login()
    del session
    gc.collect()
    assert not attempts._tokens
    kept = pickle.dumps({name: value for name, value in vars(attempts).items() if name != "_tokens"})
    assert UNIVERSAL.client_id.encode() not in kept
    assert UNIVERSAL.client_secret.encode() not in kept


@pytest.mark.parametrize("failure", [REFUSALS[0], Answer((), After.CLOSE)])
async def test_failed_logins_keep_no_session(failure: Answer) -> None:
    """A refusal is remembered for a while; who was refused, and all that was under way then, is gone."""
    attempts = SharedLogins()
    async with serving(always(failure)) as server:
        with leaks.uncollected():
            before = leaks.objects()
            async with a_session(server.url, credentials=UNIVERSAL, attempts=attempts) as session:
                with suppress(LoginError):
                    await session.login()
            del session
            left = leaks.objects() - before
            assert (left["Session"], left["TokenProvider"], left["_Attempt"]) == (0, 0, 0)


async def test_who_tried_for_all_is_cancelled() -> None:
    """When the subscription that tries for all is deleted meanwhile, another one tries."""
    held = asyncio.Event()

    async def slow(_: Request) -> Answer:
        await held.wait()
        return granted()

    async with serving(slow) as server, sessions(3, server.url, UNIVERSAL, SharedLogins()) as together:
        asking = [asyncio.create_task(session.login()) for session in together]
        async with asyncio.timeout(10):
            while not server.requests:  # noqa: ASYNC110 - a condition at the other end of a wire
                await asyncio.sleep(0.001)
        asking[0].cancel()
        held.set()
        await asyncio.gather(*asking[1:])


async def test_locked_out() -> None:
    """An identity that others have locked out is told as such."""
    async with Sandbox.in_thread(Options(lockout=LockoutSettings(threshold=1))) as sandbox:
        wrong = UniversalCredentials(sandbox.client_id, "wrong")
        async with a_session(sandbox.url, credentials=wrong) as session:
            await caught(session)
        async with a_sandbox_session(sandbox) as session:
            error = await caught(session)
    assert error.reason is Reason.CREDENTIALS_REJECTED
    assert "temporarily locked" in str(error)


# -- the way to the server ----------------------------------------------------------------------------

TROUBLE: dict[str, tuple[Answer, Reason]] = {
    "closed": (Answer((), After.CLOSE), Reason.UNREACHABLE),
    "reset": (Answer((), After.RESET), Reason.UNREACHABLE),
    "garbage": (Answer((b"SSH-2.0-OpenSSH_9.6\r\n",), After.CLOSE), Reason.UNREACHABLE),
    "html": (answer(200, b"<html>Sign in</html>"), Reason.UNEXPECTED_RESPONSE),
    "no token": (answer(200, {}), Reason.UNEXPECTED_RESPONSE),
    "null token": (answer(200, {"accessToken": None}), Reason.UNEXPECTED_RESPONSE),
    "token of two lines": (granted("a\nb"), Reason.UNEXPECTED_RESPONSE),
    "endless life": (granted(seconds=10**400), Reason.UNEXPECTED_RESPONSE),
    "worded life": (granted(seconds="long"), Reason.UNEXPECTED_RESPONSE),
    "list": (answer(200, []), Reason.UNEXPECTED_RESPONSE),
    "deep": (answer(200, b"[" * 100_000), Reason.UNEXPECTED_RESPONSE),
    "no such route": (
        answer(404, {"message": "Route not found", "error": "Not Found"}),
        Reason.UNEXPECTED_RESPONSE,
    ),
    "bad gateway": (answer(502, b"<html>"), Reason.SERVER_ERROR),
    "server error": (refused(500, "InternalServerError", "Something went wrong"), Reason.SERVER_ERROR),
    "lock contention": (refused(429, "RateLimitExceeded", "busy"), Reason.RATE_LIMITED),
}


@pytest.mark.parametrize(("given", "reason"), TROUBLE.values(), ids=TROUBLE)
async def test_trouble(given: Answer, reason: Reason) -> None:
    """What is no refusal of the credentials is told apart from one, as a LoginError all the same."""
    async with serving(always(given)) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        error = await caught(session)
    assert (type(error), error.reason) == (LoginError, reason)


async def test_trouble_that_is_over() -> None:
    """A failure of the way is no refusal: the next call tries again at once."""
    script = in_turn(refused(503, "ServiceUnavailable", "busy"), granted())
    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        await caught(session)
        await session.login()


async def test_asked_to_slow_down() -> None:
    """The limiter's wait is passed on."""
    async with Sandbox.in_thread() as sandbox:
        fault = ResponseFault("POST /api/v1/auth/*", status=429, retry_after=17)
        await sandbox.do(Controls.fail_requests, fault)
        async with a_sandbox_session(sandbox) as session:
            error = await caught(session)
    assert (error.reason, error.retry_after) == (Reason.RATE_LIMITED, 17.0)


async def test_redirect_is_not_followed() -> None:
    """Neither credentials nor tokens follow a redirect to another host."""
    async with serving(always(granted())) as other:
        elsewhere = answer(307, b"", {"Location": f"{other.url}{UNIVERSAL_LOGIN}"})
        async with serving(always(elsewhere)) as server:
            async with a_session(server.url, credentials=UNIVERSAL) as session:
                error = await caught(session)
            async with a_session(server.url) as session:
                with pytest.raises(InfisicalError):
                    await session.read_snapshot(SCOPES)
        assert other.requests == []
    assert error.reason is Reason.UNEXPECTED_RESPONSE
    assert "redirects" in str(error)


# -- the life of a token ------------------------------------------------------------------------------


async def logins_after(seconds: float, life: object, pass_time: PassTime) -> int:
    """How many logins there were when a token of this life was asked for twice."""
    async with (
        serving(always(granted(seconds=life))) as server,
        a_session(server.url, credentials=UNIVERSAL) as session,
    ):
        await session.login()
        pass_time(seconds)
        await session.login()
        return len(server.requests)


@pytest.mark.parametrize(
    ("seconds", "life", "logins"),
    [
        (1_900, 3_000, 1),
        (2_000, 3_000, 2),
        (86_000, 2_592_000, 1),
        (86_400, 2_592_000, 2),
        (86_000, 0, 1),
        (86_400, 0, 2),
        (86_000, None, 1),
    ],
)
async def test_replaced_before_its_end(
    seconds: float, life: object, logins: int, pass_time: PassTime
) -> None:
    """A token is replaced after two thirds of its life, or a day; a life of 0 means that it never ends."""
    assert await logins_after(seconds, life, pass_time) == logins


async def test_access_token_is_read_again(pass_time: PassTime) -> None:
    """A token made by hand that is replaced in its Secret is found without an error in between."""
    tokens = iter(["first", "second"])

    async def read() -> Credentials:
        return AccessToken(next(tokens))

    async with serving(always(NOTHING)) as server, a_session(server.url, credentials=read) as session:
        await session.read_snapshot(SCOPES)
        pass_time(300.0)
        await session.read_snapshot(SCOPES)
        assert [r.headers["authorization"] for r in server.requests] == ["Bearer first", "Bearer second"]


async def test_one_login_for_all() -> None:
    """All who ask at the same time wait for one login."""
    held = asyncio.Event()

    async def slow(_: Request) -> Answer:
        await held.wait()
        return granted()

    async with serving(slow) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        asking = asyncio.gather(*(session.login() for _ in range(50)))
        async with asyncio.timeout(10):
            while not server.requests:  # noqa: ASYNC110 - a condition at the other end of a wire
                await asyncio.sleep(0.001)
        held.set()
        await asking
        assert len(server.requests) == 1


EXPIRED = [
    refused(403, "TokenError", "Your token has expired. Please re-authenticate."),
    refused(401, "UnauthorizedError", "No identity access token found"),
]


@pytest.mark.parametrize("refusal", EXPIRED)
async def test_token_refused_midway(refusal: Answer) -> None:
    """A token that is refused is replaced by one login, and the request is made again."""
    tokens = iter(["first", "second"])
    valid = ["first"]

    async def login(_: Request) -> Answer:
        return granted(next(tokens))

    script = routed({UNIVERSAL_LOGIN: login, V4: only_with(lambda: valid[0], refusal)})
    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        await session.read_snapshot(SCOPES)
        valid[0] = "second"
        assert (await session.read_snapshot(SCOPES)).key_count == 0
        assert len(server.asked(UNIVERSAL_LOGIN)) == 2


async def test_concurrent_refusals_of_one_token() -> None:
    """When many requests find their token refused, there is one new login."""
    tokens = iter(["first", "second", "third"])
    valid = ["first"]

    async def login(_: Request) -> Answer:
        return granted(next(tokens))

    refusal = refused(401, "UnauthorizedError", "revoked")
    script = routed({UNIVERSAL_LOGIN: login, V4: only_with(lambda: valid[0], refusal)})
    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        await session.read_snapshot(SCOPES)
        valid[0] = "second"
        await asyncio.gather(*(session.read_snapshot(SCOPES) for _ in range(10)))
        assert len(server.asked(UNIVERSAL_LOGIN)) == 2


@pytest.mark.parametrize("refusal", EXPIRED)
async def test_every_token_refused(refusal: Answer) -> None:
    """When the new token is refused as well, the request is not made a third time."""
    script = routed({UNIVERSAL_LOGIN: always(granted()), V4: always(refusal)})
    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        with pytest.raises(TokenRejectedError) as error:
            await session.read_snapshot(SCOPES)
        assert len(server.asked(V4)) == 2
    assert error.value.reason is Reason.TOKEN_REJECTED


@pytest.mark.parametrize("refuse", [Controls.revoke_tokens, Controls.expire_tokens])
async def test_token_refused_by_an_infisical(refuse: Callable[[Controls], Any]) -> None:
    """Tokens that are revoked or expire at a local Infisical cost one login and no error."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await session.read_snapshot(SCOPES)
        await sandbox.do(refuse)
        await session.read_snapshot(SCOPES)
        assert [e.kind for e in await sandbox.do(Controls.journal)].count("login") == 2


async def test_uses_run_out() -> None:
    """A token that may be used a few times is replaced when its uses run out."""
    options = Options(tokens=TokenSettings(uses_limit=2))
    async with Sandbox.in_thread(options) as sandbox, a_sandbox_session(sandbox) as session:
        for _ in range(5):
            await session.read_snapshot(SCOPES)
