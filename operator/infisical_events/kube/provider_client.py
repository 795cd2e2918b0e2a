"""The objects of other operators that write Secrets: listed when something is owed, asked by one patch."""

import asyncio
import logging

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.sync.secret_providers import SecretProvider, provider_of
from infisical_events.kube.api_client import JSONObject, KubeApi, path_of
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.kubernetes_errors import ForbiddenError

PROVIDER_KINDS = (INFISICAL_SECRET, STATIC_SECRET, EXTERNAL_SECRET)

log = logging.getLogger(__name__)


class ProviderClient:
    """What writes the Secrets of a namespace, besides this operator."""

    def __init__(self, kube: KubeApi, discovery: Discovery) -> None:
        self._kube = kube
        self._discovery = discovery

    async def list_namespace(self, namespace: str) -> tuple[SecretProvider, ...]:
        """All of them as they are now; raises KubernetesError."""
        per_kind = await asyncio.gather(*(self._list_kind(kind, namespace) for kind in PROVIDER_KINDS))
        return tuple(provider for providers in per_kind for provider in providers)

    async def _list_kind(self, kind: ResourceKind, namespace: str) -> list[SecretProvider]:
        if not await self._discovery.has(kind):
            return []
        try:
            found = [item async for item in self._kube.list(_path(kind, namespace))]
        except ForbiddenError as error:  # then nothing of this kind can be made fresh, which is said
            log.warning("%s may not be listed and is left aside: %s", kind.kind, error)
            return []
        return [provider for item in found if (provider := _parsed(kind, item)) is not None]

    async def request_sync(
        self, namespace: str, provider: SecretProvider, body: JSONObject
    ) -> SecretProvider:
        """Apply a merge patch and return what it has become; raises KubernetesError."""
        patched = await self._kube.merge_patch(_path(provider.kind, namespace, provider.name), body)
        return _parsed(provider.kind, patched) or provider


def _parsed(kind: ResourceKind, stored: JSONObject) -> SecretProvider | None:
    """A foreign object that makes no sense is nobody's source; it must not hold up the others."""
    try:
        return provider_of(kind, stored)
    except (KeyError, TypeError, AttributeError, ValueError):
        log.warning("%s has an unknown shape and is left aside", kind.kind)
        return None


def _path(kind: ResourceKind, namespace: str, *name: str) -> str:
    return path_of("apis", kind.group, kind.version, "namespaces", namespace, kind.plural, *name)
