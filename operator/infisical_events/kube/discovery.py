"""Which kinds of other projects the cluster knows: their CRDs may be missing, and come or go at any time."""

import asyncio
from dataclasses import dataclass

from infisical_events.api.resources import ResourceKind
from infisical_events.kube.api_client import KubeApi, path_of
from infisical_events.kube.kubernetes_errors import NotFoundError

_CACHE_SECONDS = 30.0
"""Seconds for which an answer is remembered: a namespace with nothing foreign in it costs few requests."""


@dataclass(frozen=True, slots=True)
class _CachedPlurals:
    plurals: frozenset[str]
    until: float


class Discovery:
    """The API groups of other projects."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube
        self._cache: dict[tuple[str, str], _CachedPlurals] = {}

    async def has(self, kind: ResourceKind) -> bool:
        """Whether the API server serves the kind; raises KubernetesError.

        Asked of the discovery, because a list that is answered with 404 may also be a proxy's.
        """
        now, group = asyncio.get_running_loop().time(), (kind.group, kind.version)
        cached = self._cache.get(group)
        if cached is None or cached.until <= now:
            cached = self._cache[group] = _CachedPlurals(await self._plurals(*group), now + _CACHE_SECONDS)
        return kind.plural in cached.plurals

    async def _plurals(self, group: str, version: str) -> frozenset[str]:
        try:
            found = await self._kube.get(path_of("apis", group, version))
        except NotFoundError:
            return frozenset()
        return frozenset(str(entry.get("name")) for entry in found.get("resources") or ())
