"""The key of the values' digests, for all subscriptions that observe values."""

import asyncio
from collections.abc import Awaitable, Callable

from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError

_FRESH = 60.0
"""Seconds after which the key is read again, so that a rotated one is taken up."""


class DigestKeys:
    """Reads the key when somebody needs it, once for all who need it at the same time."""

    def __init__(self, read: Callable[[], Awaitable[str]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._known: tuple[DigestKey, float] | None = None

    async def current(self) -> DigestKey:
        """The key as it was read a minute ago at most.

        Raises:
            InfisicalError: KUBERNETES_API_ERROR, the Secret can neither be read nor made.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._known is None or now >= self._known[1]:
                self._known = await self._read_key(), now + _FRESH
            return self._known[0]

    async def _read_key(self) -> DigestKey:
        """One that cannot be read again is used on: digests of it can be compared with those of before."""
        try:
            return DigestKey((await self._text()).encode())
        except InfisicalError:
            if self._known is None:
                raise
            return self._known[0]

    async def _text(self) -> str:
        try:
            return await self._read()
        except KubernetesError as error:
            sentence = f"The key of digests (--digest-key-secret) cannot be had: {error}."
            raise InfisicalError(Reason.KUBERNETES_API_ERROR, sentence) from None
