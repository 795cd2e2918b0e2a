"""Kinds of other projects, whose CRDs may be installed or removed, or break, at any time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from infisical_events.api.resources import ResourceKind
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import path_of
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError

Kind = TypeVar("Kind", bound=ResourceKind)
T = TypeVar("T")

_CACHE_SECONDS = 30.0
"""Seconds for which a response is cached: a namespace without such objects costs few requests."""


@dataclass(frozen=True, slots=True)
class _CachedKind:
    kind: ResourceKind | None
    until: float


class Discovery:
    """The API groups of other projects."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube
        self._cache: dict[ResourceKind, _CachedKind] = {}

    async def has(self, kind: ResourceKind) -> bool:
        """Whether the API server serves the kind in this version; raises KubernetesError."""
        return await self.served(kind) == kind

    async def served(self, kind: ResourceKind) -> ResourceKind | None:
        """The kind in this version, or else in the one that the API server prefers; raises KubernetesError.

        It reads the discovery API, because a 404 for a list may also come from a proxy.
        """
        now = asyncio.get_running_loop().time()
        cached = self._cache.get(kind)
        if cached is None or cached.until <= now:
            cached = self._cache[kind] = _CachedKind(await self._served(kind), now + _CACHE_SECONDS)
        return cached.kind

    async def _served(self, kind: ResourceKind) -> ResourceKind | None:
        if await self._is_served(kind):
            return kind
        for version in await self._other_versions(kind):
            other = replace(kind, version=version)
            if await self._is_served(other):
                return other
        return None

    async def _is_served(self, kind: ResourceKind) -> bool:
        try:
            found = await self._kube.get_shared(path_of("apis", kind.group, kind.version))
        except NotFoundError:
            return False
        return any(entry.get("name") == kind.plural for entry in found.get("resources") or ())

    async def _other_versions(self, kind: ResourceKind) -> tuple[str, ...]:
        """The served versions of the group in the API server's order; none if it does not serve the group."""
        try:
            found = await self._kube.get_shared(path_of("apis", kind.group))
        except NotFoundError:
            return ()
        served = (str(entry.get("version")) for entry in found.get("versions") or ())
        return tuple(version for version in served if version != kind.version)


async def list_each(
    kinds: Iterable[Kind], list_kind: Callable[[Kind], Awaitable[tuple[T, ...]]]
) -> tuple[tuple[T, ...], dict[str, KubernetesError]]:
    """The objects of all kinds, and the error of each kind that cannot be listed.

    A kind that cannot be listed (no right, a half-installed CRD, a broken conversion webhook) holds up no
    other.
    """
    kinds = tuple(kinds)

    async def tried(kind: Kind) -> tuple[T, ...] | KubernetesError:
        try:
            return await list_kind(kind)
        except KubernetesError as error:
            return error

    results = await asyncio.gather(*map(tried, kinds))
    found = (each for result in results if not isinstance(result, KubernetesError) for each in result)
    by_kind = zip(kinds, results, strict=True)
    failures = {kind.kind: result for kind, result in by_kind if isinstance(result, KubernetesError)}
    return tuple(found), failures
