"""The identity and the permissions behind a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import api_errors, projects
from infisical_sandbox.server.domain.records import AccessToken
from infisical_sandbox.server.instance import Instance

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.permissions import Ability
    from infisical_sandbox.server.domain.records import Identity, Project

INSTANCE: web.AppKey[Instance] = web.AppKey("instance", Instance)
TOKEN: web.RequestKey[AccessToken] = web.RequestKey("token", AccessToken)
_PREFIX = "Bearer "


class Caller(NamedTuple):
    """An identity inside a project."""

    instance: Instance
    identity: Identity
    project: Project
    ability: Ability


def instance_of(request: web.Request) -> Instance:
    """The instance of this request."""
    return request.app[INSTANCE]


def authenticate(request: web.Request) -> None:
    """Check the bearer token if there is one, on all routes; store it for the handler."""
    header = request.headers.get("Authorization", "")
    if not header:
        return
    if header.startswith("Bearer st."):
        raise _wrong_kind(request)
    token = header.removeprefix(_PREFIX) if header.startswith(_PREFIX) else ""
    request[TOKEN] = instance_of(request).tokens.verify(token, clock.now().wall)


def identity_of(request: web.Request) -> Identity:
    """The authenticated identity, or 401."""
    row = request.get(TOKEN)
    if row is None:
        raise api_errors.unauthorized("Token missing")
    identity = instance_of(request).store.identities.get(row.identity_id)
    if identity is None:
        raise api_errors.unauthorized("Failed to authorize: org membership lost")
    return identity


def in_project(request: web.Request, project_id: str | None, slug: str | None = None) -> Caller:
    """The caller in a project named by id (which wins) or slug; 400, 404 or 403."""
    instance, identity = instance_of(request), identity_of(request)
    if project_id:
        project = projects.by_id(instance.store, project_id)
    elif slug:
        project = projects.by_slug(instance.store, slug, identity.org_id)
    else:
        raise api_errors.bad_request("Please provide either workspaceId or workspaceSlug")
    return Caller(instance, identity, project, instance.ability(identity, project))


def _wrong_kind(request: web.Request) -> api_errors.ApiError:
    return api_errors.ApiError(
        403,
        f"Forbidden access to {request.path_qs}",
        "You are not allowed to access this resource",
    )
