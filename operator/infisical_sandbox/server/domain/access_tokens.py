"""Access tokens: claims, expiry, and renewal by the rules of each generation.

Older servers read a database row at each use of a token; newer ones trust the signed claims and store
revocation markers. This server has one record per token; the rules below are the differences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jwt

from infisical_sandbox.server.domain import api_errors, projects
from infisical_sandbox.server.domain.records import AccessToken

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.generations import Generation
    from infisical_sandbox.server.domain.records import Identity, TokenSettings

ALGORITHM = "HS256"
MAX_AGE = 7_776_000
"""Maximum lifetime in seconds of a token without renewal, on newer servers."""
_PERIODIC_MAX_TTL = 1_000_000_000
_EXPIRED = "Your token has expired. Please re-authenticate."


@dataclass(frozen=True, slots=True)
class Grant:
    """The four fields of a login or renewal answer (seconds)."""

    token: str
    expires_in: int
    max_ttl: int

    def as_json(self) -> dict[str, object]:
        """The answer's body."""
        return {
            "accessToken": self.token,
            "expiresIn": self.expires_in,
            "accessTokenMaxTTL": self.max_ttl,
            "tokenType": "Bearer",
        }


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signs and verifies tokens with one key and the rules of one generation."""

    store: Store
    key: str
    generation: Generation

    def issue(
        self,
        identity: Identity,
        method: str,
        settings: TokenSettings,
        now: float,
        client_secret_id: str = "",
    ) -> Grant:
        """A new token for a login."""
        row = AccessToken(
            projects.new_id(), identity.id, method, settings, now, client_secret_id=client_secret_id
        )
        self.store.tokens.put(row)
        return self._sign(row, self._first_ttl(settings), now)

    def verify(self, token: str, now: float) -> AccessToken:
        """Return the record of a valid token; uses it once if its uses are limited.

        Raises: 403 `TokenError` for expiry and forgery, 401 for revocation and used-up tokens.
        """
        row = self._usable(self._decode(token, now), now)
        limit = row.settings.uses_limit
        if limit and row.uses >= limit:
            raise api_errors.unauthorized("Unable to authenticate: access token usage limit reached")
        return self.store.tokens.put(replace(row, uses=row.uses + 1)) if limit else row

    def renew(self, token: str, now: float) -> Grant:
        """The token with a later expiry, within its maximum lifetime."""
        row = self._usable(self._decode(token, now), now)
        if row.settings.period:
            ttl = row.settings.period
        elif self.generation.self_contained_tokens:
            ttl = self._remaining(row, now)
        else:
            ttl = self._extended(row, now)
        return self._sign(self.store.tokens.put(replace(row, renewed_at=now)), ttl, now)

    def revoke(self, token: str, now: float) -> None:
        """Revoke the token and all its renewals."""
        self._forget(self._usable(self._decode(token, now), now))

    def _first_ttl(self, settings: TokenSettings) -> int:
        ttl = settings.period or settings.ttl
        if not self.generation.self_contained_tokens:
            return ttl
        bounds = [value for value in (ttl, settings.max_ttl, MAX_AGE) if value]
        return ttl if settings.period else min(bounds)

    def _remaining(self, row: AccessToken, now: float) -> int:
        """Newer servers shorten the last renewals and reject one only when no time is left."""
        budget = row.created_at + row.settings.max_ttl - now if row.settings.max_ttl else MAX_AGE
        if budget < 1:
            raise api_errors.unauthorized("Cannot renew: access token has reached its max TTL")
        return min(row.settings.ttl or MAX_AGE, int(budget), MAX_AGE)

    def _extended(self, row: AccessToken, now: float) -> int:
        """Older servers reject the renewal and delete the token if a full TTL does not fit."""
        ttl, max_ttl = row.settings.ttl, row.settings.max_ttl
        if max_ttl and now + ttl > row.created_at + max_ttl:
            self.store.tokens.remove(row.id)
            raise api_errors.unauthorized("Failed to renew MI access token due to Max TTL expiration")
        return ttl

    def _sign(self, row: AccessToken, ttl: int, now: float) -> Grant:
        claims: dict[str, object] = {
            "identityId": row.identity_id,
            "identityAccessTokenId": row.id,
            "clientSecretId": row.client_secret_id,
            "authTokenType": "identityAccessToken",
            "iat": int(now),
        }
        if ttl:
            claims["exp"] = now + ttl
        max_ttl = row.settings.max_ttl
        if row.settings.period and not self.generation.self_contained_tokens:
            max_ttl = _PERIODIC_MAX_TTL
        return Grant(jwt.encode(claims, self.key, ALGORITHM), ttl, max_ttl)

    def _decode(self, token: str, now: float) -> dict[str, object]:
        try:
            options: jwt.types.Options = {"verify_exp": False, "verify_iat": False}
            claims: dict[str, object] = jwt.decode(token, self.key, algorithms=[ALGORITHM], options=options)
        except jwt.InvalidAlgorithmError as error:
            raise api_errors.bad_token(
                "The access token is signed with an invalid algorithm. "
                "Please provide a valid token and try again."
            ) from error
        except jwt.InvalidSignatureError as error:
            raise api_errors.bad_token("invalid signature") from error
        except jwt.InvalidTokenError as error:
            raise api_errors.bad_token(
                "The provided access token is malformed. "
                "Please use a valid token or generate a new one and try again."
            ) from error
        if now >= float(str(claims.get("exp", "inf"))):
            raise api_errors.bad_token(_EXPIRED)
        return claims

    def _usable(self, claims: dict[str, object], now: float) -> AccessToken:
        row = self.store.tokens.get(str(claims.get("identityAccessTokenId")))
        if row is None or row.revoked:
            raise api_errors.unauthorized(self._revoked_message())
        if row.expired:
            raise api_errors.bad_token(_EXPIRED)
        ttl = row.settings.period or row.settings.ttl
        limited = ttl and not self.generation.self_contained_tokens
        if limited and now > (row.renewed_at or row.created_at) + ttl:
            raise api_errors.unauthorized("Failed to renew MI access token due to TTL expiration")
        return row

    def _forget(self, row: AccessToken) -> None:
        if self.generation.self_contained_tokens:
            self.store.tokens.put(replace(row, revoked=True))
        else:
            self.store.tokens.remove(row.id)

    def _revoked_message(self) -> str:
        if self.generation.self_contained_tokens:
            return "Failed to authorize: token has been revoked"
        return "No identity access token found"
