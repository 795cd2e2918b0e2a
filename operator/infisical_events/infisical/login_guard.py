"""What is known of credentials, for all subscriptions of the process.

Three refused logins within 30 s lock an identity out, whoever made them. So of subscriptions with the same
credentials one tries them for all until they are proven, and none tries them soon after a refusal.

No credentials are kept here: they are known by a digest whose key dies with the process.
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
"""Credentials that are remembered as proven; of one that is forgotten only one login is made at a time."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A failed login and the moment of the loop's clock until which it stands.

    The error was never raised: one that was has the frames that it came through, and keeps what they have.
    """

    error: LoginError
    until: float

    @classmethod
    def of(cls, error: LoginError, now: float) -> "Rejection":
        """As long as the error asks to wait, and up to half as long again, against a herd."""
        until = now + error.retry_after * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
        return cls(_copy_of(error), until)

    def raise_if_active(self, now: float) -> None:
        """Raise the error again while it stands; a new one, for it grows with each raise."""
        if now < self.until:
            raise _copy_of(self.error)


@dataclass(slots=True)
class _Attempt:
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    failure: LoginError | None = None


class LoginGuard:
    """Logins by a digest of the credentials (and the address) that they are made with."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        self._in_progress: dict[bytes, _Attempt] = {}
        self._rejections: dict[bytes, Rejection] = {}

    async def make(self, credentials: tuple[str, ...], login: Callable[[], Awaitable[T]]) -> T:
        """Log in, or share the failure of who tries just now.

        Raises:
            LoginError: the login failed, or one with these credentials did so lately.
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
        text = json.dumps(credentials).encode()  # unlike joined texts, no two tuples look the same
        return blake2b(text, key=self._key, digest_size=16).digest()

    def _record_success(self, digest: bytes) -> None:
        self._proven[digest] = None
        self._proven.move_to_end(digest)
        while len(self._proven) > MAX_PROVEN:
            self._proven.popitem(last=False)

    def _record_rejection(self, digest: bytes, error: LoginError) -> None:
        """Only what the error asks to wait for is remembered, and only that long."""
        now = _now()
        kept = {known: rejection for known, rejection in self._rejections.items() if now < rejection.until}
        self._rejections = kept | ({digest: Rejection.of(error, now)} if error.retry_after else {})
        self._proven.pop(digest, None)


def _copy_of(error: LoginError) -> LoginError:
    return LoginError(error.reason, str(error), error.retry_after)


def _now() -> float:
    return asyncio.get_running_loop().time()
