"""Credentials of a machine identity as values; no secret part of them shows in a `repr`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class UniversalCredentials:
    """A client id and a client secret."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KubernetesCredentials:
    """A ServiceAccount token for the identity that trusts it; `account` is `namespace/name`."""

    identity_id: str
    account: str
    jwt: str = field(repr=False)
    audiences: tuple[str, ...] = ()
    """For which the token was requested."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that was made by hand: there is no login for it."""

    token: str = field(repr=False)


Credentials = UniversalCredentials | KubernetesCredentials | AccessToken
CredentialsSource = Callable[[], Awaitable[Credentials]]
"""Reads the credentials as they are now; raises LoginError of `infisical` when they cannot be read."""
