"""Protection against lock-outs: the results of logins, shared by all subscriptions of the process.

Three rejected logins within 30 s lock an identity out. So among subscriptions with the same credentials, only
one logs in until these are proven, and none logs in soon after a rejection.

Credentials are not stored here: they are identified by a keyed digest whose key exists only in memory.
"""

import asyncio
import json
import random
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeVar

from infisical_events.infisical.infisical_errors import LoginError

T = TypeVar("T")

MAX_PROVEN = 4096
"""Number of credentials that are stored as proven; others are limited to one login at a time."""


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


class LoginGuard:
    """Logins by a digest of their credentials and address."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        self._in_progress: dict[bytes, _Attempt] = {}
        self._rejections: dict[bytes, Rejection] = {}

    async def make(self, credentials: tuple[str, ...], login: Callable[[], Awaitable[T]]) -> T:
        """Log in, or share the failure of a concurrent login with the same credentials.

        Raises:
            LoginError: the login failed, or a recent one with these credentials was rejected.
        """
        digest = self._digest(credentials)
        while digest not in self._proven and (other := self._in_progress.get(digest)):
            await other.is_over.wait()
            if other.failure is not None:
                raise _copy_of(other.failure)
        if rejection := self._rejections.get(digest):
            rejection.raise_if_active(_now())
        attempt = self._in_progress[digest] = _Attempt()
        try:
            result = await login()
        except LoginError as error:
            attempt.failure = _copy_of(error)
            self._record_rejection(digest, error)
            raise
        finally:
            attempt.is_over.set()
            if self._in_progress.get(digest) is attempt:
                del self._in_progress[digest]
        self._record_success(digest)
        return result

    def _digest(self, credentials: tuple[str, ...]) -> bytes:
        text = json.dumps(credentials).encode()  # unlike joined text, this is unique for each tuple
        return blake2b(text, key=self._key, digest_size=16).digest()

    def _record_success(self, digest: bytes) -> None:
        self._proven[digest] = None
        self._proven.move_to_end(digest)
        while len(self._proven) > MAX_PROVEN:
            self._proven.popitem(last=False)

    def _record_rejection(self, digest: bytes, error: LoginError) -> None:
        """Store the error if it demands a wait, for that time; remove expired ones."""
        now = _now()
        kept = {known: rejection for known, rejection in self._rejections.items() if now < rejection.until}
        self._rejections = kept | ({digest: Rejection.of(error, now)} if error.retry_after else {})
        self._proven.pop(digest, None)


def _copy_of(error: LoginError) -> LoginError:
    return LoginError(error.reason, str(error), error.retry_after)


def _now() -> float:
    return asyncio.get_running_loop().time()
