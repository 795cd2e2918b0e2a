"""Objects of other operators that write Secrets: listed for pending restarts, patched to request a sync.

Each kind is read in the version that the API server serves. The stores of ExternalSecrets say which of them
read from Infisical.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from infisical_events.api.resources import (
    CLUSTER_SECRET_STORE,
    EXTERNAL_SECRET,
    GROUP,
    INFISICAL_SECRET,
    SECRET_STORE,
    STATIC_SECRET,
    ResourceKind,
)
from infisical_events.core.status.text import object_name
from infisical_events.core.sync.external_secrets import stores_of
from infisical_events.core.sync.secret_providers import ProviderList, SecretProvider, provider_of
from infisical_events.core.sync.secret_stores import (
    NO_STORES,
    SecretStore,
    StoreReference,
    Stores,
    secret_store_of,
)
from infisical_events.kube.discovery import Discovery, list_each
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import JSONObject, path_of
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError
from infisical_events.kube.secret_client import managers_of

PROVIDER_KINDS = (INFISICAL_SECRET, STATIC_SECRET, EXTERNAL_SECRET)

_STORE_KINDS = {kind.kind: kind for kind in (SECRET_STORE, CLUSTER_SECRET_STORE)}

_CACHE_SECONDS = 30.0
"""Seconds for which a store is cached: a round while providers sync comes every 2 s at most."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _CachedStore:
    store: SecretStore | None
    until: float


class ProviderClient:
    """The secret providers of a namespace, apart from this operator."""

    def __init__(self, kube: KubeApi, discovery: Discovery) -> None:
        self._kube = kube
        self._discovery = discovery

        self._stores: dict[tuple[str, StoreReference], _CachedStore] = {}

    async def list(self, namespace: str) -> ProviderList:
        """All current providers.

        A kind that cannot be listed is reported in the result, and holds up only workloads whose Secrets it
        may write.
        """
        found, failures = await list_each(PROVIDER_KINDS, lambda kind: self._list_kind(kind, namespace))
        return ProviderList(found, {kind: str(error) for kind, error in failures.items()})

    async def _list_kind(self, preferred: ResourceKind, namespace: str) -> tuple[SecretProvider, ...]:
        kind = await self._discovery.served(preferred)
        if kind is None:
            return ()
        try:
            found = await self._kube.list(_path(kind, namespace), _with_own_annotations)
        except ForbiddenError as error:  # no sync can be requested for this kind, which the status reports
            log.warning("cannot list %s, ignoring these providers: %s", kind.kind, error)
            return ()
        stores = await self._stores_of(found, namespace) if preferred is EXTERNAL_SECRET else NO_STORES
        return tuple(provider for item in found if (provider := _parsed(kind, item, stores)) is not None)

    async def _stores_of(self, external_secrets: Iterable[JSONObject], namespace: str) -> Stores:
        """The stores that these ExternalSecrets read from, as far as they can be read."""
        named = {reference for item in external_secrets for reference in _store_references(item)}
        found = {reference: await self._store(reference, namespace) for reference in sorted(named)}
        return {reference: store for reference, store in found.items() if store is not None}

    async def _store(self, reference: StoreReference, namespace: str) -> SecretStore | None:
        now, place = asyncio.get_running_loop().time(), (namespace, reference)
        cached = self._stores.get(place)
        if cached is None or cached.until <= now:
            self._stores = {key: each for key, each in self._stores.items() if each.until > now}
            cached = _CachedStore(await self._read_store(reference, namespace), now + _CACHE_SECONDS)
            self._stores[place] = cached
        return cached.store

    async def _read_store(self, reference: StoreReference, namespace: str) -> SecretStore | None:
        """None if it cannot be read: then its ExternalSecrets count as Infisical's."""
        preferred = _STORE_KINDS.get(reference.kind)
        try:
            kind = await self._discovery.served(preferred) if preferred else None
            if kind is None:
                return None
            place = ("namespaces", namespace) if preferred is SECRET_STORE else ()
            path = path_of("apis", kind.group, kind.version, *place, kind.plural, reference.name)
            return secret_store_of(await self._kube.get(path))
        except KubernetesError as error:
            fields = {"store": object_name(reference.kind, reference.name), "error": str(error)}
            log.warning("cannot read a store, its ExternalSecrets count as Infisical's", extra=fields)
            return None

    async def request_sync(
        self, namespace: str, provider: SecretProvider, body: JSONObject
    ) -> SecretProvider:
        """Apply a merge patch and return the patched provider; raises KubernetesError."""
        patched = await self._kube.merge_patch(_path(provider.kind, namespace, provider.name), body)
        return _parsed(provider.kind, patched) or provider


def _with_own_annotations(stored: JSONObject) -> JSONObject:
    """The provider without the annotations of others, which may have 256 KiB in each object."""
    metadata = stored["metadata"]
    annotations = metadata.get("annotations") or {}
    kept = {key: text for key, text in annotations.items() if key.startswith(f"{GROUP}/")}
    return {**stored, "metadata": {**metadata, "annotations": kept}}


def _store_references(external_secret: JSONObject) -> frozenset[StoreReference]:
    try:
        return stores_of(external_secret.get("spec") or {})
    except (TypeError, AttributeError):
        return frozenset()


def _parsed(kind: ResourceKind, stored: JSONObject, stores: Stores = NO_STORES) -> SecretProvider | None:
    """The provider; None for a malformed object, which must not block the others."""
    try:
        return replace(provider_of(kind, stored, stores), managers=managers_of(stored["metadata"]))
    except (KeyError, TypeError, AttributeError, ValueError):
        log.warning("ignoring a malformed %s", kind.kind)
        return None


def _path(kind: ResourceKind, namespace: str, *name: str) -> str:
    return path_of("apis", kind.group, kind.version, "namespaces", namespace, kind.plural, *name)
