"""All documents together: which kind each one is, and what the documents say about each other."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infisical_events.api.resources import GROUP, KIND
from infisical_events.api.specs import Spec
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.validation.crd_schema import Schema
from infisical_events.core.validation.findings import Finding
from infisical_events.core.validation.subscription_checks import (
    ANY_ADDRESS,
    served_spec,
    subscription_findings,
)
from infisical_events.core.validation.workload_checks import (
    annotated_workload_of,
    workload_findings,
    workload_kind_of,
)

_DEFAULT_NAMESPACE = "default"
"""For messages about a manifest without a namespace; those documents count as of one namespace."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of the given documents."""

    content: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Its kind; empty if it has none."""
        return str(self.content.get("kind") or "")

    @property
    def name(self) -> str:
        """Its name; `generateName` or nothing if it has none."""
        return str(self._metadata.get("name") or self._metadata.get("generateName") or "")

    @property
    def namespace(self) -> str:
        """Its namespace; empty if it has none."""
        return str(self._metadata.get("namespace") or "")

    @property
    def title(self) -> str:
        """`InfisicalEventSubscription/shop/web`, without a namespace that is not given."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)

    @property
    def is_subscription(self) -> bool:
        """Whether it is a subscription, in any version."""
        return self.kind == KIND and str(self.content.get("apiVersion")).partition("/")[0] == GROUP

    @property
    def is_checked(self) -> bool:
        """Whether it is of a kind that is checked."""
        return self.is_subscription or workload_kind_of(self.content) is not None

    @property
    def _metadata(self) -> Mapping[str, Any]:
        found = self.content.get("metadata")
        return found if isinstance(found, dict) else {}


def manifest_findings(
    manifests: Iterable[Manifest], schema: Schema, egress: EgressPolicy = ANY_ADDRESS
) -> Iterator[tuple[Manifest, Finding]]:
    """All mistakes, in the order of the manifests; `schema` is that of the CRD."""
    manifests = tuple(manifests)
    specs: dict[str, dict[str, Spec | None]] = {}
    for each in manifests:
        if each.is_subscription:
            specs.setdefault(each.namespace, {})[each.name] = served_spec(each.content, schema)
    for each in manifests:
        for finding in _findings(each, schema, egress, specs.get(each.namespace, {})):
            yield each, finding


def _findings(
    manifest: Manifest, schema: Schema, egress: EgressPolicy, specs: Mapping[str, Spec | None]
) -> Iterable[Finding]:
    if manifest.is_subscription:
        return subscription_findings(manifest.content, schema, egress)
    kind = workload_kind_of(manifest.content)
    if kind is None:
        return ()
    namespace = manifest.namespace or _DEFAULT_NAMESPACE
    return workload_findings(
        annotated_workload_of(kind, manifest.content, namespace), manifest.content, specs
    )
