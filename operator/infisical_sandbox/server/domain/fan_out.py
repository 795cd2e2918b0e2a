"""The folders that import a changed folder or refer to its secrets.

`fan_out_queue` has the delayed jobs that use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import folders, projects, secret_references

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infisical_sandbox.server.domain.changes import FolderKey
    from infisical_sandbox.server.domain.data_store import Store


def listeners(store: Store, changed: FolderKey) -> tuple[FolderKey, ...]:
    """The folders that import `changed` (replications excepted), then those that refer to it."""
    return (*_importing(store, changed), *_referring(store, changed))


def _importing(store: Store, changed: FolderKey) -> Iterator[FolderKey]:
    project_id, slug, path = changed
    environment = projects.find_environment(store, project_id, slug)
    for row in store.imports:
        same = environment and (row.environment_id, row.path) == (environment.id, path)
        place = folders.place_of(store, row.folder_id) if same and not row.is_replication else None
        if place:
            yield place.key


def _referring(store: Store, changed: FolderKey) -> Iterator[FolderKey]:
    for place in secret_references.referring(store, *changed):
        yield place.key
