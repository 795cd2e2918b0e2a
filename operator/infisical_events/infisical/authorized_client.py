"""Requests with the access token; a rejected token is replaced once."""

from collections.abc import Mapping
from typing import Any

import httpx

from infisical_events.infisical.http_client import send
from infisical_events.infisical.infisical_errors import TokenRejectedError
from infisical_events.infisical.responses import Response
from infisical_events.infisical.tokens import TokenProvider


class AuthorizedClient:
    """An HTTP client and its token provider."""

    def __init__(self, client: httpx.AsyncClient, tokens: TokenProvider) -> None:
        self.http = client
        self.tokens = tokens

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
        token = await self.tokens.current()
        try:
            return await send(self.http, method, path, headers={**headers, **bearer(token)}, **arguments)
        except TokenRejectedError:
            self.tokens.invalidate(token)
            raise


def bearer(token: str) -> dict[str, str]:
    """The Authorization header with a token."""
    return {"Authorization": f"Bearer {token}"}
