"""An Infisical in memory that speaks HTTP without sockets: the operator's real client in virtual time.

`support.fake_infisical` stands in for the whole client, `support.scripted_server` needs real time. Here the
responses are what the client reads, and `proxy` may answer instead of Infisical.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from infisical_events.api.specs import Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.infisical import http_client
from infisical_events.infisical.session import Session, SessionDependencies
from infisical_events.infisical.shared_logins import SharedLogins
from support.fake_cluster import a_digest_key
from support.harness import NAMESPACE, SubscriptionHarness
from support.infisical_sessions import LOOPBACK, TOKEN
from support.virtual_time import virtual_now

Proxy = Callable[[httpx.Request], httpx.Response | None]
"""Answers instead of Infisical; None lets the request through."""


@dataclass(slots=True)
class StoredSecret:
    """One secret, by its id."""

    id: str
    version: int
    value: str

    def shown(self, key: str, path: str, *, with_value: bool) -> dict[str, Any]:
        """As in a list."""
        value = {"secretValue": self.value} if with_value else {"secretValueHidden": True}
        return {
            "id": self.id,
            "secretKey": key,
            "version": self.version,
            "secretPath": path,
            "type": "shared",
        } | value


class _Stream(httpx.AsyncByteStream):
    """Server-Sent Events; it ends when the client leaves."""

    def __init__(self, queues: list[asyncio.Queue[bytes]]) -> None:
        self.queue, self._queues = asyncio.Queue[bytes](), queues
        queues.append(self.queue)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                yield await asyncio.wait_for(self.queue.get(), 15.0)
            except TimeoutError:
                yield b"event: ping\n\n"

    async def aclose(self) -> None:
        if self.queue in self._queues:
            self._queues.remove(self.queue)


@dataclass(slots=True)
class HttpInfisical:
    """One project of id `p`.

    Attributes:
        folders: The secrets by environment and path.
        proxy: What answers instead.
        requests: Method, path and moment (seconds of the loop's clock) of each request that reached it.
        arrived: The same of each request that the operator sent, also of those that the proxy answered.
        is_go: Whether it writes errors as the Go server does.
    """

    folders: dict[str, dict[str, dict[str, StoredSecret]]] = field(default_factory=dict)
    proxy: Proxy | None = None
    requests: list[tuple[str, str, float]] = field(default_factory=list)
    arrived: list[tuple[str, str, float]] = field(default_factory=list)
    is_go: bool = False
    shared: SessionDependencies = field(
        default_factory=lambda: SessionDependencies(SharedLogins(), a_digest_key, LOOPBACK)
    )
    _queues: list[asyncio.Queue[bytes]] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    # -- what people do -------------------------------------------------------------------------------

    def set(self, environment: str, path: str, *, sends_event: bool = True, **values: str) -> None:
        """Write secrets, in a folder that is made with its parents."""
        folders = self.folders.setdefault(environment, {"/": {}})
        names = path.strip("/").split("/")
        for depth in range(1, len(names)):
            folders.setdefault("/" + "/".join(names[:depth]), {})
        folder = folders.setdefault(path, {})
        kinds = {key: "update" if key in folder else "create" for key in values}
        for key, value in values.items():
            old = folder.get(key)
            folder[key] = (
                StoredSecret(old.id, old.version + 1, value)
                if old
                else StoredSecret(f"id{next(self._ids)}", 1, value)
            )
        for key, kind in kinds.items() if sends_event else ():
            self._publish(f"secret:{kind}", environment, path, key)

    def remove(self, environment: str, path: str, key: str) -> None:
        """Delete a secret."""
        del self.folders[environment][path][key]
        self._publish("secret:delete", environment, path, key)

    def rename_environment(self, old: str, new: str) -> None:
        """Give an environment another slug."""
        self.folders[new] = self.folders.pop(old)

    def rename_folder(self, environment: str, old: str, new: str) -> None:
        """Give a folder, with all below it, another path; no event is sent."""
        folders = self.folders[environment]
        for path in [path for path in folders if path == old or path.startswith(f"{old}/")]:
            folders[new + path.removeprefix(old)] = folders.pop(path)

    def delete_folder(self, environment: str, path: str) -> None:
        """Delete a folder with all in it; no event is sent."""
        folders = self.folders[environment]
        for found in [found for found in folders if found == path or found.startswith(f"{path}/")]:
            del folders[found]

    def _publish(self, event: str, environment: str, path: str, key: str) -> None:
        entry = {"environment": environment, "secretPath": path, "secretKey": key}
        body = {"projectType": "secret-manager", "data": {"eventType": event, "payload": [entry]}}
        for queue in self._queues:
            queue.put_nowait(f"event: {event}\ndata: {json.dumps(body)}\n\n".encode())

    # -- runtime.ports.InfisicalOpener ------------------------------------------------------------------

    @asynccontextmanager
    async def open_session(
        self,
        namespace: str,  # noqa: ARG002 - of the port
        address: str,
        spec: Spec,
        credentials: CredentialsSource,
    ) -> AsyncIterator[Session]:
        """A real session whose requests come here."""
        original = http_client.new_transport
        http_client.new_transport = lambda *_: httpx.MockTransport(self._handle)  # type: ignore[assignment]
        try:
            opening = Session.opened(address, spec, credentials, virtual_now, self.shared)
            session = await opening.__aenter__()
        finally:
            http_client.new_transport = original
        try:
            yield session
        finally:
            await opening.__aexit__(None, None, None)

    def asked(self, text: str) -> list[float]:
        """When requests were sent whose method and path contain this text."""
        return [moment for method, path, moment in self.arrived if text in f"{method} {path}"]

    # -- responses ------------------------------------------------------------------------------------

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        entry = (request.method, request.url.path + "?" + request.url.query.decode(), _now())
        self.arrived.append(entry)
        given = self.proxy(request) if self.proxy else None
        if given is None:
            self.requests.append(entry)
            given = self._respond(request)
        return given if isinstance(given.stream, _Stream) else _unread(given)

    def _respond(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 - one for each route
        path, query = request.url.path, dict(request.url.params)
        if path.endswith("/login"):
            return httpx.Response(200, json={"accessToken": "token", "expiresIn": 3600})
        if path == "/api/v1/events/subscribe/project-events":
            return httpx.Response(
                200, headers={"Content-Type": "text/event-stream"}, stream=_Stream(self._queues)
            )
        if path.startswith("/api/v1/projects/"):
            environments = [{"id": slug, "slug": slug} for slug in self.folders]
            return httpx.Response(200, json={"project": {"id": "p", "environments": environments}})
        if path == "/api/v2/folders":
            return self._subfolders(query["environment"], query["path"])
        if path == "/api/v4/secrets":
            return self._list(query)
        if path.startswith("/api/v4/secrets/"):
            return self._one(path.removeprefix("/api/v4/secrets/"), query)
        message = f"Route {request.method}:{path} not found"
        return httpx.Response(404, json={"message": message, "error": "Not Found", "statusCode": 404})

    def _subfolders(self, environment: str, path: str) -> httpx.Response:
        if path not in self.folders.get(environment, {}):
            return self._no_folder(environment, path)
        below = path.rstrip("/") + "/"
        found = {
            p.removeprefix(below).split("/")[0] for p in self.folders[environment] if p.startswith(below)
        }
        return httpx.Response(
            200, json={"folders": [{"id": name, "name": name} for name in sorted(found - {""})]}
        )

    def _list(self, query: Mapping[str, str]) -> httpx.Response:
        environment, path = query["environment"], query["secretPath"]
        if path not in self.folders.get(environment, {}):
            return self._no_folder(environment, path)
        below, is_recursive = path.rstrip("/") + "/", query["recursive"] == "true"
        with_value = query["viewSecretValue"] == "true"
        secrets = [
            secret.shown(key, found, with_value=with_value)
            for found, held in self.folders[environment].items()
            if found == path or (is_recursive and found.startswith(below))
            for key, secret in held.items()
        ]
        return httpx.Response(200, json={"secrets": secrets} | ({} if self.is_go else {"imports": []}))

    def _one(self, key: str, query: Mapping[str, str]) -> httpx.Response:
        folder = self.folders.get(query["environment"], {}).get(query["secretPath"])
        if folder is None:
            return self._no_folder(query["environment"], query["secretPath"])
        if key not in folder:
            return error(404, "NotFound", f"Secret with name '{key}' not found", is_go=self.is_go)
        shown = folder[key].shown(key, query["secretPath"], with_value=False)
        return httpx.Response(200, json={"secret": shown})

    def _no_folder(self, environment: str, path: str) -> httpx.Response:
        if not self.is_go:
            message = f"Folder with path '{path}' in environment with slug '{environment}' not found"
            return error(404, "SecretPathNotFound", message)
        place = "Folder" if environment in self.folders else "Environment"
        return error(404, "NotFound", f"{place} not found", is_go=True)


def _unread(response: httpx.Response) -> httpx.Response:
    """The same response, as it comes from a connection."""
    stream = httpx.ByteStream(response.content)
    return httpx.Response(response.status_code, headers=response.headers, stream=stream)


def error(status: int, name: str, message: object, *, is_go: bool = False) -> httpx.Response:
    """An error as Infisical writes it."""
    body = {"statusCode": status, "message": message, "error": name}
    return httpx.Response(status, json=body if is_go else {"reqId": "req-abcdefghijklmn"} | body)


class HttpHarness(SubscriptionHarness):
    """One subscription whose Infisical is read over HTTP, without sockets, in virtual time.

    Attributes:
        server: The Infisical.
    """

    def __init__(
        self,
        *workloads: str,
        server: HttpInfisical | None = None,
        **fields: Any,  # noqa: ANN401 - of the spec
    ) -> None:
        super().__init__(*workloads, **fields)
        self.server = server or HttpInfisical()
        self.open_infisical = self.server.open_session
        self.cluster.put_secret(NAMESPACE, "infisical", {"token": TOKEN})

    def message(self, kind: str = "Observed") -> str:
        """The message of a condition."""
        return next(str(each["message"]) for each in self.status["conditions"] if each["type"] == kind)

    def warnings(self, reason: str) -> int:
        """How many Kubernetes Events on the subscription have this reason."""
        return self.event_reasons.count(reason)


def _now() -> float:
    return asyncio.get_running_loop().time()
