"""What is the operator's own, and so no subscription's business, also not in the operator's own namespace.

A subscription there could otherwise have a token of the operator's ServiceAccount made and sent away, or the
key of all digests.
"""

import base64
import json
from dataclasses import dataclass, field

from infisical_events.api.resources import TOKEN_TYPES
from infisical_events.kube.kubernetes_errors import ForbiddenError


class ProtectedObjectError(ForbiddenError):
    """A subscription names what is the operator's own, or the cluster's."""


@dataclass(frozen=True, slots=True)
class ProtectedObjects:
    """The user that the operator is to the API server, and the Secrets that it keeps for itself."""

    user: str = ""
    secrets: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    def check_account(self, namespace: str, name: str) -> None:
        """Raises OwnError for the operator's own ServiceAccount."""
        if self.user == f"system:serviceaccount:{namespace}:{name}":
            raise ProtectedObjectError("it is the operator's own: name one of the workload's")

    def check_secret(self, namespace: str, name: str) -> None:
        """Raises OwnError for a Secret that the operator keeps for itself."""
        if self.has_secret(namespace, name):
            raise ProtectedObjectError("it is the operator's own: name another Secret")

    def has_secret(self, namespace: str, name: str) -> bool:
        """Whether the operator keeps it for itself."""
        return (namespace, name) in self.secrets


NOTHING_PROTECTED = ProtectedObjects()
"""For who keeps nothing for itself."""


def check_type(kind: object) -> None:
    """Raises OwnError for the type of a Secret that holds a token for the API server."""
    if kind in TOKEN_TYPES:
        raise ProtectedObjectError(
            "it holds a token for the API server, which is sent nowhere: name another Secret"
        )


def user_of(token: str) -> str:
    """The user that a bearer token of a ServiceAccount names; empty for other tokens."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["sub"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""
