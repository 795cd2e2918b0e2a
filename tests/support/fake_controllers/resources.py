"""The kinds of the fake controllers and their CRDs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

CRDS = Path(__file__).parent / "crds"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """The names and the API path of a kind; the core group has an empty name."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str | None = None) -> str:
        """Return the path of a namespace's objects, or of one object."""
        root = f"apis/{self.group}" if self.group else "api"
        parts = (self.version, "namespaces", namespace, self.plural, *([name] if name else []))
        return "/".join(("", root, *(quote(part, safe="") for part in parts)))


SECRET = Resource("", "v1", "Secret", "secrets")
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps")
INFISICAL_SECRET = Resource("secrets.infisical.com", "v1alpha1", "InfisicalSecret", "infisicalsecrets")
STATIC_SECRET = Resource(
    "secrets.infisical.com", "v1beta1", "InfisicalStaticSecret", "infisicalstaticsecrets"
)
EXTERNAL_SECRET = Resource("external-secrets.io", "v1", "ExternalSecret", "externalsecrets")
ROLLOUT = Resource("argoproj.io", "v1alpha1", "Rollout", "rollouts")


def serve(kubectl: Callable[..., str]) -> None:
    """Apply the CRDs of these kinds and of the stores and wait for them; idempotent."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
