"""Secret imports: `/api/v2/secret-imports` and the older `/api/v1/secret-imports`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import (
    api_errors,
    changes,
    folder_paths,
    folders,
    permissions,
    projects,
    secret_imports,
)
from infisical_sandbox.server.web import authentication, json_views, request_bodies, request_parser, responses

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.domain.records import Environment, SecretImport
    from infisical_sandbox.server.web.authentication import Caller
    from infisical_sandbox.server.web.request_bodies import ImportFolder


def routes() -> list[web.RouteDef]:
    """The routes of both families."""
    return [
        route
        for prefix in ("/api/v1/secret-imports", "/api/v2/secret-imports")
        for route in (
            web.get(prefix, list_all),
            web.post(prefix, create),
            web.patch(prefix + "/{id}", update),
            web.delete(prefix + "/{id}", delete),
        )
    ]


async def list_all(request: web.Request) -> web.Response:
    """The entries of a folder in their order."""
    authentication.identity_of(request)
    body = request_parser.query(request, request_bodies.ImportFolder)
    caller, place = _target(request, body, "read")
    store = caller.instance.reading
    rows = secret_imports.of(store, place.folder.id)
    return responses.ok({"secretImports": [json_views.secret_import(store, row) for row in rows]})


async def create(request: web.Request) -> web.Response:
    """Add an import at the end of the list."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.ImportCreate)
    caller, place = _target(request, body, "create")
    source = _environment(caller, body.source.environment)
    row, change = changes.add_import(
        caller.instance.store,
        place,
        (source, body.source.path),
        changes.Context(clock.now().wall, caller.identity.id),
        replication=body.is_replication,
    )
    caller.instance.apply(change)
    return _answer(caller, row, "Successfully created secret import")


async def update(request: web.Request) -> web.Response:
    """Change position or source of an import, without an event."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.ImportUpdate)
    caller, place = _target(request, body, "edit")
    store, edit = caller.instance.store, body.edit
    row = secret_imports.get(store, request.match_info["id"], place.folder.id)
    source = None
    if edit.environment or edit.path:
        held = store.environments.get(row.environment_id)
        slug = edit.environment or (held.slug if held else "")
        source = _environment(caller, slug), edit.path or row.path
    changed = secret_imports.change(store, row, clock.now().wall, edit.position, source)
    return _answer(caller, changed, "Successfully updated secret import")


async def delete(request: web.Request) -> web.Response:
    """Remove an import."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.ImportFolder)
    caller, place = _target(request, body, "delete")
    row = secret_imports.get(caller.instance.store, request.match_info["id"], place.folder.id)
    caller.instance.apply(changes.remove_import(caller.instance.store, place, row))
    return _answer(caller, row, "Successfully deleted secret import")


def _target(
    request: web.Request,
    body: ImportFolder | request_bodies.ImportCreate | request_bodies.ImportUpdate,
    action: str,
) -> tuple[Caller, Place]:
    caller = authentication.in_project(request, body.project_id)
    fields = {"environment": body.environment, "secretPath": folder_paths.canonical(body.path)}
    caller.ability.require(action, permissions.IMPORTS, fields)
    store = caller.instance.store
    return caller, folders.at(store, caller.project.id, body.environment, body.path)


def _environment(caller: Caller, slug: str) -> Environment:
    row = projects.find_environment(caller.instance.store, caller.project.id, slug)
    if row is None:
        raise api_errors.not_found(f"Environment with slug '{slug}' not found")
    return row


def _answer(caller: Caller, row: SecretImport, message: str) -> web.Response:
    body = json_views.secret_import(caller.instance.store, row)
    return responses.ok({"message": message, "secretImport": body})
