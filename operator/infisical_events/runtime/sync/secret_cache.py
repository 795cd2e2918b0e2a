"""The Secrets of a namespace as of one round: each is read once, metadata only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.api import annotations
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_providers import SecretProvider, content_marker_of
from infisical_events.core.sync.sync_requests import SecretContent, fingerprint
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError
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
        return {name: await self._content(provider, name) for name in sorted(provider.secrets & names)}

    async def annotations_of(self, name: str) -> Mapping[str, str]:
        """The annotations of a Secret; none if it does not exist."""
        secret = await self._secret(name)
        return secret.annotations if secret else {}

    async def written_fingerprint(self, name: str) -> str:
        """The fingerprint of what the operator last wrote into one of its own Secrets; empty if nothing."""
        secret = await self._secret(name)
        return secret.annotations.get(annotations.CONTENT, "") if secret else ""

    def written_at(self, names: Iterable[str]) -> datetime | None:
        """When the newest of these Secrets was written, by the API server's clock; None if unknown."""
        read = [secret for name in names if (secret := self.secrets.get(name)) is not None]
        return max((secret.written_at for secret in read if secret.written_at), default=None)

    async def _secret(self, name: str) -> SecretMetadata | None:
        if name not in self.secrets:
            self.secrets[name] = await self.cluster.secret_metadata(self.namespace, name)
        return self.secrets[name]

    async def _content(self, provider: SecretProvider, name: str) -> SecretContent:
        secret = await self._secret(name)
        return SecretContent(await self._fingerprint(provider, secret), secret.annotations if secret else {})

    async def _fingerprint(self, provider: SecretProvider, secret: SecretMetadata | None) -> str:
        """A keyed fingerprint of a Secret's content, which reveals nothing of it; empty if there is none."""
        content = content_marker_of(provider, secret)
        if not content or secret is None:
            return ""
        try:
            key = await self.digest_key()
        except InfisicalError as error:
            raise KubernetesError(f"Secret contents cannot be compared: {error}") from None
        return fingerprint(key.id, key.digest(f"{self.namespace}/{secret.name}", content))
