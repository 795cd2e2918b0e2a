"""Access tokens: logins, and for how long their tokens are used.

`authorized_client` has a valid token at any time by these. A new login replaces a token well before it
expires. Tokens are not renewed: on older servers, a renewal beyond the maximum lifetime of a token deletes
the token while it is still valid, and with the default settings (TTL = maximum TTL) every renewal does that.
A login costs one request and has no such side effect.

After a rejected login the next one waits: three failures within 30 s lock the identity out.
"""

import re
from collections.abc import Mapping
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
from infisical_events.infisical.shared_logins import HeldToken, Rejection, SharedLogins

_REJECTION_PAUSE = 60.0
"""Seconds before a rejected login is retried: twice the server's window for counting failures."""

_REREAD_PAUSE = 300.0
"""Seconds after which a Secret with a static token is read again."""

_TOKEN_TEXT = re.compile(r"[!-~]+")
"""The characters that a header can have after `Bearer `."""

_MAX_TOKEN_SECONDS = 86_400.0
"""Seconds after which a token is replaced, even if it is valid for longer."""


class TokenProvider:
    """Logs in with the credentials of one subscription; waits after a rejected login."""

    def __init__(
        self, client: httpx.AsyncClient, credentials: CredentialsSource, shared_logins: SharedLogins
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._shared_logins = shared_logins
        self._rejection: Rejection | None = None

    async def new_token(self, now: float) -> HeldToken:
        """The token of a new login.

        Raises:
            LoginError: the credentials cannot be read or are rejected.
        """
        if self._rejection is not None:
            self._rejection.raise_if_active(now)
        try:
            token = await self._log_in(await self._credentials(), now)
        except LoginError as error:
            self._rejection = Rejection.of(error, now)
            raise
        self._rejection = None
        return token

    def drop(self, token: HeldToken) -> None:
        """Share a token no more that the server rejected."""
        self._shared_logins.drop(token)

    async def _log_in(self, credentials: Credentials, now: float) -> HeldToken:
        if isinstance(credentials, AccessToken):
            return _static_token(credentials.token, now)
        shared = (str(self._client.base_url), *_identity(credentials))
        return await self._shared_logins.token(shared, lambda: _login(self._client, credentials, now))


def _identity(credentials: UniversalCredentials | KubernetesCredentials) -> tuple[str, ...]:
    """What two subscriptions have in common if they may use one token.

    The tokens of a ServiceAccount differ with each request; whoever may have one may have the other.
    """
    if isinstance(credentials, UniversalCredentials):
        return "universal", credentials.client_id, credentials.client_secret
    return "kubernetes", credentials.identity_id, credentials.account, *credentials.audiences


async def _login(
    client: httpx.AsyncClient, credentials: UniversalCredentials | KubernetesCredentials, now: float
) -> HeldToken:
    method, body = _login_request(credentials)
    try:
        response = await request_json(client, "POST", f"/api/v1/auth/{method}/login", json=body)
    except InfisicalError as error:
        raise _login_error(error, method, credentials) from None
    return _token_from(response, now)


def _static_token(token: str, now: float) -> HeldToken:
    if not _TOKEN_TEXT.fullmatch(token):
        sentence = "The access token has invalid characters: check the content of the Secret."
        raise LoginError(Reason.CREDENTIALS_REJECTED, sentence)
    return HeldToken(token, now + _REREAD_PAUSE)


def _login_request(
    credentials: UniversalCredentials | KubernetesCredentials,
) -> tuple[str, Mapping[str, str]]:
    if isinstance(credentials, UniversalCredentials):
        return "universal-auth", {
            "clientId": credentials.client_id,
            "clientSecret": credentials.client_secret,
        }
    return "kubernetes-auth", {"identityId": credentials.identity_id, "jwt": credentials.jwt}


def _login_error(error: InfisicalError, method: str, credentials: Credentials) -> LoginError:
    """The error of a login: after a rejection (400, 401, 403, 404, 422) with a wait, else as it is."""
    if error.reason in _REJECTIONS:
        advice = "check the credentials, and in Infisical whether the identity is locked out"
        if isinstance(credentials, KubernetesCredentials):
            advice += f", and whether its Allowed Audience is {' or '.join(credentials.audiences)}"
        sentence = f"Infisical rejected the {method} login{error.quote}: {advice}."
        return LoginError(Reason.CREDENTIALS_REJECTED, sentence, _REJECTION_PAUSE)
    return LoginError(error.reason, str(error), error.retry_after)


_REJECTIONS = {
    Reason.TOKEN_REJECTED,
    Reason.PERMISSION_DENIED,
    Reason.REQUEST_REJECTED,
    Reason.PROJECT_NOT_FOUND,  # for a login: the identity does not exist, or does not have this method
}


def _token_from(response: Any, now: float) -> HeldToken:  # noqa: ANN401 - JSON
    try:
        text, seconds = response["accessToken"], float(response.get("expiresIn") or 0)
        is_token = _TOKEN_TEXT.fullmatch(text) is not None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        is_token = False
    if not is_token:
        raise LoginError(
            Reason.UNEXPECTED_RESPONSE,
            "The login response has no access token: check spec.address.",
            _REJECTION_PAUSE,
        )
    # expiresIn 0 means that the token never expires. A third of its lifetime is left as a reserve.
    life = min(seconds * 2 / 3, _MAX_TOKEN_SECONDS) if seconds > 0 else _MAX_TOKEN_SECONDS
    return HeldToken(text, now + life)
