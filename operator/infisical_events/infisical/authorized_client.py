"""Requests with the access token: there is a valid one at any time, and a rejected one is replaced once."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from infisical_events.infisical.http_client import send
from infisical_events.infisical.infisical_errors import TokenRejectedError
from infisical_events.infisical.responses import Response
from infisical_events.infisical.shared_logins import HeldToken
from infisical_events.infisical.tokens import TokenProvider


class AuthorizedClient:
    """HTTP clients and their access token; logs in when necessary, once for all concurrent requests.

    `streams` is the client for streams, by default that for requests.
    """

    def __init__(
        self, client: httpx.AsyncClient, tokens: TokenProvider, streams: httpx.AsyncClient | None = None
    ) -> None:
        self.streams = streams or client
        self._client = client
        self._tokens = tokens
        self._token: HeldToken | None = None
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A token with a good part of its lifetime left.

        Raises:
            LoginError: the credentials cannot be read or are rejected.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._token is None or now >= self._token.replace_at:
                self._token = await self._tokens.new_token(now)
            return self._token.text

    def invalidate(self, token: str) -> None:
        """Drop a token that the server rejected: the next request logs in again."""
        if self._token is not None and self._token.text == token:
            self._tokens.drop(self._token)
            self._token = None

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **arguments: Any,  # noqa: ANN401
    ) -> Response:
        """Send with the current token; if it is rejected, log in again and send once more.

        Raises:
            InfisicalError: as in `http_client.send`; LoginError if there is no token.
        """
        try:
            return await self._send_once(method, path, headers or {}, arguments)
        except TokenRejectedError:
            return await self._send_once(method, path, headers or {}, arguments)

    async def _send_once(
        self, method: str, path: str, headers: Mapping[str, str], arguments: Mapping[str, Any]
    ) -> Response:
        token = await self.token()
        try:
            return await send(self._client, method, path, headers={**headers, **bearer(token)}, **arguments)
        except TokenRejectedError:
            self.invalidate(token)
            raise


def bearer(token: str) -> dict[str, str]:
    """The Authorization header with a token."""
    return {"Authorization": f"Bearer {token}"}
