"""One login per address and identity: its token, or its rejection, is shared by all subscriptions.

Three rejected logins within 30 s lock an identity out. So among subscriptions with the same credentials, only
one logs in at a time, the others use its token, and none logs in soon after a rejection.

Credentials are not stored here: they are identified by a keyed digest whose key exists only in memory. A
token is stored for as long as a subscription uses it.
"""

import asyncio
import json
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from weakref import WeakValueDictionary

from infisical_events.infisical.infisical_errors import LoginError


@dataclass(frozen=True, slots=True, weakref_slot=True)
class HeldToken:
    """A token, and when it is to be replaced, on the event loop's clock."""

    text: str = field(repr=False)
    replace_at: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """A failed login and the time, on the event loop's clock, until which it is active.

    The stored error was never raised: a raised one references its frames, and all that these reference.
    """

    error: LoginError
    until: float

    @classmethod
    def of(cls, error: LoginError, now: float) -> "Rejection":
        """Active for as long as the error demands, plus up to half of that as jitter."""
        until = now + error.retry_after * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
        return cls(_copy_of(error), until)

    def raise_if_active(self, now: float) -> None:
        """Raise a copy of the error while it is active; its traceback would grow with each raise."""
        if now < self.until:
            raise _copy_of(self.error)


@dataclass(slots=True)
class _Attempt:
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    failure: LoginError | None = None


class SharedLogins:
    """Logins by a digest of their address and credentials."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._tokens: WeakValueDictionary[bytes, HeldToken] = WeakValueDictionary()
        self._in_progress: dict[bytes, _Attempt] = {}
        self._rejections: dict[bytes, Rejection] = {}

    async def token(
        self, credentials: tuple[str, ...], login: Callable[[], Awaitable[HeldToken]]
    ) -> HeldToken:
        """The token of another subscription with these credentials, or else of a new login.

        A login that is in progress is waited for, and its failure shared.

        Raises:
            LoginError: the login failed, or a recent one with these credentials was rejected.
        """
        digest = self._digest(credentials)
        while other := self._in_progress.get(digest):
            await other.is_over.wait()
            if other.failure is not None:
                raise _copy_of(other.failure)
        if (held := self._tokens.get(digest)) and _now() < held.replace_at:
            return held
        if rejection := self._rejections.get(digest):
            rejection.raise_if_active(_now())
        attempt = self._in_progress[digest] = _Attempt()
        try:
            token = self._tokens[digest] = await login()
        except LoginError as error:
            attempt.failure = _copy_of(error)
            self._record_rejection(digest, error)
            raise
        finally:
            del self._in_progress[digest]
            attempt.is_over.set()
        return token

    def drop(self, token: HeldToken) -> None:
        """Share a token no more that the server rejected: the next login is made.

        All who used it find it rejected; only the first of them drops it, the others get the next one.
        """
        for digest in [digest for digest, held in self._tokens.items() if held is token]:
            del self._tokens[digest]

    def _digest(self, credentials: tuple[str, ...]) -> bytes:
        text = json.dumps(credentials).encode()  # unlike joined text, this is unique for each tuple
        return blake2b(text, key=self._key, digest_size=16).digest()

    def _record_rejection(self, digest: bytes, error: LoginError) -> None:
        """Store the error if it demands a wait, for that time; remove expired ones."""
        now = _now()
        kept = {known: rejection for known, rejection in self._rejections.items() if now < rejection.until}
        self._rejections = kept | ({digest: Rejection.of(error, now)} if error.retry_after else {})


def _copy_of(error: LoginError) -> LoginError:
    return LoginError(error.reason, str(error), error.retry_after)


def _now() -> float:
    return asyncio.get_running_loop().time()
