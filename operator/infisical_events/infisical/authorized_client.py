"""Requests that carry the access token; a token that is refused is replaced once."""

from collections.abc import Mapping
from typing import Any

import httpx

from infisical_events.infisical.http_client import send
from infisical_events.infisical.infisical_errors import TokenRejectedError
from infisical_events.infisical.responses import Response
from infisical_events.infisical.tokens import TokenProvider


class AuthorizedClient:
    """A client and the tokens it uses."""

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
        """Send with the current token; log in anew and send again when it is refused.

        Raises:
            InfisicalError: as `calls.send`, and LoginError when no token can be had.
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
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
