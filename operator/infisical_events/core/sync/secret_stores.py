"""SecretStores and ClusterSecretStores of External Secrets: from which service an ExternalSecret reads.

`kube.provider_client` reads them, where it may; `external_secrets` uses them. A store that could not be
read is missing from `Stores`, and nothing is concluded from that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from infisical_events.core.paths.scopes import Folder, Scope, canonical

JSONObject = Mapping[str, Any]

_INFISICAL = "infisical"
_RELAYS = frozenset({"kubernetes", "webhook"})
"""Store providers that may pass on what another one read from Infisical."""


@dataclass(frozen=True, slots=True, order=True)
class StoreReference:
    """A store, as an ExternalSecret names it; `kind` is `SecretStore` or `ClusterSecretStore`."""

    kind: str
    name: str

    @classmethod
    def of(cls, reference: JSONObject | None) -> "StoreReference | None":
        """Read `secretStoreRef` or `sourceRef.storeRef`; None if there is no name."""
        name = (reference or {}).get("name")
        return cls(str((reference or {}).get("kind") or "SecretStore"), str(name)) if name else None


@dataclass(frozen=True, slots=True)
class SecretStore:
    """What a store reads.

    `provider` is the key of its provider in the spec, such as `aws`; `scope` the folder of an Infisical
    store, with subfolders if it is recursive.
    """

    provider: str
    scope: Scope | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether nothing of Infisical can be in it."""
        return self.provider not in {_INFISICAL, *_RELAYS}


Stores = Mapping[StoreReference, SecretStore]

NO_STORES: Stores = MappingProxyType({})


def secret_store_of(stored: JSONObject) -> SecretStore | None:
    """Read a stored SecretStore or ClusterSecretStore; None if its spec is not understood."""
    provider = (stored.get("spec") or {}).get("provider")
    if not isinstance(provider, dict) or len(provider) != 1:
        return None
    ((name, config),) = provider.items()
    return SecretStore(name, _scope_of(config) if name == _INFISICAL else None)


def _scope_of(config: Any) -> Scope | None:  # noqa: ANN401 - any JSON
    scope = config.get("secretsScope") if isinstance(config, dict) else None
    if not isinstance(scope, dict) or not scope.get("environmentSlug"):
        return None
    path = canonical(str(scope.get("secretsPath") or "/"))
    return Scope(Folder(str(scope["environmentSlug"]), path), bool(scope.get("recursive")))
