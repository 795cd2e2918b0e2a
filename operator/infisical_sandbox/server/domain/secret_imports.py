"""The imports of a folder: an ordered list of other folders, whose secrets it includes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import api_errors, folder_paths, projects
from infisical_sandbox.server.domain.records import Environment, SecretImport

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.folders import Place


def of(store: Store, folder_id: str) -> tuple[SecretImport, ...]:
    """The imports by position; a later one has precedence."""
    return tuple(sorted(store.imports.of(folder_id), key=lambda row: row.position))


def get(store: Store, import_id: str, folder_id: str | None = None) -> SecretImport:
    """The entry, or 404 (also when it belongs to another folder)."""
    row = store.imports.get(import_id)
    if row is None or folder_id not in {None, row.folder_id}:
        raise api_errors.not_found(f"Secret import with ID '{import_id}' not found")
    return row


def add(
    store: Store, place: Place, source: tuple[Environment, str], now: float, *, replication: bool
) -> SecretImport:
    """A new last entry; 400 for the folder itself or a source that is listed already."""
    environment, path = source[0], folder_paths.canonical(source[1])
    if (environment.id, path) == (place.environment.id, place.path):
        raise api_errors.bad_request("Cyclic import not allowed")
    rows = of(store, place.folder.id)
    if any((row.environment_id, row.path) == (environment.id, path) for row in rows):
        raise api_errors.bad_request("Secret import with same environment and path already exists")
    row = SecretImport(
        projects.new_id(),
        place.folder.id,
        environment.id,
        path,
        len(rows) + 1,
        now,
        now,
        is_replication=replication,
    )
    return store.imports.put(row)


def change(
    store: Store,
    row: SecretImport,
    now: float,
    position: int | None = None,
    source: tuple[Environment, str] | None = None,
) -> SecretImport:
    """The entry at its new position and with its new source."""
    if source:
        row = replace(row, environment_id=source[0].id, path=folder_paths.canonical(source[1]))
    row = store.imports.put(replace(row, updated_at=now, version=row.version + 1))
    others = [other for other in of(store, row.folder_id) if other.id != row.id]
    target = row.position if position is None else position
    others.insert(max(0, min(target, len(others) + 1) - 1), row)
    return _renumber(store, tuple(others), row.id)


def remove(store: Store, row: SecretImport) -> None:
    """Remove the import and close the gap in the positions."""
    store.imports.remove(row.id)
    _renumber(store, of(store, row.folder_id), "")


def _renumber(store: Store, rows: tuple[SecretImport, ...], wanted: str) -> SecretImport:
    saved = [store.imports.put(replace(row, position=number)) for number, row in enumerate(rows, start=1)]
    return next((row for row in saved if row.id == wanted), saved[0]) if saved else None  # type: ignore[return-value]  # None only when nothing is left, which `remove` ignores
