"""A valid access token, whenever one is asked for.

A token is replaced by a fresh login well before it ends. It is not renewed: on older servers a
renewal that would pass the token's maximal life deletes the token that is still valid, and with the
default settings (life = maximal life) every renewal does. A login costs one request and has no trap.

A refused login is not tried again for a while: three failures within 30 s lock the identity out.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from infisical_events.core.credentials import (
    AccessToken,
    Credentials,
    CredentialsSource,
    KubernetesCredentials,
    UniversalCredentials,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.http_client import request_json
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from infisical_events.infisical.login_guard import LoginGuard, Rejection

_REJECTION_PAUSE = 60.0
"""Seconds before a refused login is tried again: twice the server's window for counting failures."""

_REREAD_PAUSE = 300.0
"""Seconds after which a Secret with a token made by hand is read again."""

_TOKEN = re.compile(r"[!-~]+")
"""What can stand in a header behind `Bearer `."""

_LONGEST_USE = 86_400.0
"""Seconds after which a token is replaced even though it may live longer."""


@dataclass(frozen=True, slots=True)
class _HeldToken:
    text: str = field(repr=False)
    replace_at: float


class TokenProvider:
    """Logs in when needed, once for all who wait; never logs in with refused credentials at once."""

    def __init__(
        self, client: httpx.AsyncClient, credentials: CredentialsSource, attempts: LoginGuard
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._attempts = attempts
        self._token: _HeldToken | None = None
        self._refusal: Rejection | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> str:
        """A token that has a good part of its life before it.

        Raises:
            LoginError: the credentials cannot be read or were refused.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._token is None or now >= self._token.replace_at:
                self._token = await self._replaced(now)
            return self._token.text

    def invalidate(self, token: str) -> None:
        """Take note that the server does not accept this token: the next call logs in anew."""
        if self._token is not None and self._token.text == token:
            self._token = None

    async def _replaced(self, now: float) -> _HeldToken:
        if self._refusal is not None:
            self._refusal.raise_if_active(now)
        try:
            token = await self._logged_in(await self._credentials(), now)
        except LoginError as error:
            self._refusal = Rejection.of(error, now)
            raise
        self._refusal = None
        return token

    async def _logged_in(self, credentials: Credentials, now: float) -> _HeldToken:
        """Wrong client secrets lock their identity out, so what is known of them is shared."""
        if not isinstance(credentials, UniversalCredentials):
            return await _login(self._client, credentials, now)
        shared = (str(self._client.base_url), credentials.client_id, credentials.client_secret)
        return await self._attempts.make(shared, lambda: _login(self._client, credentials, now))


async def _login(client: httpx.AsyncClient, credentials: Credentials, now: float) -> _HeldToken:
    if isinstance(credentials, AccessToken):
        return _by_hand(credentials.token, now)
    method, body = _login_request(credentials)
    try:
        answer = await request_json(client, "POST", f"/api/v1/auth/{method}/login", json=body)
    except InfisicalError as error:
        raise _login_error(error, method) from None
    return _accepted(answer, now)


def _by_hand(token: str, now: float) -> _HeldToken:
    if not _TOKEN.fullmatch(token):
        sentence = "The access token has characters that no token has: check what the Secret holds."
        raise LoginError(Reason.CREDENTIALS_REJECTED, sentence)
    return _HeldToken(token, now + _REREAD_PAUSE)


def _login_request(
    credentials: UniversalCredentials | KubernetesCredentials,
) -> tuple[str, Mapping[str, str]]:
    if isinstance(credentials, UniversalCredentials):
        return "universal-auth", {
            "clientId": credentials.client_id,
            "clientSecret": credentials.client_secret,
        }
    return "kubernetes-auth", {"identityId": credentials.identity_id, "jwt": credentials.jwt}


def _login_error(error: InfisicalError, method: str) -> LoginError:
    """A refusal (401 in all its meanings, 400, 403, 404, 422) waits; a failure of the way is passed on."""
    if error.reason in _REFUSALS:
        advice = "check the credentials, and in Infisical whether the identity is locked out"
        sentence = f"Infisical refused the {method} login{error.quote}: {advice}."
        return LoginError(Reason.CREDENTIALS_REJECTED, sentence, _REJECTION_PAUSE)
    return LoginError(error.reason, str(error), error.retry_after)


_REFUSALS = {
    Reason.TOKEN_REJECTED,
    Reason.PERMISSION_DENIED,
    Reason.REQUEST_REJECTED,
    Reason.PROJECT_NOT_FOUND,  # of a login: no such identity, or not with this method
}


def _accepted(answer: Any, now: float) -> _HeldToken:  # noqa: ANN401 - JSON
    try:
        text, seconds = answer["accessToken"], float(answer.get("expiresIn") or 0)
        is_token = _TOKEN.fullmatch(text) is not None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        is_token = False
    if not is_token:
        raise LoginError(
            Reason.UNEXPECTED_RESPONSE,
            "The login's answer has no token: check spec.address.",
            _REJECTION_PAUSE,
        )
    # expiresIn 0 means that the token never ends. A third of its life is left for trouble.
    life = min(seconds * 2 / 3, _LONGEST_USE) if seconds > 0 else _LONGEST_USE
    return _HeldToken(text, now + life)
