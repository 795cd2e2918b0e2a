"""Projects and environments: finding them the way each route does, and making them."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import api_errors
from infisical_sandbox.server.domain.records import Environment, Folder, Project

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.data_store import Store

_SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*\Z")
_MAX_SLUG = 64


def new_id() -> str:
    """A fresh record id."""
    return str(uuid.uuid4())


def by_id(store: Store, project_id: str) -> Project:
    """The project, or 404."""
    project = store.projects.get(project_id)
    if project is None:
        raise api_errors.not_found(f"Project with ID '{project_id}' not found")
    return project


def by_slug(store: Store, slug: str, org_id: str) -> Project:
    """The project of this organisation, or 404: slugs are unique within an organisation only."""
    for project in store.projects.of(org_id):
        if project.slug == slug:
            return project
    raise api_errors.not_found(f"Project with slug '{slug}' not found")


def environments(store: Store, project_id: str) -> tuple[Environment, ...]:
    """The project's environments in their order."""
    return tuple(sorted(store.environments.of(project_id), key=lambda row: row.position))


def find_environment(store: Store, project_id: str, slug: str) -> Environment | None:
    """The environment with this slug, if there is one."""
    return next((row for row in store.environments.of(project_id) if row.slug == slug), None)


def create(store: Store, org_id: str, name: str, slug: str | None, now: float) -> Project:
    """A project without environments; 400 for a slug that is taken or malformed."""
    wanted = slug or _slugify(name)
    _check_slug(wanted)
    if any(project.slug == wanted for project in store.projects.of(org_id)):
        raise api_errors.bad_request("Project with the same slug already exists")
    return store.projects.put(Project(new_id(), org_id, name, wanted, now))


def add_environment(store: Store, project_id: str, name: str, slug: str, now: float) -> Environment:
    """An environment and its root folder; 400 when the slug is taken."""
    _check_slug(slug)
    if find_environment(store, project_id, slug):
        raise api_errors.bad_request("Environment with slug already exists")
    position = len(store.environments.of(project_id)) + 1
    row = store.environments.put(Environment(new_id(), project_id, name, slug, position))
    store.folders.put(Folder(new_id(), row.id, None, "root", now, now))
    return row


def update_environment(
    store: Store, project_id: str, environment_id: str, name: str | None, slug: str | None
) -> Environment:
    """The environment under another name or slug; 404 without one, 400 when the slug is taken."""
    row = store.environments.get(environment_id)
    if row is None or row.project_id != project_id:
        raise api_errors.not_found(f"Environment with ID '{environment_id}' not found")
    if slug is not None and slug != row.slug:
        _check_slug(slug)
        if find_environment(store, project_id, slug):
            raise api_errors.bad_request("Environment with slug already exists")
    return store.environments.put(replace(row, name=name or row.name, slug=slug or row.slug))


def _slugify(name: str) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"
    return f"{base[: _MAX_SLUG - 5]}-{uuid.uuid4().hex[:4]}"


def _check_slug(slug: str) -> None:
    if len(slug) > _MAX_SLUG or not _SLUG.match(slug):
        raise api_errors.bad_request(f"Slug must be lowercase words of at most {_MAX_SLUG} characters")
