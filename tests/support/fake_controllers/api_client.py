"""The API server for fake controllers: read objects, write whole objects, and watch.

Not the client of the operator, which writes in the operator's name and cannot do all of this.
"""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Self

import aiohttp

from infisical_events.kube.kubeconfig import ClusterAccess, Connection, load_connection
from support.fake_controllers.resources import Object

_SECONDS = 15.0
_WATCH_SECONDS = 60
_PAUSE_SECONDS = 0.01
_LONGEST_LINE = 1 << 22
_OK, _GONE, _NOT_FOUND = range(200, 300), 410, 404


class ApiError(Exception):
    """The API server rejected a request; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """The verbs of controllers. Every response without success raises ApiError."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, kubeconfig: Path) -> AsyncIterator["Api"]:
        """Connect as the user of a kubeconfig."""
        found = await load_connection(ClusterAccess(kubeconfig=str(kubeconfig)))
        async with (
            _Sockets() as sockets,
            aiohttp.ClientSession(
                found.server,
                connector=aiohttp.TCPConnector(ssl=_tls(found), socket_factory=sockets.make),
                headers={"Authorization": f"{found.scheme} {found.token}"} if found.token else {},
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                read_bufsize=_LONGEST_LINE,
            ) as session,
        ):
            yield cls(session)

    async def get(self, path: str) -> Object:
        """Read an object or a list."""
        return await self._call("GET", path)

    async def find(self, path: str) -> Object | None:
        """Read an object; None if it does not exist."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def create(self, path: str, body: Object, manager: str) -> Object:
        """Create an object in a list."""
        return await self._call("POST", path, body=body, query={"fieldManager": manager})

    async def replace(self, path: str, body: Object, manager: str) -> Object:
        """Write a whole object; 409 if it is not the version that was read."""
        return await self._call("PUT", path, body=body, query={"fieldManager": manager})

    async def patch(self, path: str, body: Object, manager: str) -> Object:
        """Merge into an object."""
        kind = "application/merge-patch+json"
        return await self._call("PATCH", path, body=body, query={"fieldManager": manager}, kind=kind)

    async def delete(self, path: str) -> Object:
        """Delete an object."""
        return await self._call("DELETE", path)

    async def watch(self, path: str, version: str) -> AsyncGenerator[tuple[str, Object], None]:
        """Yield the changes of a list after a version: ADDED, MODIFIED or DELETED, until the watch ends.

        A BOOKMARK has no object, only a version up to which there are no changes.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_WATCH_SECONDS + _SECONDS)
        async with self._session.get(path, params=query, timeout=timeout) as answer:
            if answer.status not in _OK:
                raise ApiError(answer.status, await answer.text())
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"].get("code", _GONE), event["object"].get("message", ""))
                yield event["type"], event["object"]

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> Object:
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, path, params=query, data=data, headers={"Content-Type": kind}
        ) as answer:
            response: Object = await answer.json(content_type=None)
            if answer.status not in _OK:
                raise ApiError(answer.status, str((response or {}).get("message")))
            return response


class _Sockets:
    """All sockets of a session, closed when the block ends.

    A session does not wait for the ends of requests that were cancelled.
    """

    def __init__(self) -> None:
        self._made: list[socket.socket] = []

    def make(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Make another socket."""
        family, kind, protocol, _, _ = address
        self._made = [*filter(_is_open, self._made), socket.socket(family, kind, protocol)]
        return self._made[-1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(_SECONDS):
            while any(map(_is_open, self._made)):  # noqa: ASYNC110 - sockets have no callback
                await asyncio.sleep(_PAUSE_SECONDS)


def _is_open(made: socket.socket) -> bool:
    return made.fileno() != -1


def _tls(connection: Connection) -> ssl.SSLContext | bool:
    if not connection.server.startswith("https:"):
        return False
    context = ssl.create_default_context(cafile=connection.ca_path)
    if connection.is_insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if connection.certificate_path:
        context.load_cert_chain(connection.certificate_path, connection.private_key_path)
    return context
