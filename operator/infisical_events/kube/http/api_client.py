"""One request to the API server, with plain JSON in and out.

The typed methods of the client spend a millisecond each on models that are not used here; its transport,
configuration and authentication are used unchanged.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.rest import RESTResponse

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.core.request_metrics import CODES, NO_RESPONSE, RequestMetrics
from infisical_events.core.status.text import counted
from infisical_events.kube.http.api_requests import (
    APPLY_PATCH,
    JSON,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    JSONObject,
    Request,
    prepared,
    request_error,
)
from infisical_events.kube.http.api_responses import decoded, items_of, watch_event
from infisical_events.kube.kubernetes_errors import KubernetesError, UnauthorizedError, UnknownOutcomeError
from infisical_events.kube.protected_objects import ProtectedObjects, protected_by

_PAGE = 500
"""Objects in a page of a list, unless they are large."""
_PAGE_BYTES = 4 << 20
"""Bytes of a page that are read; a larger one is asked for again in smaller pages."""
_SHRINKING = 8
"""A page that is too large is asked for again with this fraction of its objects."""
_MAX_BYTES = 16 << 20
"""Bytes of any other response that are read; an object has at most 1.5 MiB."""
_LARGE = 256 << 10
"""Bytes of a response from which on few of them are read and decoded at once."""
_MOST_LARGE = 4
"""Large responses that are read and decoded at once: one object may have 1.5 MiB, and several times that
when it is decoded."""
DEFAULT_TIMEOUT = 30.0
"""Seconds for a whole request."""

_WATCH_SECONDS = 290
"""How long one watch lasts; a connection that died without a word is noticed after it."""
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=DEFAULT_TIMEOUT / 3, sock_read=_WATCH_SECONDS + 30)
_ALWAYS_PARSED = (b'"BOOKMARK"', b'"ERROR"')
_TYPE_LENGTH = 24
"""Characters at the beginning of an event that contain its type."""
_OK = 200

_FIELD_MANAGER_QUERY = {"fieldManager": FIELD_MANAGER}

T = TypeVar("T")

Renewal = Callable[[ApiClient], Awaitable[ApiClient]]
"""Returns a client with new credentials for one whose were rejected, or the same if there are none."""


async def _never_renewed(client: ApiClient) -> ApiClient:
    return client


class _LargeResponseError(KubernetesError):
    """The response has more bytes than are read."""


@dataclass(slots=True)
class _Measured:
    """The status of the response to a request; 0 without one."""

    status: int = 0


class KubeApi:
    """The API server, with the verbs that the operator uses.

    A request with a 401 response had no effect, so it is sent once more if `renewed` returns another client.
    `metrics` counts each request that is sent, if it is not None.
    """

    def __init__(
        self,
        client: ApiClient,
        timeout: float = DEFAULT_TIMEOUT,
        renewed: Renewal = _never_renewed,
        metrics: RequestMetrics | None = None,
    ) -> None:
        self._client = client
        self._timeout = timeout
        # We enforce the total ourselves: aiohttp mistakes a cancellation in the same iteration of the event
        # loop for one by its own timer, and the cancelled task goes on. After a freeze, all due timers fire
        # in one iteration.
        self._client_timeout = aiohttp.ClientTimeout(total=None, connect=timeout / 3)
        self._renewed = renewed
        self._metrics = metrics
        self._large = asyncio.Semaphore(_MOST_LARGE)
        self._reading: dict[str, asyncio.Task[JSONObject]] = {}
        self._page_sizes: dict[str, int] = {}
        """Of the paths with large objects, how many of them the next list begins with."""

    def protected_with(self, own_secret: tuple[str, str]) -> ProtectedObjects:
        """What no subscription may use: this Secret of the operator, and what its own token says."""
        token = self._client.configuration.api_key.get("BearerToken", "")
        return protected_by(token, frozenset({own_secret}))

    async def get(self, path: str, accept: str = JSON) -> JSONObject:
        """Read one object in the representation of `accept`; raises KubernetesError."""
        return await self._call(Request(method="GET", path=path, accept=accept))

    async def get_shared(self, path: str) -> JSONObject:
        """As `get`, but concurrent reads of one path are one request; callers leave the object as it is."""
        reading = self._reading.get(path)
        if reading is None:
            reading = self._reading[path] = asyncio.create_task(self.get(path))
            reading.add_done_callback(partial(self._end_reading, path))
        return await asyncio.shield(reading)

    def _end_reading(self, path: str, reading: asyncio.Task[JSONObject]) -> None:
        del self._reading[path]
        if not reading.cancelled():
            reading.exception()  # all who waited may have been cancelled meanwhile

    async def create(self, path: str, body: JSONObject) -> JSONObject:
        """Create one object; raises KubernetesError."""
        return await self._call(Request(method="POST", path=path, body=body, query=_FIELD_MANAGER_QUERY))

    async def replace(self, path: str, body: JSONObject) -> JSONObject:
        """Replace one object, if its resourceVersion still is that of the body.

        Raises:
            ConflictError, UnknownOutcomeError, KubernetesError: as `merge_patch`.
        """
        return await self._call(Request(method="PUT", path=path, body=body, query=_FIELD_MANAGER_QUERY))

    async def delete(self, path: str, uid: str, resource_version: str) -> None:
        """Delete one object, if its uid and resourceVersion are unchanged.

        Raises:
            ConflictError, UnknownOutcomeError, KubernetesError: as `merge_patch`.
        """
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        await self._call(Request(method="DELETE", path=path, body=body))

    async def merge_patch(self, path: str, body: JSONObject) -> JSONObject:
        """Patch one object; a resourceVersion in the body makes it a compare-and-swap.

        Raises:
            ConflictError: the object has changed since it was read.
            UnknownOutcomeError: no response; the patch may have been applied.
            KubernetesError: any other error.
        """
        return await self._patch(path, body, MERGE_PATCH)

    async def strategic_merge_patch(self, path: str, body: JSONObject, accept: str = JSON) -> JSONObject:
        """Patch one object of a built-in kind, whose lists are merged by their keys.

        Raises:
            ConflictError, UnknownOutcomeError, KubernetesError: as `merge_patch`.
        """
        return await self._patch(path, body, STRATEGIC_MERGE_PATCH, accept)

    async def apply(self, path: str, body: JSONObject, *, is_forced: bool, accept: str = JSON) -> JSONObject:
        """Apply one object (server-side apply) and return it as of `accept`; the body is JSON, which is YAML.

        Raises:
            ConflictError: another field manager has some of the fields, or the object has changed.
            UnknownOutcomeError, KubernetesError: as `merge_patch`.
        """
        return await self._patch(path, body, APPLY_PATCH, accept, {"force": str(is_forced).lower()})

    async def _patch(
        self,
        path: str,
        body: JSONObject,
        content_type: str,
        accept: str = JSON,
        more: Mapping[str, str] | None = None,
    ) -> JSONObject:
        """Send a patch of one type; `more` are query parameters besides the field manager."""
        query = {**_FIELD_MANAGER_QUERY, **(more or {})}
        return await self._call(
            Request(
                method="PATCH", path=path, query=query, body=body, accept=accept, content_type=content_type
            )
        )

    async def list(
        self, path: str, convert: Callable[[JSONObject], T], *, selector: str = "", accept: str = JSON
    ) -> tuple[T, ...]:
        """All objects, or those with the labels of `selector`, as a consistent list in pages.

        Each is converted as soon as its page is there: of an object of a megabyte, little is kept. Each has
        its name, uid and resourceVersion; of METADATA_LIST, only what is used of the metadata.

        Raises:
            KubernetesError: a page could not be read; also what `convert` raises.
        """
        query = {"labelSelector": selector} if selector else {}
        request = Request(method="GET", path=path, query=query, accept=accept)
        found: list[T] = []
        size, following = self._page_sizes.pop(path, _PAGE), ""
        while True:
            try:
                items, following = await self._page(request, size, following, convert)
            except _LargeResponseError:
                if size == 1:
                    raise
                size = max(1, size // _SHRINKING)
                continue
            found += items
            if not following:
                break
        if size * 2 < _PAGE:
            self._page_sizes[path] = size * 2  # the next list finds out whether there still are large objects
        return tuple(found)

    async def _page(
        self, request: Request, size: int, following: str, convert: Callable[[JSONObject], T]
    ) -> tuple[tuple[T, ...], str]:
        """A page's objects, converted, and the token of the next page; raises _LargeResponseError."""
        query = {**request.query, "limit": str(size)} | ({"continue": following} if following else {})
        most = _PAGE_BYTES if size > 1 else _MAX_BYTES
        async with AsyncExitStack() as permits:
            page = await self._call_with(permits, replace(request, query=query), most)
            items = tuple(map(convert, items_of(page)))
            return items, (page.get("metadata") or {}).get("continue") or ""

    async def watch(self, path: str, version: str, needle: bytes) -> AsyncGenerator[JSONObject, None]:
        """The events of one watch until the server ends it; of objects, those whose text has `needle`.

        Without a version it begins with an event for each existing object. Other objects are not even parsed:
        most of a large cluster is none of the operator's business.

        Raises:
            KubernetesError: the watch was rejected, was interrupted, or its version has expired.
        """
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_SECONDS)}
        query |= {"resourceVersion": version} if version else {}
        async with aclosing(self._lines(Request(method="GET", path=path, query=query))) as lines:
            async for line in lines:
                if needle in line or any(kind in line[:_TYPE_LENGTH] for kind in _ALWAYS_PARSED):
                    yield watch_event(line)

    async def _lines(self, request: Request) -> AsyncGenerator[bytes, None]:
        client = self._client
        serialized = await prepared(client, request)
        try:
            with self._measured(request) as measured:
                async with asyncio.timeout(self._timeout):
                    response = await client.call_api(*serialized, _request_timeout=_WATCH_TIMEOUT)
                measured.status = response.status
            try:
                await self._check_watch(client, response)
                async for line in response.response.content:
                    yield line
            finally:
                response.response.close()
        except (aiohttp.ClientError, OSError, ApiException, ValueError) as error:
            raise KubernetesError(f"the watch was interrupted ({type(error).__name__})") from None

    async def _check_watch(self, client: ApiClient, response: RESTResponse) -> None:
        """Raise the error of a rejected watch; the next one has new credentials, if there are any."""
        try:
            if response.status != _OK:
                decoded(response.status, await response.read())  # type: ignore[no-untyped-call] # theirs
        except UnauthorizedError:
            self._client = await self._renewed(client)
            raise

    async def _call(self, request: Request) -> JSONObject:
        async with AsyncExitStack() as permits:
            return await self._call_with(permits, request, _MAX_BYTES)

    async def _call_with(self, permits: AsyncExitStack, request: Request, most: int) -> JSONObject:
        """The decoded response; while it is large, `permits` holds one of the permits for it.

        Raises:
            _LargeResponseError: it has more than `most` bytes.
            KubernetesError: any other error.
        """
        client = self._client
        try:
            return await self._send(permits, client, request, most)
        except UnauthorizedError:
            self._client = await self._renewed(client)
            if self._client is client:
                raise
        return await self._send(permits, self._client, request, most)

    async def _send(
        self, permits: AsyncExitStack, client: ApiClient, request: Request, most: int
    ) -> JSONObject:
        serialized = await prepared(client, request)
        try:
            with self._measured(request) as measured:
                async with asyncio.timeout(self._timeout):
                    response = await client.call_api(*serialized, _request_timeout=self._client_timeout)
                    measured.status = response.status
                    data = await self._read(permits, response.response, most)
        except (aiohttp.ClientError, OSError, ApiException) as error:
            raise UnknownOutcomeError(f"no response from the API server ({type(error).__name__})") from None
        except ValueError as error:  # a token or an address with characters that no request can have
            raise request_error(error) from None
        return decoded(response.status, data, request.accept)

    @contextmanager
    def _measured(self, request: Request) -> Iterator[_Measured]:
        """Count the request of the block when the block ends, with its seconds."""
        now = asyncio.get_running_loop().time
        measured, begun = _Measured(), now()
        try:
            yield measured
        finally:
            if self._metrics:
                code = CODES.get(measured.status, NO_RESPONSE)
                self._metrics.total.labels(request.verb, code).inc()
                self._metrics.seconds.labels(request.verb).observe(now() - begun)

    async def _read(self, permits: AsyncExitStack, response: aiohttp.ClientResponse, most: int) -> bytes:
        parts, size = [], 0
        try:
            async for part in response.content.iter_any():
                size += len(part)
                if size > most:
                    length = counted(most, "byte")
                    raise _LargeResponseError(f"the API server's response has more than {length}")
                if size > _LARGE >= size - len(part):
                    await permits.enter_async_context(self._large)
                parts.append(part)
        finally:
            response.close()  # its connection, if it was not read to the end
        return b"".join(parts)
