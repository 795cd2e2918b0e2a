"""Waits that a server demands by Retry-After, for everything that this process sends to its address.

A rate limit counts the requests of a client's IP address, whoever sends them. So one response delays the
lists, value reads, logins and subscribes of all subscriptions with this address. Only a response of that
server begins a wait, so a subscription delays others only by requests to the same server.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.error_responses import retry_after
from infisical_events.infisical.infisical_errors import InfisicalError

_REASONS: Mapping[int, Reason] = {429: Reason.RATE_LIMITED, 503: Reason.SERVER_ERROR}
"""The statuses whose Retry-After is about the server and not about one request."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """No request is sent before `until`, on the event loop's clock."""

    until: float
    reason: Reason

    def error(self, now: float) -> InfisicalError:
        sentence = (
            "The server demanded a wait (Retry-After), so no request is sent to its address: merge "
            "subscriptions or raise resyncIntervalSeconds if this lasts."
        )
        return InfisicalError(self.reason, sentence, retry_after=self.until - now)


class AddressBackoffs:
    """The waits by origin (scheme, host and port), shared by all sessions of the process."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}

    def check(self, url: httpx.URL) -> None:
        """Raise InfisicalError, with the rest of the wait, while the origin of the URL is not to be asked."""
        wait, now = self._waits.get(_origin(url)), _now()
        if wait is not None and now < wait.until:
            raise wait.error(now)

    def record(self, url: httpx.URL, status: int, headers: Mapping[str, str]) -> None:
        """Begin a wait if this response demands one; a longer one stays. Ended waits are removed."""
        reason = _REASONS.get(status)
        if reason is None or not (seconds := retry_after(headers)):
            return
        now = _now()
        waits = {origin: wait for origin, wait in self._waits.items() if now < wait.until}
        known = waits.get(_origin(url))
        if known is None or known.until < now + seconds:
            waits[_origin(url)] = _Wait(now + seconds, reason)
        self._waits = waits


class BackoffTransport(httpx.AsyncBaseTransport):
    """A transport that sends nothing to an address while it is to wait."""

    def __init__(self, transport: httpx.AsyncBaseTransport, backoffs: AddressBackoffs) -> None:
        self._transport = transport
        self._backoffs = backoffs

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; raises InfisicalError instead while its address is to wait."""
        self._backoffs.check(request.url)
        response = await self._transport.handle_async_request(request)
        self._backoffs.record(request.url, response.status_code, response.headers)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def _origin(url: httpx.URL) -> str:
    """`https://app.infisical.com:443`; a URL has its host in lower case."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return f"{url.scheme}://{url.host}:{port}"


def _now() -> float:
    return asyncio.get_running_loop().time()
