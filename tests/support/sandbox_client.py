"""What the tests of the local Infisical share: a small store, a logged-in client, a reader of streams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from infisical_sandbox.server.domain import data_store, folders, projects, secrets
from infisical_sandbox.server.domain.records import Author, Draft

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from infisical_sandbox.server import Sandbox
    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.folders import Place

T = TypeVar("T")

NOW = 1_750_000_000.0
DEADLINE = 10.0
ALL_EVENTS = ("secret:create", "secret:update", "secret:delete", "secret:import-mutation")
SUBSCRIBE = "/api/v1/events/subscribe/project-events"


@dataclass(frozen=True)
class World:
    """A store with one project and the environments dev and prod."""

    store: Store
    project_id: str

    def place(self, path: str = "/", environment: str = "prod") -> Place:
        """Return the folder; create it if it is missing."""
        return folders.ensure(self.store, self.project_id, environment, path, NOW)

    def fill(self, place: Place, **values: str) -> None:
        """Create secrets in a folder, without an event."""
        secrets.create(
            self.store, place.folder.id, [Draft(key, value) for key, value in values.items()], Author(NOW)
        )

    def value(self, place: Place, key: str) -> str:
        """Return the value of a secret."""
        return secrets.get(self.store, place.folder.id, key).value


def a_world() -> World:
    """Return a new store."""
    store = data_store.empty()
    project = projects.create(store, "org", "Shop", "shop", NOW)
    for slug in ("dev", "prod"):
        projects.add_environment(store, project.id, slug.title(), slug, NOW)
    return World(store, project.id)


def drafts(*keys: str) -> list[Draft]:
    """Return a draft with a value for each key."""
    return [Draft(key, f"value of {key}") for key in keys]


async def until(condition: Callable[[], T], what: str) -> T:
    """Return the first truthy value of a condition; fail after the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not (value := condition()):  # noqa: ASYNC110 - a condition of another thread
            await asyncio.sleep(0.002)
        return value
    raise AssertionError(what)


@contextlib.asynccontextmanager
async def a_client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Provide a client that is logged in."""
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=DEADLINE, trust_env=False) as client:
        token = (await login(client, sandbox)).json()["accessToken"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


async def login(client: httpx.AsyncClient, sandbox: Sandbox, secret: str | None = None) -> httpx.Response:
    """Return the response to a universal-auth login."""
    body = {"clientId": sandbox.client_id, "clientSecret": secret or sandbox.client_secret}
    return await client.post("/api/v1/auth/universal-auth/login", json=body)


def entries(*events: str, environment: str | None = "prod", path: str | None = "/**") -> list[dict[str, Any]]:
    """Return a `register` list; no environment means no conditions."""
    conditions: dict[str, Any] = {"environmentSlug": environment}
    if path is not None:
        conditions["secretPath"] = path
    extra = {"conditions": conditions} if environment is not None else {}
    return [{"event": event} | extra for event in events or ALL_EVENTS]


@dataclass
class Stream:
    """The bytes of an open event stream, as they arrive, and how it ended."""

    response: httpx.Response
    received: bytearray = field(default_factory=bytearray)
    ended: str = ""

    @property
    def frames(self) -> list[bytes]:
        """The complete frames that are no pings."""
        parts = bytes(self.received).split(b"\n\n")[:-1]
        return [part for part in parts if part != b"event: ping"]

    async def read(self) -> None:
        """Collect bytes until the end of the stream."""
        try:
            async for chunk in self.response.aiter_raw():
                self.received += chunk
            self.ended = "complete"
        except httpx.RemoteProtocolError:
            self.ended = "incomplete"
        except httpx.ReadError:
            self.ended = "reset"


@contextlib.asynccontextmanager
async def a_stream(
    client: httpx.AsyncClient, sandbox: Sandbox, register: Iterable[dict[str, Any]] | None = None
) -> AsyncIterator[Stream]:
    """Provide an open stream that is read in the background."""
    body = {"projectId": sandbox.project_id, "register": list(register or entries())}
    async with client.stream("POST", SUBSCRIBE, json=body, timeout=None) as response:
        stream = Stream(response)
        reader = asyncio.create_task(stream.read())
        try:
            yield stream
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
