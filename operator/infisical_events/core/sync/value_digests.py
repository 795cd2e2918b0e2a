"""Keyed digests of values: what is compared in place of a value, and all of it that leaves this package.

A plain digest of a short secret can be guessed by trying. A keyed one cannot be without the key, which
lies in a Secret of the operator's own namespace. Each namespace and each purpose has a key of its own,
derived from it: who chooses what is digested, by a server of his own, learns nothing of other digests.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

_LENGTH = 12
"""Characters of base64: 72 bits."""


class DigestPurpose(StrEnum):
    """What digests are compared with each other."""

    LISTED_VALUE = "listed-value"
    """The value of a secret in Infisical, by its id."""
    MANAGED_SECRET = "managed-secret"  # noqa: S105 - a purpose
    """The content of a Secret that the operator writes, by its name."""
    SECRET_CONTENT = "secret-content"  # noqa: S105 - a purpose
    """The content of a Secret or ConfigMap that somebody else writes, by its name."""


@dataclass(frozen=True, slots=True)
class DigestKey:
    """The key; digests under another key cannot be compared, which its `id` shows."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """An identifier of the key that reveals nothing of it."""
        return _short(hmac.digest(self.secret, b"id", hashlib.sha256))

    def derived(self, namespace: str, purpose: DigestPurpose) -> "DigestKey":
        """The key for one purpose in one namespace: the first block of HKDF-Expand (RFC 5869, SHA-256)."""
        info = f"{purpose}/{namespace}".encode()
        return DigestKey(hmac.digest(self.secret, info + b"\x01", hashlib.sha256))

    def digest(self, identifier: str, value: str) -> str:
        """The digest of the value of one secret; equal values of two secrets have different digests."""
        text = f"{identifier}\0{value}".encode(errors="surrogatepass")
        return _short(hmac.digest(self.secret, text, hashlib.sha256))


DigestKeySource = Callable[[], Awaitable[DigestKey]]
"""The key as it is now; raises InfisicalError when it cannot be had."""


def derived_source(source: DigestKeySource, namespace: str, purpose: DigestPurpose) -> DigestKeySource:
    """The key for one purpose in one namespace, as it is now."""

    async def derived() -> DigestKey:
        return (await source()).derived(namespace, purpose)

    return derived


def _short(digest: bytes) -> str:
    return urlsafe_b64encode(digest)[:_LENGTH].decode()
