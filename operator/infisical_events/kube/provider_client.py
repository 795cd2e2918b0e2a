"""Objects of other operators that write Secrets: listed for pending restarts, patched to request a sync."""

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
    """The secret providers of a namespace, apart from this operator."""

    def __init__(self, kube: KubeApi, discovery: Discovery) -> None:
        self._kube = kube
        self._discovery = discovery

    async def list_namespace(self, namespace: str) -> tuple[SecretProvider, ...]:
        """All current providers; raises KubernetesError."""
        per_kind = await asyncio.gather(*(self._list_kind(kind, namespace) for kind in PROVIDER_KINDS))
        return tuple(provider for providers in per_kind for provider in providers)

    async def _list_kind(self, kind: ResourceKind, namespace: str) -> list[SecretProvider]:
        if not await self._discovery.has(kind):
            return []
        try:
            found = [item async for item in self._kube.list(_path(kind, namespace))]
        except (
            ForbiddenError
        ) as error:  # then no sync can be requested for this kind, which the status reports
            log.warning("cannot list %s, ignoring these providers: %s", kind.kind, error)
            return []
        return [provider for item in found if (provider := _parsed(kind, item)) is not None]

    async def request_sync(
        self, namespace: str, provider: SecretProvider, body: JSONObject
    ) -> SecretProvider:
        """Apply a merge patch and return the patched provider; raises KubernetesError."""
        patched = await self._kube.merge_patch(_path(provider.kind, namespace, provider.name), body)
        return _parsed(provider.kind, patched) or provider


def _parsed(kind: ResourceKind, stored: JSONObject) -> SecretProvider | None:
    """The provider; None for a malformed object, which must not block the others."""
    try:
        return provider_of(kind, stored)
    except (KeyError, TypeError, AttributeError, ValueError):
        log.warning("ignoring a malformed %s", kind.kind)
        return None


def _path(kind: ResourceKind, namespace: str, *name: str) -> str:
    return path_of("apis", kind.group, kind.version, "namespaces", namespace, kind.plural, *name)
