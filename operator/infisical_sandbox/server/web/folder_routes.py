"""Folders: `/api/v2/folders` and the older `/api/v1/folders`, which spells the project `workspaceId`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import api_errors, folder_paths, folders, permissions
from infisical_sandbox.server.web import authentication, json_views, request_bodies, request_parser, responses

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.web.authentication import Caller


def routes() -> list[web.RouteDef]:
    """The routes of both families."""
    return [
        route
        for prefix in ("/api/v1/folders", "/api/v2/folders")
        for route in (
            web.get(prefix, list_all),
            web.post(prefix, create),
            web.patch(prefix + "/batch", rename_batch),
            web.get(prefix + "/{id}", get_one),
            web.patch(prefix + "/{id}", rename),
            web.delete(prefix + "/{id}", delete),
        )
    ]


async def list_all(request: web.Request) -> web.Response:
    """The folders directly inside `path`, or all below it."""
    authentication.identity_of(request)
    switches = request_parser.query(request, request_bodies.FolderList)
    caller = authentication.in_project(request, switches.project_id)
    store = caller.instance.reading
    place = folders.at(store, caller.project.id, switches.environment, switches.path)
    found = _below(store, place, recursive=switches.recursive)
    since = switches.last_secret_modified
    shown = [
        json_views.folder(spot, relative_to=place.path if switches.recursive else None) for spot in found
    ]
    return responses.ok(
        {"folders": [body for body in shown if not since or str(body["lastSecretModified"]) >= since]}
    )


async def get_one(request: web.Request) -> web.Response:
    """One folder by id, with its environment."""
    place = _by_id(authentication.instance_of(request).reading, request.match_info["id"])
    authentication.identity_of(request)
    authentication.in_project(request, place.project_id)
    env = place.environment
    extra = {
        "projectId": place.project_id,
        "environment": {"envId": env.id, "envName": env.name, "envSlug": env.slug},
    }
    return responses.ok({"folder": json_views.folder(place) | extra})


async def create(request: web.Request) -> web.Response:
    """Create a folder and its missing parents."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.Folder)
    caller = authentication.in_project(request, body.project_id)
    store, now = caller.instance.store, clock.now().wall
    folder_paths.check_name(body.name)
    _require(caller, "create", body.environment, body.path)
    parent = folders.ensure(store, caller.project.id, body.environment, body.path, now)
    place = folders.create(store, parent, body.name, now, body.description)
    return responses.ok({"folder": json_views.folder(place)})


async def rename(request: web.Request) -> web.Response:
    """Rename a folder, without an event."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.Folder)
    caller = authentication.in_project(request, body.project_id)
    place = _named(caller, body.environment, body.path, request.match_info["id"])
    _require(caller, "edit", place.environment.slug, body.path)
    renamed = folders.rename(caller.instance.store, place, body.name, clock.now().wall, body.description)
    return responses.ok({"folder": json_views.folder(renamed)})


async def rename_batch(request: web.Request) -> web.Response:
    """Rename several folders, without an event."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.FolderBatch)
    caller = authentication.in_project(request, body.project_id)
    done = []
    for item in body.folders:
        place = _named(caller, item.environment, item.path, item.id)
        _require(caller, "edit", place.environment.slug, item.path)
        now = clock.now().wall
        done.append(folders.rename(caller.instance.store, place, item.name, now, item.description))
    return responses.ok({"folders": [json_views.folder(place) for place in done]})


async def delete(request: web.Request) -> web.Response:
    """Delete a folder by id or by name, without an event."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.FolderDelete)
    caller = authentication.in_project(request, body.project_id)
    place = _named(caller, body.environment, body.path, request.match_info["id"])
    _require(caller, "delete", place.environment.slug, body.path)
    folders.delete(caller.instance.store, place, force=body.force_delete)
    return responses.ok({"folder": json_views.folder(place)})


def _below(store: Store, place: Place, *, recursive: bool) -> list[Place]:
    inside = [spot for spot in folders.walk(store, place) if spot != place]
    return [spot for spot in inside if recursive or spot.folder.parent_id == place.folder.id]


def _by_id(store: Store, folder_id: str) -> Place:
    place = folders.place_of(store, folder_id)
    if place is None:
        raise api_errors.not_found(f"Folder with ID '{folder_id}' not found")
    return place


def _named(caller: Caller, environment: str, path: str, id_or_name: str) -> Place:
    """The folder by id, or by its name inside `path`."""
    store = caller.instance.store
    place = folders.place_of(store, id_or_name)
    if place and place.project_id == caller.project.id:
        return place
    where = f"{path.rstrip('/')}/{id_or_name}"
    found = folders.find(store, caller.project.id, environment, where)
    if found is None:
        raise api_errors.not_found(f"Folder with ID or name '{id_or_name}' not found")
    return found


def _require(caller: Caller, action: str, environment: str, path: str) -> None:
    fields = {"environment": environment, "secretPath": folder_paths.canonical(path)}
    caller.ability.require(action, permissions.FOLDERS, fields)
