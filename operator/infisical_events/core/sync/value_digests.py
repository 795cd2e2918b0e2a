"""Keyed digests of values: what is compared in place of a value, and all of it that leaves this package.

A plain digest of a short secret can be guessed by trying. A keyed one cannot be without the key, which
lies in a Secret of the operator's own namespace.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_LENGTH = 12
"""Characters of base64: 72 bits."""


@dataclass(frozen=True, slots=True)
class DigestKey:
    """The key; digests under another key cannot be compared, which its `id` shows."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """An identifier of the key that reveals nothing of it."""
        return _short(hmac.digest(self.secret, b"id", hashlib.sha256))

    def digest(self, identifier: str, value: str) -> str:
        """The digest of the value of one secret; equal values of two secrets have different digests."""
        text = f"{identifier}\0{value}".encode(errors="surrogatepass")
        return _short(hmac.digest(self.secret, text, hashlib.sha256))


DigestKeySource = Callable[[], Awaitable[DigestKey]]
"""The key as it is now; raises InfisicalError when it cannot be had."""


def _short(digest: bytes) -> str:
    return urlsafe_b64encode(digest)[:_LENGTH].decode()
