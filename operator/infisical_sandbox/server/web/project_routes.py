"""Projects and environments in both route families, and `/api/status`.

By id the answer is wrapped (`project`, older `workspace`), by slug it is the bare object.
"""

from __future__ import annotations

from aiohttp import web

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import identities, permissions, projects
from infisical_sandbox.server.web import authentication, json_views, request_bodies, request_parser, responses

_DEFAULT_ENVIRONMENTS = {"dev": "Development", "staging": "Staging", "prod": "Production"}


def routes() -> list[web.RouteDef]:
    """The routes of both families."""
    return [
        web.get("/api/status", status),
        web.get("/api/v1/projects", list_projects),
        web.post("/api/v1/projects", create),
        web.post("/api/v2/workspace", create),
        web.get("/api/v1/projects/slug/{slug}", get_by_slug),
        web.get("/api/v2/workspace/{slug}", get_by_slug),
        web.get("/api/v1/projects/{id}", get_project),
        web.get("/api/v1/workspace/{id}", get_workspace),
        web.post("/api/v1/projects/{id}/environments", create_environment),
        web.post("/api/v1/workspace/{id}/environments", create_environment),
        web.patch("/api/v1/projects/{id}/environments/{environment}", update_environment),
        web.patch("/api/v1/workspace/{id}/environments/{environment}", update_environment),
    ]


async def status(request: web.Request) -> web.Response:
    """The status route, which needs no token: no version, no capabilities."""
    del request
    return responses.ok(
        {
            "date": clock.iso(clock.now().wall),
            "message": "Ok",
            "emailConfigured": False,
            "inviteOnlySignup": False,
            "redisConfigured": True,
            "secretScanningConfigured": False,
        }
    )


async def list_projects(request: web.Request) -> web.Response:
    """The projects the caller is a member of."""
    identity = authentication.identity_of(request)
    store = authentication.instance_of(request).reading
    rows = (store.projects.get(row.project_id) for row in store.memberships.of(identity.id))
    return responses.ok({"projects": [json_views.project(store, row) for row in rows if row]})


async def create(request: web.Request) -> web.Response:
    """A new project with the caller as its admin."""
    identity, instance = authentication.identity_of(request), authentication.instance_of(request)
    body = await request_parser.read(request, request_bodies.ProjectCreate)
    store, now = instance.store, clock.now().wall
    row = projects.create(store, identity.org_id, body.project_name, body.slug, now)
    for slug, name in _DEFAULT_ENVIRONMENTS.items() if body.should_create_default_envs else ():
        projects.add_environment(store, row.id, name, slug, now)
    identities.grant(store, identity, row.id, permissions.role("admin", instance.generation))
    return responses.ok({"project": json_views.project(store, row)})


async def get_project(request: web.Request) -> web.Response:
    """By id, the newer family."""
    caller = authentication.in_project(request, request.match_info["id"])
    return responses.ok({"project": json_views.project(caller.instance.reading, caller.project)})


async def get_workspace(request: web.Request) -> web.Response:
    """By id, the older family."""
    caller = authentication.in_project(request, request.match_info["id"])
    return responses.ok({"workspace": json_views.project(caller.instance.reading, caller.project)})


async def get_by_slug(request: web.Request) -> web.Response:
    """By slug, both families."""
    caller = authentication.in_project(request, None, request.match_info["slug"])
    return responses.ok(json_views.project(caller.instance.reading, caller.project))


async def create_environment(request: web.Request) -> web.Response:
    """A new environment."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.EnvironmentCreate)
    caller = authentication.in_project(request, request.match_info["id"])
    row = projects.add_environment(
        caller.instance.store, caller.project.id, body.name, body.slug, clock.now().wall
    )
    return responses.ok(
        {
            "message": "Successfully created new environment",
            "workspace": caller.project.id,
            "environment": {"id": row.id, "name": row.name, "slug": row.slug},
        }
    )


async def update_environment(request: web.Request) -> web.Response:
    """Another name or slug for an environment; its folders and secrets keep their ids."""
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.EnvironmentUpdate)
    caller = authentication.in_project(request, request.match_info["id"])
    row = projects.update_environment(
        caller.instance.store, caller.project.id, request.match_info["environment"], body.name, body.slug
    )
    return responses.ok(
        {
            "message": "Successfully updated environment",
            "workspace": caller.project.id,
            "environment": {"id": row.id, "name": row.name, "slug": row.slug},
        }
    )
