"""A session with an Infisical at a given address, opened as the operator opens it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infisical_events.api.specs import Spec
from infisical_events.core.credentials import (
    AccessToken,
    Credentials,
    CredentialsSource,
    UniversalCredentials,
)
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.http_client import NamespaceSharing
from infisical_events.infisical.session import Session, SessionDependencies
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.runtime.clock import utc_now
from infisical_sandbox.server import Sandbox
from support.builders import a_spec, an_entry
from support.scripted_server import Answer, Script, answer, routed

TOKEN = "canary-access-token"
SECRET = "canary-client-secret"
PROJECT = "7f4d1c2b"

UNIVERSAL_LOGIN = "/api/v1/auth/universal-auth/login"
KUBERNETES_LOGIN = "/api/v1/auth/kubernetes-auth/login"
V4 = "/api/v4/secrets"
V3 = "/api/v3/secrets/raw"
SUBSCRIBE = "/api/v1/events/subscribe/project-events"

LOOPBACK = EgressPolicy(("http://127.0.0.1:*", "https://127.0.0.1:*"))
"""Where the servers of tests are."""

DIGEST_KEY = DigestKey(b"canary-digest-key")

BY_HAND = AccessToken(TOKEN)
UNIVERSAL = UniversalCredentials("client", SECRET)


def given(credentials: Credentials) -> CredentialsSource:
    """A source that always gives the same."""

    async def read() -> Credentials:
        return credentials

    return read


@asynccontextmanager
async def a_session(
    address: str,
    spec: Spec | None = None,
    credentials: Credentials | CredentialsSource = BY_HAND,
    attempts: SharedLogins | None = None,
    digest_key: DigestKey = DIGEST_KEY,
    sharing: NamespaceSharing | None = None,
) -> AsyncIterator[Session]:
    """A session; without more it carries a token made by hand and knows of no other session."""
    source = credentials if callable(credentials) else given(credentials)

    async def key() -> DigestKey:
        return digest_key

    shared = SessionDependencies(attempts or SharedLogins(), key, LOOPBACK, sharing or NamespaceSharing())
    async with Session.opened(address, spec or a_spec(), source, utc_now, shared) as session:
        yield session


@asynccontextmanager
async def a_sandbox_session(sandbox: Sandbox, *paths: str, **fields: object) -> AsyncIterator[Session]:
    """A session with the ready-made project and identity of a local Infisical."""
    entries = [an_entry(path=path) for path in paths or ("/a",)]
    spec = a_spec(*entries, projectId=sandbox.project_id, **fields)
    credentials = UniversalCredentials(sandbox.client_id, sandbox.client_secret)
    async with a_session(sandbox.url, spec, credentials) as session:
        yield session


def refused(status: int, name: str, message: object) -> Answer:
    """An error as the application writes it."""
    body = {"reqId": "req-abcdefghijklmn", "statusCode": status, "error": name, "message": message}
    return answer(status, body)


def granted(token: str = TOKEN, seconds: object = 3600) -> Answer:
    """The answer to a login."""
    return answer(200, {"accessToken": token, "expiresIn": seconds, "tokenType": "Bearer"})


def logged_in(**scripts: Script) -> Script:
    """A server whose logins work; `v4`, `v3`, `subscribe` and `login` are the other routes' scripts."""
    names = {"v4": V4, "v3": V3, "subscribe": SUBSCRIBE, "login": UNIVERSAL_LOGIN}

    async def grant(_: object) -> Answer:
        return granted()

    return routed({UNIVERSAL_LOGIN: grant} | {names[name]: script for name, script in scripts.items()})
