"""An HTTPS proxy before the API server, for faults that depend on the request.

It serves with the API server's own certificate. It connects as the administrator, like the operator
of these tests.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

import aiohttp
import yarl
from aiohttp import web

from e2e.faults.fault_proxy import LoopThread

_HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}
_GONE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to requests that match `METHOD` and a shell pattern over the path.

    With a `status` the request does not reach the API server. With `is_lost` the API server processes the
    request and the connection ends without a response. With `is_gone` a watch ends with error 410.
    """

    method: str
    path: str
    status: int | None = None
    retry_after: int | None = None
    is_lost: bool = False
    is_gone: bool = False

    def matches(self, request: web.Request) -> bool:
        """Whether the rule applies to a request."""
        is_kind = not self.is_gone or "watch" in request.query
        return is_kind and self.method in {request.method, "*"} and fnmatchcase(request.path, self.path)


class Interceptor:
    """The proxy. `rules` may be replaced at any moment; the first rule that matches applies."""

    def __init__(self, loop: LoopThread, upstream: int, certificates: Path) -> None:
        self.rules: tuple[Rule, ...] = ()
        self.port = 0
        self.affected = 0
        self._loop = loop
        self._upstream = f"https://127.0.0.1:{upstream}"
        self._certificates = certificates
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._watches: set[asyncio.BaseTransport] = set()

    def __enter__(self) -> Self:
        self._loop.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._stop())

    def end_watches(self) -> None:
        """Abort the connections of all open watches."""
        self._loop.call(lambda: [_abort(transport) for transport in tuple(self._watches)])

    async def _start(self) -> None:
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(self._certificates / "server.crt", self._certificates / "server.key")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_client_context(self._certificates), limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=serving).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._session:
            await self._session.close()
        if self._runner:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        rule = next((rule for rule in self.rules if rule.matches(request)), None)
        body = await request.read()
        self.affected += rule is not None
        if rule and rule.is_gone:
            return web.json_response({"type": "ERROR", "object": _GONE})
        if rule and rule.status:
            return _error_response(rule.status, rule.retry_after)
        try:
            async with self._forwarded(request, body) as answer:
                return await self._passed_on(request, answer, is_lost=bool(rule and rule.is_lost))
        except (aiohttp.ClientError, OSError):
            _abort(request.transport)
            return web.Response(status=502)

    @asynccontextmanager
    async def _forwarded(self, request: web.Request, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = yarl.URL(self._upstream + request.raw_path, encoded=True)
        if self._session is None:
            raise RuntimeError("not started")
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            yield answer

    async def _passed_on(
        self, request: web.Request, answer: aiohttp.ClientResponse, *, is_lost: bool
    ) -> web.StreamResponse:
        if is_lost:
            await answer.read()
            _abort(request.transport)
            return web.Response(status=502)
        given = {name: text for name, text in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=given)
        transport = request.transport
        if "watch" in request.query and transport is not None:
            self._watches.add(transport)
        try:
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
        finally:
            self._watches.discard(transport)
        return response


def _client_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
    return context


def _error_response(status: int, retry_after: int | None) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "chaos", "code": status}
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(
        status=status, headers=headers, text=json.dumps(body), content_type="application/json"
    )


def _abort(transport: asyncio.BaseTransport | None) -> None:
    if isinstance(transport, asyncio.Transport):
        transport.abort()
