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

MOST_PROVEN = 4096
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
        self._under_way: dict[bytes, _Attempt] = {}
        self._refusals: dict[bytes, Rejection] = {}

    async def make(self, credentials: tuple[str, ...], login: Callable[[], Awaitable[T]]) -> T:
        """Log in, or share the failure of who tries just now.

        Raises:
            LoginError: the login failed, or one with these credentials did so lately.
        """
        known_by = self._digest(credentials)
        while known_by not in self._proven and (other := self._under_way.get(known_by)):
            await other.is_over.wait()
            if other.failure is not None:
                raise _copy_of(other.failure)
        if refusal := self._refusals.get(known_by):
            refusal.raise_if_active(_now())
        attempt = self._under_way[known_by] = _Attempt()
        try:
            done = await login()
        except LoginError as error:
            attempt.failure = _copy_of(error)
            self._refused(known_by, error)
            raise
        finally:
            attempt.is_over.set()
            if self._under_way.get(known_by) is attempt:
                del self._under_way[known_by]
        self._proved(known_by)
        return done

    def _digest(self, credentials: tuple[str, ...]) -> bytes:
        told = json.dumps(credentials).encode()  # unlike joined texts, no two tuples look the same
        return blake2b(told, key=self._key, digest_size=16).digest()

    def _proved(self, known_by: bytes) -> None:
        self._proven[known_by] = None
        self._proven.move_to_end(known_by)
        while len(self._proven) > MOST_PROVEN:
            self._proven.popitem(last=False)

    def _refused(self, known_by: bytes, error: LoginError) -> None:
        """Only what the error asks to wait for is remembered, and only that long."""
        now = _now()
        kept = {known: refusal for known, refusal in self._refusals.items() if now < refusal.until}
        self._refusals = kept | ({known_by: Rejection.of(error, now)} if error.retry_after else {})
        self._proven.pop(known_by, None)


def _copy_of(error: LoginError) -> LoginError:
    return LoginError(error.reason, str(error), error.retry_after)


def _now() -> float:
    return asyncio.get_running_loop().time()
