"""No error ever repeats a confidence, and foreign words stay short and on one line."""

import socket
import ssl
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infisical_events.core.credentials import KubernetesCredentials
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.session import Session
from support.infisical_sessions import TOKEN, UNIVERSAL, UNIVERSAL_LOGIN, a_session, granted, refused
from support.scripted_server import After, Answer, Request, Script, always, answer, serving

JWT = "canary-service-account-jwt"
CREDENTIALS = [UNIVERSAL, KubernetesCredentials("canary-identity", "team/app", JWT)]
CONFIDENCES = (TOKEN, UNIVERSAL.client_secret, JWT)


async def open_stream(session: Session) -> None:
    """Subscribe and listen."""
    async with session.stream() as received_events:
        async for _ in received_events:
            pass


async def read_result(session: Session) -> None:
    """Look at a folder."""
    await session.read_snapshot((Scope.parse("prod:/a"),))


DOING = pytest.mark.parametrize("do", [Session.login, read_result, open_stream])


async def echo(request: Request) -> Answer:
    """Repeat the whole request in a refusal, as a careless server does."""
    headers = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
    return refused(400, "BadRequest", f"{request.body.decode()} {headers} {request.target}")


async def echo_after_login(request: Request) -> Answer:
    """Repeat all requests but the login."""
    return granted() if request.path == UNIVERSAL_LOGIN else await echo(request)


async def refuse_token(request: Request) -> Answer:
    """Repeat the token in a refusal of the token."""
    token = request.headers.get("authorization", "")
    return granted() if request.path == UNIVERSAL_LOGIN else refused(401, token, f"bad token {token}")


async def break_off(request: Request) -> Answer:
    """Repeat the request in the head of an answer that is none."""
    return Answer((b"HTTP/1.1 " + str(request.headers).encode() + b"\r\n",), After.CLOSE)


async def redirect(request: Request) -> Answer:
    """Send the request elsewhere, with all it carried in the address."""
    told = f"{request.headers.get('authorization', '')}{request.body.decode(errors='replace')}"
    place = f"http://127.0.0.1:1/?{told}".replace(" ", "+")
    return answer(302, b"", {"Location": place})


@DOING
@pytest.mark.parametrize("script", [echo, echo_after_login, refuse_token, break_off, redirect])
@pytest.mark.parametrize("credentials", CREDENTIALS)
async def test_no_confidence_is_repeated(
    do: Callable[[Session], Awaitable[None]], script: Script, credentials: object
) -> None:
    """Whatever a server says back, neither an error nor its traceback carries a token or a secret."""
    async with serving(script) as server, a_session(server.url, credentials=credentials) as session:  # type: ignore[arg-type] # both methods
        try:
            await do(session)
        except InfisicalError as error:
            told = f"{error} {error!r} {''.join(traceback.format_exception(error))}"
            assert not any(confidence in told for confidence in CONFIDENCES)


LONG = "first\nsecond\r\x1b[31mthird\u2028" + "x" * 10_000


@DOING
@pytest.mark.parametrize("message", [LONG, [{"message": LONG}] * 100])
async def test_foreign_words_are_short(do: Callable[[Session], Awaitable[None]], message: object) -> None:
    """A server's words are cut, on one line and without control characters."""
    async with (
        serving(always(refused(422, "ValidationFailure", message))) as server,
        a_session(server.url, credentials=UNIVERSAL) as session,
    ):
        with pytest.raises(InfisicalError) as error:
            await do(session)
    assert len(str(error.value)) < 500
    assert str(error.value).isprintable()


@pytest.mark.parametrize("message", [None, 7, {}, [], ["text"], [7], [{"message": None}], ""])
async def test_words_of_another_shape(message: object) -> None:
    """A refusal whose message is none is a refusal all the same."""
    async with (
        serving(always(refused(422, "ValidationFailure", message))) as server,
        a_session(server.url) as session,
    ):
        with pytest.raises(InfisicalError, match="422"):
            await read_result(session)


@pytest.mark.parametrize("body", [b"", b"null", b"7", b'"text"', b"[]", b"{", b"\xff", b"[" * 100_000])
async def test_refusal_that_is_no_object(body: bytes) -> None:
    """A refusal of something in between is told by its number."""
    async with serving(always(answer(503, body))) as server, a_session(server.url) as session:
        with pytest.raises(InfisicalError, match="503") as error:
            await read_result(session)
    assert error.value.reason is Reason.SERVER_ERROR


async def test_braces_are_no_format() -> None:
    """A server's words are not taken for a format."""
    script = always(refused(403, "PermissionDenied", "{quote} {0} {self.text} %(self)d"))
    async with serving(script) as server, a_session(server.url) as session:
        with pytest.raises(InfisicalError) as error:
            await read_result(session)
    assert "{quote} {0} {self.text} %(self)" in str(error.value)


# -- TLS ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file: Path = tmp_path_factory.mktemp("tls") / "pair.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@DOING
async def test_unknown_certificate(
    do: Callable[[Session], Awaitable[None]], stranger: ssl.SSLContext
) -> None:
    """A server that cannot prove who it is gets nothing, and the error says what is wrong with it."""
    async with (
        serving(always(granted()), stranger) as server,
        a_session(server.url, credentials=UNIVERSAL) as session,
    ):
        with pytest.raises(InfisicalError, match="self-signed certificate") as error:
            await do(session)
        assert server.requests == []
    assert error.value.reason is Reason.TLS_FAILED


@DOING
async def test_no_tls_where_it_is_expected(do: Callable[[Session], Awaitable[None]]) -> None:
    """A server that speaks no TLS is told as a failure of TLS."""
    async with serving(always(granted()), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        address = server.url.replace("http://", "https://")
        async with a_session(address, credentials=UNIVERSAL) as session:
            with pytest.raises(InfisicalError) as error:
                await do(session)
    assert error.value.reason is Reason.TLS_FAILED


@DOING
async def test_nobody_there(do: Callable[[Session], Awaitable[None]]) -> None:
    """A server that is away is told as unreachable, with the kind of the failure."""
    async with serving(always(granted())) as server:
        address = server.url
    async with a_session(address, credentials=UNIVERSAL) as session:
        with pytest.raises(InfisicalError, match="ConnectError") as error:
            await do(session)
    assert error.value.reason is Reason.UNREACHABLE


@DOING
async def test_name_that_nobody_knows(
    do: Callable[[Session], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name without an address is told apart from a server that is away."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with a_session("http://infisical.invalid", credentials=UNIVERSAL) as session:
        with pytest.raises(InfisicalError, match="cannot be resolved") as error:
            await do(session)
    assert error.value.reason is Reason.NAME_NOT_RESOLVED
