"""Secret providers: the three kinds of objects by which other controllers write Kubernetes Secrets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.status.text import object_name, single_line
from infisical_events.core.sync.secret_metadata import SecretMetadata

JSONObject = Mapping[str, Any]

CONTENT_ANNOTATIONS = {
    INFISICAL_SECRET: "secrets.infisical.com/version",
    STATIC_SECRET: "secrets.infisical.com/version",
    EXTERNAL_SECRET: "reconcile.external-secrets.io/data-hash",
}
"""The annotation of a Secret that changes with its data alone, by kind of provider."""

_LONGEST_SILENCE = timedelta(hours=1)
"""The longest sync interval of a provider that never acknowledges: its content may change until then."""

_LONGEST_TROUBLE = 200
"""Characters of a provider's own message that are repeated."""


@dataclass(frozen=True, slots=True)
class SecretProvider:
    """One object that writes Secrets.

    `acknowledged` changes with each sync that the provider acknowledges, None if it never acknowledges
    any: then its content alone shows a sync. `reads` is what it reads from Infisical, None if that is
    unknown. `error_message` is its own message; `disabled_reason` is why it never syncs again,
    `unrequestable_reason` why it cannot be requested and syncs by itself.
    """

    kind: ResourceKind
    name: str
    uid: str
    resource_version: str
    secrets: frozenset[str]
    annotations: Mapping[str, str]
    acknowledged: str | None = None
    copies_annotations: bool = False
    reads: tuple[Scope, ...] | None = None
    error_message: str = ""
    disabled_reason: str = ""
    unrequestable_reason: str = ""
    sync_trigger: Mapping[str, Any] = field(default_factory=dict)
    """What has to be patched in its spec to start a sync, besides the annotation."""

    def __str__(self) -> str:
        """`externalsecret/payments`."""
        return object_name(self.kind.kind, self.name)

    @property
    def is_acknowledging(self) -> bool:
        """Whether it acknowledges syncs, so that its content is as new as requested."""
        return self.acknowledged is not None and not self.unrequestable_reason

    @property
    def max_wait(self) -> timedelta:
        """How long after the timeout a sync may still come."""
        if self.disabled_reason:
            return timedelta()
        return _LONGEST_SILENCE if self.acknowledged is None else timedelta.max

    def may_read(self, changes: Iterable[Change]) -> bool:
        """Whether some of the changes may be in what it reads from Infisical."""
        return self.reads is None or any(
            scope.overlaps(change.scope) for scope in self.reads for change in changes
        )


def content_marker_of(provider: SecretProvider, secret: SecretMetadata | None) -> str:
    """The content of a Secret in its provider's terms; empty when there is no such annotation.

    It may be a plain digest of values, so it is compared and stored elsewhere only under a key.
    """
    return secret.annotations.get(CONTENT_ANNOTATIONS[provider.kind], "") if secret else ""


def provider_of(kind: ResourceKind, stored: JSONObject) -> SecretProvider:
    """Read a stored object of one of the three kinds.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it does not have the shape of its kind.
    """
    metadata, spec = stored["metadata"], stored.get("spec") or {}
    status = stored.get("status") or {}
    fields = _READERS[kind](metadata["name"], spec, status, metadata.get("namespace", ""))
    return SecretProvider(
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        annotations=metadata.get("annotations") or {},
        unrequestable_reason=_unrequestable_reason(metadata),
        **fields,
    )


def _conditions(status: JSONObject) -> dict[str, JSONObject]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _infisical_secret(_name: str, spec: JSONObject, _status: JSONObject, namespace: str) -> dict[str, Any]:
    """The official operator's v1alpha1: only a changed spec starts a sync, which it never acknowledges.

    The same interval in another notation is a changed spec.
    """
    single = spec.get("managedSecretReference")
    targets = [*([single] if single else []), *(spec.get("managedKubeSecretReferences") or ())]
    names = (t["secretName"] for t in targets if t.get("secretNamespace", namespace) == namespace)
    return {
        "secrets": frozenset(names),
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


def _static_secret(_name: str, spec: JSONObject, status: JSONObject, namespace: str) -> dict[str, Any]:
    """The official operator's v1beta1: any annotation starts a sync; the time of success acknowledges it."""
    targets = [
        target
        for target in spec.get("targets") or ()
        if target.get("kind", "Secret") == "Secret" and target.get("namespace", namespace) == namespace
    ]
    conditions = _conditions(status)
    success = conditions.get("secrets.infisical.com/LastSuccessfulReconcileAt", {})
    last = conditions.get("secrets.infisical.com/LastReconcileStatus", {})
    return {
        "secrets": frozenset(target["name"] for target in targets),
        "acknowledged": str(success.get("message") or ""),
        "copies_annotations": not any(target.get("metadata") for target in targets),
        "error_message": _error_message(last),
    }


def _external_secret(name: str, spec: JSONObject, status: JSONObject, _namespace: str) -> dict[str, Any]:
    """External Secrets: any annotation starts a sync, and it acknowledges by the synced resourceVersion."""
    ready = _conditions(status).get("Ready", {})
    is_ready = ready.get("status") == "True"
    return {
        "secrets": frozenset({(spec.get("target") or {}).get("name") or name}),
        "acknowledged": str(status.get("syncedResourceVersion") or "") if is_ready else "",
        "error_message": _error_message(ready),
        "disabled_reason": _disabled_reason(spec),
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


def _disabled_reason(spec: JSONObject) -> str:
    policy, interval = spec.get("refreshPolicy", "Periodic"), str(spec.get("refreshInterval", "1h"))
    if policy == "CreatedOnce":
        return "refreshPolicy CreatedOnce never syncs again"
    if policy == "Periodic" and interval.strip("0hms.") == "":
        return f"refreshInterval {interval} never syncs again: use refreshPolicy OnChange"
    return ""


def _error_message(condition: JSONObject) -> str:
    """The message of a condition that is not true: foreign text, on one line and cut."""
    if condition.get("status") != "False":
        return ""
    return single_line(str(condition.get("message") or ""))[:_LONGEST_TROUBLE]


_READERS = {
    INFISICAL_SECRET: _infisical_secret,
    STATIC_SECRET: _static_secret,
    EXTERNAL_SECRET: _external_secret,
}
