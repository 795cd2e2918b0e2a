"""Discovery of the kinds of other projects, whose CRDs may be installed or removed at any time."""

import asyncio
from dataclasses import dataclass

from infisical_events.api.resources import ResourceKind
from infisical_events.kube.api_client import KubeApi, path_of
from infisical_events.kube.kubernetes_errors import NotFoundError

_CACHE_SECONDS = 30.0
"""Seconds for which a response is cached: a namespace without such objects costs few requests."""


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

        It reads the discovery API, because a 404 for a list may also come from a proxy.
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
