"""What is known of credentials, for all subscriptions of the process.

Three refused logins within 30 s lock an identity out, whoever made them. So of subscriptions with the same
credentials one tries them for all until they are proven, and none tries them soon after a refusal.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from infisical_events.infisical.errors import LoginError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed login and the moment of the loop's clock until which it stands."""

    error: LoginError
    until: float

    @classmethod
    def of(cls, error: LoginError, now: float) -> "Refusal":
        """As long as the error asks to wait, and up to half as long again, against a herd."""
        return cls(error, now + error.retry_after * random.uniform(1.0, 1.5))  # noqa: S311 - jitter

    def stand(self, now: float) -> None:
        """Raise the error again while it stands; a new one, for it grows with each raise."""
        if now < self.until:
            raise _again(self.error)


@dataclass(slots=True)
class _Attempt:
    over: asyncio.Event = field(default_factory=asyncio.Event)
    failure: LoginError | None = None


class Attempts:
    """Logins by the credentials (and the address) that they are made with."""

    def __init__(self) -> None:
        self._proven: set[Hashable] = set()
        self._under_way: dict[Hashable, _Attempt] = {}
        self._refusals: dict[Hashable, Refusal] = {}

    async def make(self, credentials: Hashable, login: Callable[[], Awaitable[T]]) -> T:
        """Log in, or share the failure of who tries just now.

        Raises:
            LoginError: the login failed, or one with these credentials did so lately.
        """
        while credentials not in self._proven and (other := self._under_way.get(credentials)):
            await other.over.wait()
            if other.failure is not None:
                raise _again(other.failure)
        if refusal := self._refusals.get(credentials):
            refusal.stand(_now())
        attempt = self._under_way[credentials] = _Attempt()
        try:
            done = await login()
        except LoginError as error:
            attempt.failure = error
            self._refused(credentials, error)
            raise
        finally:
            attempt.over.set()
            if self._under_way.get(credentials) is attempt:
                del self._under_way[credentials]
        self._proven.add(credentials)
        return done

    def _refused(self, credentials: Hashable, error: LoginError) -> None:
        """Only what the error asks to wait for is remembered, and only that long."""
        now = _now()
        kept = {known: refusal for known, refusal in self._refusals.items() if now < refusal.until}
        self._refusals = kept | ({credentials: Refusal.of(error, now)} if error.retry_after else {})
        self._proven.discard(credentials)


def _again(error: LoginError) -> LoginError:
    return LoginError(error.reason, str(error), error.retry_after)


def _now() -> float:
    return asyncio.get_running_loop().time()
