"""Objects of the operator that no subscription may use, not even one in the operator's own namespace.

Otherwise such a subscription could send a token of the operator's ServiceAccount to Infisical, or the key of
all value digests. A token for the API server is never sent to Infisical, whichever ServiceAccount it is of.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from infisical_events.api.resources import TOKEN_TYPES
from infisical_events.kube.kubernetes_errors import ForbiddenError


class ProtectedObjectError(ForbiddenError):
    """A subscription refers to an object of the operator, or to a token for the API server."""


_USUAL_AUDIENCES = frozenset(
    {
        "api",
        "kubernetes",
        "https://kubernetes.default",
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
    }
)
"""Audiences of API servers; that of the operator's own token is added to them."""


@dataclass(frozen=True, slots=True)
class ProtectedObjects:
    """The user name of the operator at the API server, its own Secrets, and the API server's audiences."""

    user: str = ""
    secrets: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    audiences: frozenset[str] = _USUAL_AUDIENCES

    def check_account(self, namespace: str, name: str) -> None:
        """Raises ProtectedObjectError for the operator's ServiceAccount."""
        if self.user == f"system:serviceaccount:{namespace}:{name}":
            raise ProtectedObjectError("it belongs to the operator: use a ServiceAccount of the workload")

    def check_audiences(self, audiences: Iterable[str]) -> None:
        """Raises ProtectedObjectError for none, which means the API server's, or one that it accepts."""
        accepted = sorted(self.audiences.intersection(audiences))
        if accepted or not audiences:
            named = ", ".join(accepted) or "none"
            raise ProtectedObjectError(
                f"the API server accepts tokens for audience {named}: use one that only Infisical accepts, "
                "such as its address"
            )

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


def protected_by(token: str, secrets: frozenset[tuple[str, str]]) -> ProtectedObjects:
    """What the operator's own bearer token protects; a token of another kind than a JWT says nothing."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        audiences = claims.get("aud") or ()
        given = frozenset([audiences] if isinstance(audiences, str) else map(str, audiences))
        return ProtectedObjects(str(claims["sub"]), secrets, _USUAL_AUDIENCES | given)
    except (IndexError, ValueError, KeyError, TypeError, AttributeError):
        return ProtectedObjects(secrets=secrets)
