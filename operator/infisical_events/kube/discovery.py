"""Discovery of the kinds of other projects, whose CRDs may be installed or removed at any time."""

import asyncio
from dataclasses import dataclass, replace

from infisical_events.api.resources import ResourceKind
from infisical_events.kube.api_client import KubeApi, path_of
from infisical_events.kube.kubernetes_errors import NotFoundError

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
            found = await self._kube.get(path_of("apis", kind.group, kind.version))
        except NotFoundError:
            return False
        return any(entry.get("name") == kind.plural for entry in found.get("resources") or ())

    async def _other_versions(self, kind: ResourceKind) -> tuple[str, ...]:
        """The served versions of the group in the API server's order; none if it does not serve the group."""
        try:
            found = await self._kube.get(path_of("apis", kind.group))
        except NotFoundError:
            return ()
        served = (str(entry.get("version")) for entry in found.get("versions") or ())
        return tuple(version for version in served if version != kind.version)
