"""The Secrets and ConfigMaps of a namespace as of one round: each is read once, without its values."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.api import annotations
from infisical_events.core.sync.secret_metadata import SecretMetadata, config_map_of
from infisical_events.core.sync.secret_providers import (
    CONTENT_ANNOTATIONS,
    SecretProvider,
    content_marker_of,
)
from infisical_events.core.sync.sync_requests import SecretContent, fingerprint
from infisical_events.core.sync.unlisted_writers import unlisted_content_marker_of, unlisted_provider
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError
from infisical_events.runtime.ports import Cluster


@dataclass(kw_only=True, slots=True)
class SecretCache:
    """Reads Secrets on first use; every method that reads raises KubernetesError."""

    cluster: Cluster
    namespace: str
    digest_key: DigestKeySource
    secrets: dict[str, SecretMetadata | None] = field(default_factory=dict)

    def add(self, secret: SecretMetadata) -> None:
        """Keep a Secret as it was just written."""
        self.secrets[secret.name] = secret

    async def contents(self, provider: SecretProvider, names: frozenset[str]) -> dict[str, SecretContent]:
        """The content of those of these Secrets that the provider writes, by name."""
        return {name: await self._content(provider, name) for name in sorted(provider.references & names)}

    async def annotations_of(self, name: str) -> Mapping[str, str]:
        """The annotations of a Secret; none if it does not exist."""
        secret = await self.secret(name)
        return secret.annotations if secret else {}

    async def written_fingerprint(self, name: str) -> str:
        """The fingerprint of what the operator last wrote into one of its own Secrets; empty if nothing."""
        secret = await self.secret(name)
        return secret.annotations.get(annotations.CONTENT, "") if secret else ""

    def written_at(self, names: Iterable[str]) -> datetime | None:
        """When the newest of these Secrets was written, by the API server's clock; None if unknown."""
        read = [secret for name in names if (secret := self.secrets.get(name)) is not None]
        return max((secret.written_at for secret in read if secret.written_at), default=None)

    async def unlisted(self, names: Iterable[str]) -> tuple[SecretProvider, ...]:
        """What stands in for the providers of these Secrets, of which none was found.

        A Secret that may not be read has none: the restart does not need it.
        """
        providers = []
        for name in sorted(names):
            with contextlib.suppress(ForbiddenError):
                secret = await self.secret(name)
                providers.append(unlisted_provider(secret) if secret is not None else None)
        return tuple(provider for provider in providers if provider is not None)

    async def secret(self, name: str) -> SecretMetadata | None:
        """The metadata of a Secret, or of a ConfigMap by its reference; None if it does not exist."""
        if name not in self.secrets:
            self.secrets[name] = await self._read(name)
        return self.secrets[name]

    async def _read(self, name: str) -> SecretMetadata | None:
        if config_map := config_map_of(name):
            return await self.cluster.config_map(self.namespace, config_map)
        return await self.cluster.secret_metadata(self.namespace, name)

    async def _content(self, provider: SecretProvider, name: str) -> SecretContent:
        secret = await self.secret(name)
        if secret is None:
            return SecretContent()
        text = await self._fingerprint(provider, secret)
        return SecretContent(text, secret.annotations, secret.data_written_at)

    async def _fingerprint(self, provider: SecretProvider, secret: SecretMetadata) -> str:
        """A keyed fingerprint of a Secret's content, which reveals nothing of it; empty if there is none."""
        is_listed = provider.kind.kind in CONTENT_ANNOTATIONS
        content = content_marker_of(provider, secret) if is_listed else unlisted_content_marker_of(secret)
        if not content:
            return ""
        try:
            key = await self.digest_key()
        except InfisicalError as error:
            if not provider.is_waited_for:
                return ""
            raise KubernetesError(f"Secret contents cannot be compared: {error}") from None
        return fingerprint(key.id, key.digest(f"{self.namespace}/{secret.name}", content))
