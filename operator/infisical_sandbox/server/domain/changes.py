"""Which change causes which event: one function per kind of change.

Each function changes the store and returns a `Change`: the events of the request, and the folders whose
importing and referring folders get events later (see `fan_out`). No function publishes. Changes without
a function here cause no event: folders, roll-backs, dynamic secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import (
    api_errors,
    events,
    folder_paths,
    folders,
    secret_imports,
    secret_references,
    secrets,
)
from infisical_sandbox.server.domain.events import Event
from infisical_sandbox.server.domain.generations import EventType
from infisical_sandbox.server.domain.records import Author, Draft
from infisical_sandbox.server.domain.secret_references import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.domain.records import Approval, Environment, Secret, SecretImport

FolderKey = tuple[str, str, str]
"""Project id, environment slug, canonical path."""


class MissingMode(StrEnum):
    """How a batch update handles missing keys."""

    FAIL = "failOnNotFound"
    UPSERT = "upsert"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Context:
    """Author and time of a change, and the path as written in the request."""

    now: float
    actor_id: str | None = None
    request_path: str | None = None

    @property
    def author(self) -> Author:
        """The writer of shared secrets."""
        return Author(self.now, self.actor_id)


@dataclass(frozen=True, slots=True)
class Move:
    """A move of secrets from one folder to another."""

    source: Place
    goal: Place
    rows: tuple[Secret, ...]
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """The result of a write. `secrets` pairs each secret with its folder."""

    secrets: tuple[tuple[Secret, Place], ...] = ()
    events: tuple[Event, ...] = ()
    syncs: tuple[FolderKey, ...] = ()


def create(store: Store, place: Place, drafts: Sequence[Draft], context: Context) -> Change:
    """One or many shared secrets: one `secret:create` with all keys."""
    made = secrets.create(store, place.folder.id, drafts, context.author)
    return _one_event(EventType.CREATE, place, made, context, tuple(row.key for row in made))


def update(store: Store, place: Place, draft: Draft, context: Context) -> Change:
    """One shared secret: one `secret:update`, which carries the old key of a rename."""
    old = _known(store, place, draft.key)
    secrets.check_rename(store, old, draft.new_key)
    row = secrets.edit(store, old, draft, context.author)
    change = _one_event(EventType.UPDATE, place, (row,), context, (old.key,))
    return _with_redirects(store, change, {_address(place, old.key): _address(place, row.key)}, context)


def delete(store: Store, place: Place, keys: Sequence[str], context: Context) -> Change:
    """One or many shared secrets: one `secret:delete` with all keys; 404 if one is missing."""
    doomed = tuple(secrets.get(store, place.folder.id, key) for key in dict.fromkeys(keys))
    secrets.delete(store, doomed)
    return _one_event(EventType.DELETE, place, doomed, context, tuple(row.key for row in doomed))


def update_batch(
    store: Store, place: Place, drafts: Sequence[Draft], mode: MissingMode, context: Context
) -> Change:
    """Many secrets, also of several folders: one `secret:update` per folder touched.

    Every one of those events lists all keys of the call, renamed secrets by their new key. What an
    upsert creates is in no `secret:create`. The paths are always canonical.
    """
    planned = [(_target(store, place, draft, context, mode), draft) for draft in drafts]
    chosen = [pair for pair in planned if _exists(store, *pair) or mode is MissingMode.UPSERT]
    missing = sorted(draft.key for target, draft in planned if not _exists(store, target, draft))
    if mode is MissingMode.FAIL and missing:
        raise api_errors.not_found(f"Secret not found: {', '.join(missing)}", "UpdateSecret")
    for target, draft in chosen:
        _check_item_rename(store, target, draft)
    done = tuple((_upserted(store, target, draft, context), target) for target, draft in chosen)
    keys = tuple(row.key for row, _ in done)
    touched = tuple({target.key: target for _, target in done}.values())
    change = Change(
        secrets=done,
        events=tuple(_event(EventType.UPDATE, each, each.path, keys) for each in touched),
        syncs=tuple(each.key for each in touched),
    )
    renames = {
        _address(target, draft.key): _address(target, row.key)
        for (row, target), (_, draft) in zip(done, chosen, strict=True)
    }
    return _with_redirects(store, change, renames, context)


def write_personal(store: Store, place: Place, draft: Draft, context: Context) -> Change:
    """A personal override: no event at all; 400 without a shared secret to override."""
    if secrets.find(store, place.folder.id, draft.key) is None:
        raise api_errors.bad_request(
            "Failed to create personal secret override for no corresponding shared secret"
        )
    own = secrets.find(store, place.folder.id, draft.key, context.actor_id)
    author = Author(context.now, context.actor_id, owner_id=context.actor_id)
    row = (
        secrets.edit(store, own, draft, author)
        if own
        else secrets.create(store, place.folder.id, [draft], author)[0]
    )
    return Change(secrets=((row, place),))


def delete_personal(store: Store, place: Place, key: str, context: Context) -> Change:
    """Drop a personal override: no event."""
    own = secrets.get(store, place.folder.id, key, context.actor_id)
    secrets.delete(store, [own])
    return Change(secrets=((own, place),))


def move(store: Store, request: Move, context: Context) -> Change:
    """Secrets to another folder: an import mutation naming the source, twice, and nothing else.

    Raises: 400 when the destination has a key already and `overwrite` is off.
    """
    held = {row.key: row for row in secrets.shared(store, request.goal.folder.id)}
    clashes = sorted(row.key for row in request.rows if row.key in held)
    if clashes and not request.overwrite:
        raise api_errors.bad_request(f"Secret already exist in destination: {', '.join(clashes)}")
    secrets.delete(store, request.rows)
    for row in request.rows:
        draft = Draft(row.key, row.value, comment=row.comment, metadata=row.metadata)
        _upserted(store, request.goal, draft, context)
    event = events.import_mutation(*request.source.key)
    change = Change(events=(event, event), syncs=(request.source.key, request.goal.key))
    moves = {_address(request.source, row.key): _address(request.goal, row.key) for row in request.rows}
    return _with_redirects(store, change, moves, context)


def rotate(store: Store, place: Place, drafts: Sequence[Draft], context: Context) -> Change:
    """A secret rotation: new values without an event at the folder itself; importing folders get events."""
    rows = tuple((_upserted(store, place, draft, context), place) for draft in drafts)
    return Change(secrets=rows, syncs=(place.key,))


def merge(store: Store, place: Place, approval: Approval, context: Context) -> Change:
    """Merge a change request: up to 3 events (create, update, delete) with the canonical path."""
    plain = Context(context.now, context.actor_id, place.path)
    gone = [draft.key for draft in approval.deletes]
    parts = [create(store, place, approval.creates, plain)] if approval.creates else []
    if approval.updates:
        parts.append(update_batch(store, place, approval.updates, MissingMode.FAIL, plain))
    parts += [delete(store, place, gone, plain)] if gone else []
    return Change(
        secrets=tuple(row for part in parts for row in part.secrets),
        events=tuple(event for part in parts for event in part.events),
        syncs=tuple(dict.fromkeys(key for part in parts for key in part.syncs)),
    )


def add_import(
    store: Store,
    place: Place,
    source: tuple[Environment, str],
    context: Context,
    *,
    replication: bool,
) -> tuple[SecretImport, Change]:
    """Add an import: an import mutation of the importing folder (none for a replication)."""
    folders.at(store, place.project_id, source[0].slug, source[1])
    row = secret_imports.add(store, place, source, context.now, replication=replication)
    return row, _import_change(place, row)


def remove_import(store: Store, place: Place, row: SecretImport) -> Change:
    """Remove an import: an import mutation of the importing folder (none for a replication)."""
    secret_imports.remove(store, row)
    return _import_change(place, row)


def _with_redirects(store: Store, change: Change, moved: dict[Target, Target], context: Context) -> Change:
    """The change with rewritten references: edits without events, but with events for importing folders."""
    real = {old: new for old, new in moved.items() if old != new}
    if not real:
        return change
    project_id = change.syncs[0][0]
    edited = secret_references.redirect(store, project_id, real, context.author)
    return replace(
        change,
        secrets=change.secrets + edited,
        syncs=tuple(dict.fromkeys((*change.syncs, *(place.key for _, place in edited)))),
    )


def _address(place: Place, key: str) -> Target:
    return Target(place.environment.slug, place.path, key)


def _import_change(place: Place, row: SecretImport) -> Change:
    if row.is_replication:
        return Change()
    return Change(events=(events.import_mutation(*place.key),), syncs=(place.key,))


def _one_event(
    kind: EventType, place: Place, rows: tuple[Secret, ...], context: Context, keys: tuple[str, ...]
) -> Change:
    path = place.path if context.request_path is None else folder_paths.requested(context.request_path)
    return Change(
        secrets=tuple((row, place) for row in rows),
        events=(_event(kind, place, path, keys),),
        syncs=(place.key,),
    )


def _event(kind: EventType, place: Place, path: str, keys: tuple[str, ...]) -> Event:
    return Event(kind, place.project_id, place.environment.slug, path, keys)


def _known(store: Store, place: Place, key: str) -> Secret:
    row = secrets.find(store, place.folder.id, key)
    if row is None:
        raise api_errors.not_found(f"Secret with name '{key}' not found", "UpdateSecret")
    return row


def _target(store: Store, place: Place, draft: Draft, context: Context, mode: MissingMode) -> Place:
    if draft.path is None:
        return place
    where = (place.project_id, place.environment.slug, draft.path)
    if mode is MissingMode.UPSERT:
        return folders.ensure(store, *where, context.now)
    return folders.at(store, *where)


def _exists(store: Store, place: Place, draft: Draft) -> bool:
    return secrets.find(store, place.folder.id, draft.key) is not None


def _check_item_rename(store: Store, place: Place, draft: Draft) -> None:
    old = secrets.find(store, place.folder.id, draft.key)
    if old:
        secrets.check_rename(store, old, draft.new_key)


def _upserted(store: Store, place: Place, draft: Draft, context: Context) -> Secret:
    old = secrets.find(store, place.folder.id, draft.key)
    if old:
        return secrets.edit(store, old, draft, context.author)
    return secrets.create(store, place.folder.id, [draft], context.author)[0]
