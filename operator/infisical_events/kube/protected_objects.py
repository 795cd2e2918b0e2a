"""Objects of the operator that no subscription may use, not even one in the operator's own namespace.

Otherwise such a subscription could send a token of the operator's ServiceAccount to Infisical, or the key of
all value digests.
"""

import base64
import json
from dataclasses import dataclass, field

from infisical_events.api.resources import TOKEN_TYPES
from infisical_events.kube.kubernetes_errors import ForbiddenError


class ProtectedObjectError(ForbiddenError):
    """A subscription refers to an object of the operator, or to a token for the API server."""


@dataclass(frozen=True, slots=True)
class ProtectedObjects:
    """The user name of the operator at the API server, and the operator's own Secrets."""

    user: str = ""
    secrets: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    def check_account(self, namespace: str, name: str) -> None:
        """Raises ProtectedObjectError for the operator's ServiceAccount."""
        if self.user == f"system:serviceaccount:{namespace}:{name}":
            raise ProtectedObjectError("it belongs to the operator: use a ServiceAccount of the workload")

    def check_secret(self, namespace: str, name: str) -> None:
        """Raises ProtectedObjectError for a Secret of the operator."""
        if self.has_secret(namespace, name):
            raise ProtectedObjectError("it belongs to the operator: use another Secret")

    def has_secret(self, namespace: str, name: str) -> bool:
        """Whether the Secret belongs to the operator."""
        return (namespace, name) in self.secrets


NOTHING_PROTECTED = ProtectedObjects()
"""No object is protected."""


def check_type(kind: object) -> None:
    """Raises ProtectedObjectError for a type of Secret that holds a token for the API server."""
    if kind in TOKEN_TYPES:
        raise ProtectedObjectError(
            "it holds a token for the API server, which the operator never sends: use another Secret"
        )


def user_of(token: str) -> str:
    """The user in a bearer token of a ServiceAccount; empty for other tokens."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["sub"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""
