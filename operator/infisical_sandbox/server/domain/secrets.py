"""Secrets of one folder: versions and ids.

A secret keeps its id for life: an edit or a rename raises its version by one, delete and create give a
new id at version 1. Every version stays readable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import api_errors, projects
from infisical_sandbox.server.domain.records import Secret, SecretVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.records import Author, Draft


def trimmed(value: str) -> str:
    """The value as stored: no blanks around it, but one trailing newline survives."""
    return value.strip() + ("\n" if value.endswith("\n") else "")


def shared(store: Store, folder_id: str) -> tuple[Secret, ...]:
    """The folder's secrets without personal overrides, by key."""
    rows = (row for row in store.secrets.of(folder_id) if row.owner_id is None)
    return tuple(sorted(rows, key=lambda row: row.key))


def find(store: Store, folder_id: str, key: str, owner_id: str | None = None) -> Secret | None:
    """The secret with this key, if the folder has it."""
    rows = store.secrets.of(folder_id)
    return next((row for row in rows if row.key == key and row.owner_id == owner_id), None)


def get(store: Store, folder_id: str, key: str, owner_id: str | None = None) -> Secret:
    """The secret with this key, or 404."""
    secret = find(store, folder_id, key, owner_id)
    if secret is None:
        raise api_errors.not_found(f"Secret with name '{key}' not found")
    return secret


def create(store: Store, folder_id: str, drafts: Sequence[Draft], author: Author) -> tuple[Secret, ...]:
    """New secrets, all or none; 400 when a key exists or comes twice."""
    keys = [draft.key for draft in drafts]
    taken = {row.key for row in store.secrets.of(folder_id) if row.owner_id == author.owner_id}
    clashes = sorted({key for key in keys if key in taken or keys.count(key) > 1})
    if clashes:
        raise api_errors.bad_request(f"Secret already exist: {', '.join(clashes)}")
    return tuple(_save(store, _applied(_blank(folder_id, draft.key, author), draft)) for draft in drafts)


def edit(store: Store, secret: Secret, draft: Draft, author: Author) -> Secret:
    """The next version of a secret."""
    changed = _applied(secret, draft)
    version = secret.version + 1
    return _save(store, replace(changed, version=version, updated_at=author.now, actor_id=author.actor_id))


def check_rename(store: Store, secret: Secret, new_key: str | None) -> None:
    """400 when the new key belongs to another secret of the folder."""
    if new_key and new_key != secret.key and find(store, secret.folder_id, new_key):
        raise api_errors.bad_request("Secret with the new name already exists")


def delete(store: Store, doomed: Sequence[Secret]) -> None:
    """Remove secrets, and with a shared one every personal override of its key."""
    for secret in doomed:
        store.secrets.remove(secret.id)
        if secret.owner_id is None:
            for row in store.secrets.of(secret.folder_id):
                if row.key == secret.key:
                    store.secrets.remove(row.id)


def at_version(store: Store, secret: Secret, version: int) -> Secret:
    """The secret as it was at `version`, or 404."""
    row = store.versions.get(f"{secret.id}:{version}")
    if row is None:
        raise api_errors.not_found(f"Secret with name '{secret.key}' has no version {version}")
    return row.secret


def _blank(folder_id: str, key: str, author: Author) -> Secret:
    return Secret(
        projects.new_id(),
        folder_id,
        key,
        "",
        author.now,
        author.now,
        owner_id=author.owner_id,
        actor_id=author.actor_id,
    )


def _applied(secret: Secret, draft: Draft) -> Secret:
    given = {
        "key": draft.new_key,
        "value": None if draft.value is None else trimmed(draft.value),
        "comment": draft.comment,
        "skip_multiline_encoding": draft.skip_multiline_encoding,
        "metadata": draft.metadata,
        "tag_ids": draft.tag_ids,
        "reminder_note": draft.reminder_note,
        "reminder_repeat_days": draft.reminder_repeat_days,
    }
    return replace(secret, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # each value has its field's type


def _save(store: Store, secret: Secret) -> Secret:
    store.versions.put(SecretVersion(f"{secret.id}:{secret.version}", secret))
    return store.secrets.put(secret)
