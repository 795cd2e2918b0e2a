"""The Go port of the server, where it differs from Node: errors, omitted fields, defaults of a list.

It has the routes that read secrets and projects. `middleware` and the routes ask this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server.domain import api_errors, projects
from infisical_sandbox.server.domain.api_errors import ApiError
from infisical_sandbox.server.web import authentication

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.data_store import Store

    Json = dict[str, object]

_READS = ("/api/v4/secrets", "/api/v3/secrets/raw", "/api/v1/projects")
_OMITTED = ("tags", "secretMetadata", "skipMultilineEncoding", "imports")
"""Fields that are left out when they are empty."""


def serves(request: web.Request) -> bool:
    """Whether this request is one of the Go port."""
    has_port = authentication.instance_of(request).generation.has_ported_reads
    return has_port and request.method == "GET" and request.path.startswith(_READS)


def error_of(node_error: ApiError) -> ApiError:
    """The port's error for the same mistake."""
    if node_error.error == "TokenError":
        return api_errors.unauthorized("You are not allowed to access this resource")
    if isinstance(node_error.message, list):
        details = [{"field": issue.get("path"), "message": issue["message"]} for issue in node_error.message]
        return ApiError(400, "ValidationError", "Validation failed", details=details)
    if node_error.status == 404:  # noqa: PLR2004 - Not Found
        return ApiError(404, "NotFound", node_error.message)
    return node_error


def no_route() -> web.Response:
    """The router's own 404."""
    return web.Response(
        status=404, text="404 page not found\n", headers={"X-Content-Type-Options": "nosniff"}
    )


def missing_place(store: Store, project_id: str, environment: str) -> ApiError:
    """404 for a folder, or for the environment that it would be in."""
    exists = projects.find_environment(store, project_id, environment) is not None
    return api_errors.not_found("Folder not found" if exists else "Environment not found")


def without_empty(body: Json) -> Json:
    """The body of a list, without the fields that are empty, also of each secret."""
    return {
        name: [without_empty(entry) for entry in value] if name in {"secrets", "imports"} else value  # type: ignore[attr-defined] # lists
        for name, value in body.items()
        if name not in _OMITTED or value
    }
