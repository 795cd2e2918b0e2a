"""What the spec of an ExternalSecret says about where its data come from.

The rules are those of External Secrets (`apis/externalsecrets/v1`, `v1beta1`, `v1alpha1`): each entry of
`data` and `dataFrom` names a key of a store, finds keys in it, or runs a generator.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.status.text import single_line
from infisical_events.core.sync.secret_stores import SecretStore, StoreReference, Stores

JSONObject = Mapping[str, Any]

_RUNS_A_GENERATOR = "a sync request would run its generator again: waiting for its own sync interval"


@dataclass(frozen=True, slots=True)
class ExternalContent:
    """Where the data of one ExternalSecret come from, with the meaning of the fields of `SecretProvider`."""

    reads: tuple[Scope, ...] | None = None
    remote_keys: tuple[str, ...] | None = None
    disabled_reason: str = ""
    unaffected_reason: str = ""
    unrequestable_reason: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of `data` or `dataFrom`: a key of a store; without a key, it finds keys."""

    store: StoreReference | None
    key: str = ""
    is_generated: bool = False


def target_of(name: str, spec: JSONObject) -> tuple[str, str]:
    """Kind and name of what it writes: a Secret, unless `target.manifest` names another kind."""
    target = spec.get("target") or {}
    kind = (target.get("manifest") or {}).get("kind") or "Secret"
    return str(kind), str(target.get("name") or name)


def content_of_spec(spec: JSONObject, stores: Stores) -> ExternalContent:
    """Where its data come from; raises AttributeError or TypeError for a malformed spec."""
    entries = tuple(_entries(spec))
    involved = tuple(entry for entry in entries if _may_be_infisical(entry, stores))
    if entries and not involved:
        return ExternalContent(unaffected_reason=_other_origin(entries, stores))
    if reason := _never_again(spec):
        return ExternalContent(disabled_reason=reason)
    is_mixed = any(entry.is_generated for entry in entries)
    return ExternalContent(
        reads=_reads(involved, stores),
        remote_keys=tuple(entry.key for entry in involved) if _has_keys_only(involved) else None,
        unrequestable_reason=_RUNS_A_GENERATOR if is_mixed else "",
    )


def names_change(key: str, change: Change) -> bool:
    """Whether a remote key may name a change: as its key, or as a path to its folder or to it.

    A key without a slash is in the store's own folder, which may be any; so is a path without a leading one.
    """
    if change.scope.recursive:
        return True
    if "/" not in key:
        return change.key in {key, ANY_KEY}
    path, folder = canonical(key), change.scope.folder.path
    parent, _, name = path.rpartition("/")
    is_absolute = key.startswith("/")
    is_folder = folder == path if is_absolute else folder.endswith(path)
    is_in_folder = folder == (parent or "/") if is_absolute else folder.endswith(parent or "/")
    return is_folder or (is_in_folder and change.key in {name, ANY_KEY})


def _never_again(spec: JSONObject) -> str:
    """`Periodic` without an interval syncs once; a requested sync is refused as well."""
    policy, interval = spec.get("refreshPolicy", "Periodic"), str(spec.get("refreshInterval", "1h"))
    if policy == "CreatedOnce":
        return "refreshPolicy CreatedOnce never syncs again"
    if policy == "Periodic" and interval.strip("0hms.") == "":
        return f"refreshInterval {interval} never syncs again: use refreshPolicy OnChange"
    return ""


def _entries(spec: JSONObject) -> Iterator[_Entry]:
    default = StoreReference.of(spec.get("secretStoreRef"))
    for entry in spec.get("data") or ():
        source, remote = entry.get("sourceRef") or {}, entry.get("remoteRef") or {}
        store = StoreReference.of(source.get("storeRef")) or default
        yield _Entry(store, str(remote.get("key") or ""), bool(source.get("generatorRef")))
    for entry in spec.get("dataFrom") or ():
        source, extract = entry.get("sourceRef") or {}, entry.get("extract") or {}
        store = StoreReference.of(source.get("storeRef")) or default
        key = extract.get("key") or entry.get("key")  # v1alpha1 has the key in the entry
        yield _Entry(store, str(key or ""), bool(source.get("generatorRef")))


def stores_of(spec: JSONObject) -> frozenset[StoreReference]:
    """The stores that it reads from."""
    return frozenset(entry.store for entry in _entries(spec) if entry.store and not entry.is_generated)


def _store(entry: _Entry, stores: Stores) -> SecretStore | None:
    return stores.get(entry.store) if entry.store else None


def _may_be_infisical(entry: _Entry, stores: Stores) -> bool:
    store = _store(entry, stores)
    return not entry.is_generated and (store is None or not store.is_foreign)


def _other_origin(entries: Sequence[_Entry], stores: Stores) -> str:
    if all(entry.is_generated for entry in entries):
        return "its data come from a generator"
    named = {store.provider for entry in entries if (store := _store(entry, stores))}
    return f"its data come from {single_line(', '.join(sorted(named)))}, not from Infisical"


def _has_keys_only(entries: Sequence[_Entry]) -> bool:
    return bool(entries) and all(entry.key for entry in entries)


def _reads(entries: Sequence[_Entry], stores: Stores) -> tuple[Scope, ...] | None:
    """The folders in Infisical; None if the store of some entry is unknown."""
    scopes = [store.scope if (store := _store(entry, stores)) else None for entry in entries]
    known = [(entry, scope) for entry, scope in zip(entries, scopes, strict=True) if scope]
    if not entries or len(known) < len(entries):
        return None
    return tuple(sorted({read for entry, scope in known for read in _read_by(entry, scope)}))


def _read_by(entry: _Entry, scope: Scope) -> Iterator[Scope]:
    """The folder of a key is the store's, or the path before the key; some write a folder as the key."""
    if "/" not in entry.key:
        yield scope if not entry.key else Scope(scope.folder)
        return
    base = "" if entry.key.startswith("/") else scope.folder.path
    path = canonical(f"{base}/{entry.key}")
    yield Scope(Folder(scope.folder.environment, path.rpartition("/")[0] or "/"))
    yield Scope(Folder(scope.folder.environment, path))
