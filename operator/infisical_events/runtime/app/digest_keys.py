"""A cache of the key of the value digests, for all subscriptions with `observe: Values`."""

import asyncio
from collections.abc import Awaitable, Callable

from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError

_MAX_AGE = 60.0
"""Seconds after which the key is read again, so that a rotated key is used."""


class DigestKeys:
    """Reads the key on demand, once for all subscriptions that need it at the same time."""

    def __init__(self, read: Callable[[], Awaitable[str]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._known: tuple[DigestKey, float] | None = None

    async def current(self) -> DigestKey:
        """The key, read at most a minute ago.

        Raises:
            InfisicalError: KUBERNETES_API_ERROR, the Secret can be neither read nor created.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._known is None or now >= self._known[1]:
                self._known = await self._read_key(), now + _MAX_AGE
            return self._known[0]

    async def _read_key(self) -> DigestKey:
        """The known key stays in use when it cannot be read again: its digests can still be compared."""
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
            sentence = (
                f"Cannot read or create the Secret of the digest key (--digest-key-secret): {error}. "
                'Create it: kubectl create secret generic NAME --from-literal=key="$(openssl rand -hex 32)".'
            )
            raise InfisicalError(Reason.KUBERNETES_API_ERROR, sentence) from None
