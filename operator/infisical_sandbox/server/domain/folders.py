"""Folders of an environment: a tree under a nameless root."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import api_errors, folder_paths, projects
from infisical_sandbox.server.domain.records import Environment, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infisical_sandbox.server.domain.data_store import Store


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with its environment and path, the argument of most functions."""

    project_id: str
    environment: Environment
    folder: Folder
    path: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Project id, environment slug and canonical path."""
        return self.project_id, self.environment.slug, self.path

    def child(self, folder: Folder) -> Place:
        """The place of a folder directly inside."""
        return replace(self, folder=folder, path=f"{self.path.rstrip('/')}/{folder.name}")


def find(store: Store, project_id: str, environment: str, path: str) -> Place | None:
    """The folder at `path`, spelled as tolerantly as the server allows; 400 for impossible names."""
    names = folder_paths.segments(path)
    row = projects.find_environment(store, project_id, environment)
    folder = _descend(store, row, names) if row else None
    return Place(project_id, row, folder, folder_paths.join(names)) if row and folder else None


def at(store: Store, project_id: str, environment: str, path: str) -> Place:
    """The folder at `path`, or 404 `SecretPathNotFound` when it or its environment is missing."""
    place = find(store, project_id, environment, path)
    if place is None:
        raise api_errors.not_found(
            f"Folder with path '{path}' in environment with slug '{environment}' not found",
            "SecretPathNotFound",
        )
    return place


def place_of(store: Store, folder_id: str) -> Place | None:
    """Where the folder with this id is, if it exists."""
    folder = store.folders.get(folder_id)
    environment = store.environments.get(folder.environment_id) if folder else None
    if folder is None or environment is None:
        return None
    return Place(environment.project_id, environment, folder, path_of(store, folder))


def path_of(store: Store, folder: Folder) -> str:
    """The canonical path of a folder."""
    names: list[str] = []
    row: Folder | None = folder
    while row is not None and row.parent_id is not None:
        names.append(row.name)
        row = store.folders.get(row.parent_id)
    return folder_paths.join(tuple(reversed(names)))


def children(store: Store, folder: Folder) -> tuple[Folder, ...]:
    """The folders directly inside, by name."""
    rows = (row for row in store.folders.of(folder.environment_id) if row.parent_id == folder.id)
    return tuple(sorted(rows, key=lambda row: row.name))


def walk(store: Store, place: Place) -> Iterator[Place]:
    """The folder and everything below it, parents first, siblings by name."""
    inside: dict[str | None, list[Folder]] = {}
    for row in sorted(store.folders.of(place.environment.id), key=lambda row: row.name):
        inside.setdefault(row.parent_id, []).append(row)
    waiting = [place]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += [each.child(row) for row in reversed(inside.get(each.folder.id, []))]


def create(store: Store, parent: Place, name: str, now: float, description: str | None = None) -> Place:
    """A new folder; 400 when the name is impossible or taken."""
    folder_paths.check_name(name)
    if any(row.name == name for row in children(store, parent.folder)):
        raise api_errors.bad_request(f"Folder with name '{name}' already exists in path '{parent.path}'")
    row = Folder(projects.new_id(), parent.environment.id, parent.folder.id, name, now, now, 1, description)
    return parent.child(store.folders.put(row))


def ensure(store: Store, project_id: str, environment: str, path: str, now: float) -> Place:
    """The folder at `path`, made together with its missing parents."""
    place = at(store, project_id, environment, "/")
    for name in folder_paths.segments(path):
        deeper = find(store, project_id, environment, f"{place.path}/{name}")
        place = deeper or create(store, place, name, now)
    return place


def rename(store: Store, place: Place, name: str, now: float, description: str | None) -> Place:
    """The folder under its new name; 400 when taken."""
    folder_paths.check_name(name)
    parent = place.folder.parent_id and store.folders.get(place.folder.parent_id)
    if not parent:
        raise api_errors.bad_request("The root folder cannot be renamed")
    if name != place.folder.name and any(row.name == name for row in children(store, parent)):
        raise api_errors.bad_request("Folder with specified name already exists")
    row = replace(
        place.folder,
        name=name,
        description=description if description is not None else place.folder.description,
        version=place.folder.version + 1,
        updated_at=now,
    )
    return replace(place, folder=store.folders.put(row), path=path_of(store, row))


def delete(store: Store, place: Place, *, force: bool) -> None:
    """Remove the folder with everything below; 400 for the root, or if not empty and not forced."""
    if place.folder.parent_id is None:
        raise api_errors.bad_request("The root folder cannot be deleted")
    inside = tuple(walk(store, place))
    if not force and (len(inside) > 1 or store.secrets.of(place.folder.id)):
        raise api_errors.bad_request("Folder is not empty: delete its contents first, or use forceDelete")
    for deeper in inside:
        _remove(store, deeper.folder)


def _remove(store: Store, folder: Folder) -> None:
    for secret in store.secrets.of(folder.id):
        store.secrets.remove(secret.id)
    for entry in store.imports.of(folder.id):
        store.imports.remove(entry.id)
    store.folders.remove(folder.id)


def _descend(store: Store, environment: Environment, names: tuple[str, ...]) -> Folder | None:
    rows = store.folders.of(environment.id)
    folder = next((row for row in rows if row.parent_id is None), None)
    for name in names:
        inside = {row.name: row for row in rows if folder and row.parent_id == folder.id}
        folder = inside.get(name)
    return folder
