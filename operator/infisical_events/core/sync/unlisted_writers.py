"""Secrets and ConfigMaps of which no provider is found: what their own metadata say about who writes them.

The provider may be in another namespace, of a kind or version that is not listed, or hidden by RBAC. So
"not found" never means that nothing writes the Secret. Its marks say whether a new content is waited for;
without any, the workload is restarted at once and the content is watched.
"""

from datetime import timedelta

from infisical_events.api import annotations
from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.sync.secret_metadata import FieldManager, SecretMetadata, config_map_of
from infisical_events.core.sync.secret_providers import CONTENT_ANNOTATIONS, SecretProvider

SECRET = ResourceKind("Secret", "secrets", "", "v1")
CONFIG_MAP = ResourceKind("ConfigMap", "configmaps", "", "v1")

_CARRIERS = frozenset({INFISICAL_SECRET.kind, STATIC_SECRET.kind, EXTERNAL_SECRET.kind})
"""Kinds of owners that write data of Infisical."""

_UNAFFECTED = frozenset(
    {"InfisicalDynamicSecret", "SealedSecret", "Certificate", "ServiceAccount", "ReplicaSet", "Job"}
)
"""Kinds of owners whose Secrets do not follow a change in Infisical."""

_COPIES = (
    "reflector.v1.k8s.emberstack.com/reflects",
    "replicator.v1.mittwald.de/replicated-from-version",
    "replicator.v1.mittwald.de/replicate-from",
    "kubed.appscode.com/origin",
)
"""Annotations of copies of a Secret, by which controllers keep them equal to it."""

_TOOLS = (
    "kubectl",
    "helm",
    "argocd",
    "kustomize-controller",
    "terraform",
    "pulumi",
    "before-first-apply",
)
"""Field managers, by the beginning of their names, that write what a person deploys."""

_LATER = timedelta(seconds=2)
"""A write so long after the creation is an update: times are whole seconds."""

_WAITED_FOR = "its provider is not found: waiting for new content"


def unlisted_provider(secret: SecretMetadata) -> SecretProvider | None:
    """What stands in for the provider of a Secret or ConfigMap; None if a subscription writes the Secret.

    It can be asked nothing, and shows a sync by the content alone. What only some controller has written is
    not known to read Infisical: it is waited for unless another provider explains the change. Of a ConfigMap,
    which most controllers fill with other things, only the marks count.
    """
    config_map = config_map_of(secret.name)
    is_marked = _has_carrier(secret)
    if annotations.CONTENT in secret.annotations:
        return None
    return SecretProvider(
        kind=CONFIG_MAP if config_map else SECRET,
        name=config_map or secret.name,
        uid=secret.uid,
        resource_version=secret.resource_version,
        secrets=frozenset() if config_map else frozenset({secret.name}),
        config_maps=frozenset({config_map} if config_map else ()),
        annotations={},
        reads=None if is_marked else (),
        unrequestable_reason=_WAITED_FOR,
        is_waited_for=is_marked or (not config_map and _has_writer(secret)),
    )


def unlisted_content_marker_of(secret: SecretMetadata) -> str:
    """What changes with the content: a digest, or else the times at which the data were written."""
    marks = [secret.data_digest, *(secret.annotations.get(key, "") for key in CONTENT_ANNOTATIONS.values())]
    if found := next(filter(None, marks), ""):
        return found
    writes = sorted(f"{each.name}@{each.time.isoformat()}" for each in secret.managers if each.writes_data)
    return ",".join(writes) or secret.resource_version


def _has_carrier(secret: SecretMetadata) -> bool:
    """Whether a writer of data of Infisical has left its marks."""
    if secret.controller_kind in _UNAFFECTED:
        return False
    is_marked = any(secret.annotations.get(key) for key in CONTENT_ANNOTATIONS.values())
    return is_marked or secret.controller_kind in _CARRIERS


def _has_writer(secret: SecretMetadata) -> bool:
    """Whether some controller keeps writing it, as far as the metadata say."""
    if secret.controller_kind:
        return secret.controller_kind not in _UNAFFECTED
    return any(key in secret.annotations for key in _COPIES) or any(
        _is_update(manager, secret) for manager in secret.managers
    )


def _is_update(manager: FieldManager, secret: SecretMetadata) -> bool:
    """Whether a controller wrote the data after the Secret was created."""
    is_later = secret.created_at is not None and manager.time > secret.created_at + _LATER
    is_tool = manager.name.lower().startswith(_TOOLS)
    return manager.writes_data and is_later and not is_tool
