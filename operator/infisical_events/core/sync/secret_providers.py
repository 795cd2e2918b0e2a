"""Secret providers: objects by which other controllers write Kubernetes Secrets and ConfigMaps.

`external_secrets` reads the spec of an ExternalSecret; `unlisted_writers` stands in where no object is found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.status.text import object_name, single_line
from infisical_events.core.sync.external_secrets import content_of_spec, names_change, target_of
from infisical_events.core.sync.secret_metadata import FieldManager, SecretMetadata, config_map_reference
from infisical_events.core.sync.secret_stores import NO_STORES, Stores

JSONObject = Mapping[str, Any]

CONTENT_ANNOTATIONS = {
    INFISICAL_SECRET.kind: "secrets.infisical.com/version",
    STATIC_SECRET.kind: "secrets.infisical.com/version",
    EXTERNAL_SECRET.kind: "reconcile.external-secrets.io/data-hash",
}
"""The annotation of a Secret that changes with its data alone, by kind of provider."""

_LONGEST_SILENCE = timedelta(hours=1)
"""The longest sync interval of a provider that never acknowledges: its content may change until then."""

_LONGEST_TROUBLE = 200
"""Characters of a provider's own message that are repeated."""


@dataclass(frozen=True, slots=True)
class SecretProvider:
    """One object that writes Secrets or ConfigMaps into its namespace.

    Attributes:
        acknowledged: Changes with each sync that the provider acknowledges; None if it never acknowledges
            any: then its content alone shows a sync.
        refreshed: When it last synced, in its own words; changes with each sync, the requested ones or not.
        reads: What it reads from Infisical; None if that is unknown.
        remote_keys: The keys in its spec, where folders are unknown; None if it does not read by keys.
        error_message: Its own message.
        disabled_reason: Why it never syncs again; empty if it does.
        unaffected_reason: Why its data do not come from Infisical; empty if they may.
        unrequestable_reason: Why it cannot be requested and syncs by itself.
        is_waited_for: Whether a restart waits for it: not if nothing says that somebody writes its Secret.
        managers: The field managers of the object, apart from this operator and status updates.
    """

    kind: ResourceKind
    name: str
    uid: str
    resource_version: str
    secrets: frozenset[str]
    annotations: Mapping[str, str]
    acknowledged: str | None = None
    copies_annotations: bool = False
    refreshed: str = ""
    reads: tuple[Scope, ...] | None = None
    remote_keys: tuple[str, ...] | None = None
    error_message: str = ""
    disabled_reason: str = ""
    unaffected_reason: str = ""
    unrequestable_reason: str = ""
    is_waited_for: bool = True
    managers: tuple[FieldManager, ...] = ()
    config_maps: frozenset[str] = frozenset()
    sync_trigger: Mapping[str, Any] = field(default_factory=dict)
    """What has to be patched in its spec to start a sync, besides the annotation."""

    def __str__(self) -> str:
        """`externalsecret/payments`."""
        return object_name(self.kind.kind, self.name)

    @property
    def references(self) -> frozenset[str]:
        """What it writes: its Secrets and ConfigMaps, as `SecretMetadata` names them."""
        return self.secrets.union(map(config_map_reference, self.config_maps))

    @property
    def is_acknowledging(self) -> bool:
        """Whether it acknowledges syncs, so that its content is as new as requested."""
        return self.acknowledged is not None and not self.unrequestable_reason

    @property
    def uninvolved_reason(self) -> str:
        """Why no change in Infisical reaches its Secrets; empty if one may."""
        return self.unaffected_reason or self.disabled_reason

    @property
    def is_presumed(self) -> bool:
        """Whether it is not known to read anything from Infisical."""
        return self.reads == ()

    @property
    def max_wait(self) -> timedelta:
        """How long after the timeout a sync may still come."""
        return _LONGEST_SILENCE if self.acknowledged is None else timedelta.max

    def may_read(self, changes: Iterable[Change]) -> bool:
        """Whether some of the changes may be in what it reads from Infisical."""
        if self.reads is not None:
            return any(scope.overlaps(change.scope) for scope in self.reads for change in changes)
        keys = self.remote_keys
        return keys is None or any(names_change(key, change) for key in keys for change in changes)


def content_marker_of(provider: SecretProvider, secret: SecretMetadata | None) -> str:
    """The content of a Secret in its provider's terms; empty when there is no such annotation.

    It may be a plain digest of values, so it is compared and stored elsewhere only under a key. The
    annotation of a ConfigMap may be missing until its first update, so its data count.
    """
    if secret is None:
        return ""
    return secret.data_digest or secret.annotations.get(CONTENT_ANNOTATIONS[provider.kind.kind], "")


def provider_of(kind: ResourceKind, stored: JSONObject, stores: Stores = NO_STORES) -> SecretProvider:
    """Read a stored object of one of the three kinds, in any version; `stores` are those that could be read.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it does not have the shape of its kind.
    """
    metadata, spec = stored["metadata"], stored.get("spec") or {}
    status = stored.get("status") or {}
    if kind.kind == EXTERNAL_SECRET.kind:
        fields = _external_secret(metadata["name"], spec, status, stores)
    else:
        read = _infisical_secret if kind.kind == INFISICAL_SECRET.kind else _static_secret
        fields = read(spec, status, metadata.get("namespace", ""))
    provider = SecretProvider(
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        annotations=metadata.get("annotations") or {},
        **fields,
    )
    reason = _unrequestable_reason(metadata)
    return replace(provider, unrequestable_reason=reason) if reason else provider


def _conditions(status: JSONObject) -> dict[str, JSONObject]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _infisical_secret(spec: JSONObject, _status: JSONObject, namespace: str) -> dict[str, Any]:
    """The official operator's v1alpha1: only a changed spec starts a sync, which it never acknowledges.

    The same interval in another notation is a changed spec.
    """
    single = spec.get("managedSecretReference")
    targets = [*([single] if single else []), *(spec.get("managedKubeSecretReferences") or ())]
    maps = spec.get("managedKubeConfigMapReferences") or ()
    return {
        "secrets": frozenset(
            each["secretName"] for each in targets if each.get("secretNamespace", namespace) == namespace
        ),
        "config_maps": frozenset(
            each["configMapName"] for each in maps if each.get("configMapNamespace", namespace) == namespace
        ),
        "reads": _scopes(spec),
        "sync_trigger": {"spec": {"syncConfig": _changed_sync_config(spec)}},
    }


def _scopes(spec: JSONObject) -> tuple[Scope, ...] | None:
    """What each of its authentication methods reads; its operator uses the first that works."""
    ways = (spec.get("authentication") or {}).values()
    scopes = [way["secretsScope"] for way in ways if way and "secretsScope" in way]
    read = (
        Scope(Folder(str(s["envSlug"]), canonical(str(s["secretsPath"]))), bool(s.get("recursive")))
        for s in scopes
    )
    return tuple(read) or None


def _changed_sync_config(spec: JSONObject) -> dict[str, Any]:
    """The same `syncConfig` in another notation.

    Without one, older fields of the spec count, which a new `syncConfig` would override.
    """
    config = spec.get("syncConfig")
    heeded: JSONObject = spec if config is None else config
    is_instant = bool(heeded.get("instantUpdates"))
    seconds = spec.get("resyncInterval") if config is None else None
    interval = f"{seconds}s" if seconds else "1h" if is_instant else "5m"
    changed = {"resyncInterval": reworded(str((config or {}).get("resyncInterval") or interval))}
    return changed | {"instantUpdates": True} if config is None and is_instant else changed


def reworded(interval: str) -> str:
    """The same duration in another notation: `1m` is `60s`, `90s` is `090s`.

    One number and one unit: its operator reads nothing else.
    """
    number, unit = interval[:-1], interval[-1:]
    if number.isascii() and number.isdecimal():
        if unit == "m":
            return f"{int(number) * 60}s"
        if unit == "s" and int(number) > 0 and int(number) % 60 == 0:
            return f"{int(number) // 60}m"
    is_padded = interval.startswith("0") and interval[1:2].isdecimal()
    return interval[1:] if is_padded else f"0{interval}"


def _static_secret(spec: JSONObject, status: JSONObject, namespace: str) -> dict[str, Any]:
    """The official operator's v1beta1: any annotation starts a sync; the time of success acknowledges it."""
    all_targets = spec.get("targets") or ()
    targets = [target for target in all_targets if target.get("namespace", namespace) == namespace]
    conditions = _conditions(status)
    success = conditions.get("secrets.infisical.com/LastSuccessfulReconcileAt", {})
    last = conditions.get("secrets.infisical.com/LastReconcileStatus", {})
    return {
        "secrets": frozenset(t["name"] for t in targets if t.get("kind", "Secret") == "Secret"),
        "config_maps": frozenset(t["name"] for t in targets if t.get("kind") == "ConfigMap"),
        "reads": _source_scopes(spec),
        "acknowledged": str(success.get("message") or ""),
        "copies_annotations": not any(target.get("metadata") for target in targets),
        "error_message": _error_message(last),
    }


def _source_scopes(spec: JSONObject) -> tuple[Scope, ...] | None:
    sources = spec.get("sources") or ()
    read = (
        Scope(Folder(str(s["environmentSlug"]), canonical(str(s["secretPath"]))), bool(s.get("recursive")))
        for s in sources
    )
    return tuple(read) or None


def _external_secret(name: str, spec: JSONObject, status: JSONObject, stores: Stores) -> dict[str, Any]:
    """External Secrets: any annotation starts a sync, and it acknowledges by the synced resourceVersion."""
    ready = _conditions(status).get("Ready", {})
    is_ready = ready.get("status") == "True"
    content, (target_kind, target) = content_of_spec(spec, stores), target_of(name, spec)
    return {
        "secrets": frozenset({target} if target_kind == "Secret" else ()),
        "config_maps": frozenset({target} if target_kind == "ConfigMap" else ()),
        "acknowledged": str(status.get("syncedResourceVersion") or "") if is_ready else "",
        "refreshed": str(status.get("refreshTime") or "") if is_ready else "",
        "reads": content.reads,
        "remote_keys": content.remote_keys,
        "error_message": _error_message(ready),
        "disabled_reason": content.disabled_reason,
        "unaffected_reason": content.unaffected_reason,
        "unrequestable_reason": content.unrequestable_reason,
    }


def _unrequestable_reason(metadata: JSONObject) -> str:
    """External Secrets restores the annotations of what a ClusterExternalSecret made."""
    owners = (f"{o['kind']} {o['name']}" for o in metadata.get("ownerReferences") or ())
    owner = next((each for each in owners if each.startswith("ClusterExternalSecret ")), "")
    return (
        f"owned by {single_line(owner)}, which reverts the sync request: waiting for its own sync interval"
        if owner
        else ""
    )


def _error_message(condition: JSONObject) -> str:
    """The message of a condition that is not true: foreign text, on one line and cut."""
    if condition.get("status") != "False":
        return ""
    return single_line(str(condition.get("message") or ""))[:_LONGEST_TROUBLE]


@dataclass(frozen=True, slots=True)
class ProviderList:
    """The providers of a namespace at one moment.

    `failures` has the API server's message for each kind that could not be listed: a Secret whose provider is
    not among the others may have one of these kinds.
    """

    providers: tuple[SecretProvider, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


def not_listed_text(failures: Mapping[str, str]) -> str:
    """Which kinds of providers could not be listed, in the API server's words."""
    return "; ".join(f"cannot list providers of kind {kind}: {why}" for kind, why in failures.items())
