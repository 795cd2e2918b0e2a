"""What replicas of some generation answer: their data, their own refusals, and something in between.

Bodies have the shape of their generation, so that the operator's own code tells them apart. Facts of the Go
port are those of `infisical_sandbox.server.web.go_port`.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import SecretVersion
from infisical_events.infisical.responses import Response
from infisical_sandbox.server.domain import api_errors
from infisical_sandbox.server.domain.api_errors import ApiError
from infisical_sandbox.server.web import go_port
from simulation.environment import PAYMENTS, SHARED
from simulation.server_generations import ServerGeneration, Servers

if TYPE_CHECKING:
    from simulation.infisical_model import StoredState

SUBSCRIBE = "/api/v1/events/subscribe/project-events"

_NEWER_ROUTES = ("/api/v4/", "/api/v2/folders", "/api/v1/projects", "/api/v1/events/")
"""Routes that a server from before the Events API does not have."""

_PORTED_ROUTES = ("/api/v4/secrets", "/api/v3/secrets/raw", "/api/v1/projects")
"""Routes of the Go port, as in `infisical_sandbox.server.web.go_port`."""

_REQUEST = httpx.Request("GET", "https://app.infisical.com/api")
"""What errors are about: only its headers and its path count, and they have no secret."""

Headers = Mapping[str, str]


def _plain(status: int, text: str) -> Response:
    return Response(_REQUEST, status, httpx.Headers({"content-type": "text/plain"}), text.encode())


def _json(status: int, body: Mapping[str, Any], headers: Headers | None = None) -> Response:
    return Response(_REQUEST, status, httpx.Headers(headers or {}), json.dumps(body).encode())


def _no_route(method: str, path: str) -> Response:
    """The 404 of the Node server's web framework."""
    message = f"Route {method}:{path} not found"
    return _json(404, {"message": message, "error": "Not Found", "statusCode": 404})


_IN_BETWEEN: Mapping[str, Response] = {
    "starting": _plain(503, "no healthy upstream"),
    "mesh": _plain(403, "RBAC: access denied"),
    "gateway": _json(403, {"statusCode": 403, "error": "Forbidden", "message": "not ready"}),
    "backend": _plain(404, "default backend - 404"),
}
"""Troubles in which something in between answers every request of a replica."""

_OWN: Mapping[str, ApiError] = {
    "membership": api_errors.forbidden("You are not a member of this project", "ProjectMembershipNotFound"),
    "describe": api_errors.denied("describeSecret", "secrets", ()),
    "role": api_errors.denied("subscribe-to-update-events", "secret-event-subscriptions", ()),
    "plan": api_errors.bad_request(
        "Failed to subscribe to project events due to plan restriction. Upgrade plan to use event "
        "subscriptions."
    ),
    "request": api_errors.bad_request("Identity does not belong to this organization"),
}
"""Troubles in which Infisical itself refuses: the permissions, the plan or the identity are not migrated."""

_OF_READS, _OF_SUBSCRIBE = {"membership", "describe"}, {"membership", "role", "plan", "request"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request as a replica gets it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Headers
    generation: ServerGeneration

    @property
    def is_ported(self) -> bool:
        """Whether the Go port answers it."""
        is_read = self.method == "GET" and self.path.startswith(_PORTED_ROUTES)
        return self.generation.contract.has_ported_reads and is_read


def login_response(servers: Servers) -> Response:
    """The response to a login; its token is of the generation of the replica that issued it."""
    generation = servers.picked()
    trouble = servers.trouble_of(generation)
    if trouble in _IN_BETWEEN:
        servers.note(trouble)
        return _IN_BETWEEN[trouble]
    return _json(200, {"accessToken": f"{_token_kind(generation)}-token", "expiresIn": 86_400})


def response_to(servers: Servers, method: str, target: str, headers: Headers, token: str) -> Response:
    """The response of some replica to one request."""
    generation, parts = servers.picked(), urlsplit(target)
    asked = _Asked(method, parts.path, dict(parse_qsl(parts.query)), headers, generation)
    trouble = servers.trouble_of(generation)
    if (refusal := _refusal(servers, asked, trouble, token)) is not None:
        return refusal
    try:
        return _routed(servers, asked)
    except ApiError as error:
        return _error(asked, error)


def stream_generation(servers: Servers, token: str) -> ServerGeneration | Response:
    """The generation of the replica that opens a stream, or its refusal."""
    generation = servers.picked()
    asked = _Asked("POST", SUBSCRIBE, {}, {}, generation)
    refusal = _refusal(servers, asked, servers.trouble_of(generation), token)
    return generation if refusal is None else refusal


def _token_kind(generation: ServerGeneration) -> str:
    return "new" if generation.contract.self_contained_tokens else "row"


def _refusal(servers: Servers, asked: _Asked, trouble: str, token: str) -> Response | None:
    """What comes before the data: something in between, the token, the router, permissions and the plan."""
    is_subscribe = asked.path == SUBSCRIBE
    what, response = "", None
    if trouble in _IN_BETWEEN:
        what, response = trouble, _IN_BETWEEN[trouble]
    elif trouble == "port" and is_subscribe:
        what, response = "port", _plain(404, "404 page not found\n")
    elif token.startswith("new") and _token_kind(asked.generation) == "row":
        what = "token"  # a self-contained token has no row in the database
        response = _error(asked, api_errors.unauthorized("No identity access token found"))
    elif trouble == "unrouted" or (asked.generation.is_old and asked.path.startswith(_NEWER_ROUTES)):
        what, response = "no route", _no_route(asked.method, asked.path)
    elif trouble in (_OF_SUBSCRIBE if is_subscribe else _OF_READS):
        what, response = trouble, _error(asked, _OWN[trouble])
    if response is not None:
        servers.note(what)
    return response


def _error(asked: _Asked, error: ApiError) -> Response:
    """The error as that server writes it."""
    error = go_port.error_of(error) if asked.is_ported else error
    body = {"statusCode": error.status, "message": error.message, "error": error.error}
    return _json(error.status, body if asked.is_ported else {"reqId": "req-abcdefghijklmn", **body})


def _routed(servers: Servers, asked: _Asked) -> Response:
    lists = "/api/v4/secrets" if asked.path.startswith("/api/v4/") else "/api/v3/secrets/raw"
    if asked.path == lists:
        return _list(servers, asked)
    if asked.path.startswith(f"{lists}/"):
        return _one(servers, asked, unquote(asked.path.removeprefix(f"{lists}/")))
    if asked.path.endswith("/folders"):
        return _subfolders(servers, asked)
    slugs = [servers.infisical.slug_of(folder.environment) for folder in (PAYMENTS, SHARED)]
    name = "workspace" if asked.path.startswith("/api/v1/workspace/") else "project"
    return _json(200, {name: {"id": "project", "environments": [{"slug": slug} for slug in slugs]}})


def _place(servers: Servers, asked: _Asked, path: str) -> Folder:
    """The folder that is asked for, under its true environment; 404 if reads do not find it now."""
    slug = asked.query["environment"]
    environment = servers.infisical.environment_of(slug)
    folder = Folder(environment, path)
    is_named = slug == environment
    if environment and not (is_named and servers.infisical.is_lost(folder)):
        return folder
    servers.note("missing")
    if asked.is_ported:
        raise api_errors.not_found("Folder not found" if environment else "Environment not found")
    message = f"Folder with path '{path}' in environment with slug '{slug}' not found"
    raise api_errors.not_found(message, "SecretPathNotFound")


def _list(servers: Servers, asked: _Asked) -> Response:
    """A list with its ETag; the Go port leaves `imports` out when there are none."""
    folder = _place(servers, asked, asked.query["secretPath"])
    state = servers.infisical.read()
    scope = Scope(folder, recursive=asked.query["recursive"] == "true")
    with_values = asked.query["viewSecretValue"] == "true"
    own = [
        secret
        for place, held in state.folders.items()
        if scope.covers(place)
        for secret in _secrets(place.path, held, with_values=with_values)
    ]
    imports = list(_imports(servers, state, scope, with_values=with_values))
    body = {"secrets": own} | ({} if asked.is_ported and not imports else {"imports": imports})
    response = _json(200, body)
    etag = f'"{zlib.crc32(response.content):x}"'
    if asked.headers.get("If-None-Match") == etag:
        return replace(response, status_code=304, content=b"")
    return replace(response, headers=httpx.Headers({"etag": etag}))


def _imports(
    servers: Servers, state: "StoredState", scope: Scope, *, with_values: bool
) -> Iterator[Mapping[str, Any]]:
    for folder, listed in state.imports.items():
        for source in listed if scope.covers(folder) else ():
            yield {
                "environment": servers.infisical.slug_of(source.environment),
                "secretPath": source.path,
                "secrets": _secrets(source.path, state.folders.get(source, {}), with_values=with_values),
            }


def _secrets(path: str, held: Mapping[str, SecretVersion], *, with_values: bool) -> list[Mapping[str, Any]]:
    return [
        {"id": secret.id, "secretKey": key, "version": secret.version, "secretPath": path, "type": "shared"}
        | ({"secretValue": secret.digest} if with_values else {"secretValueHidden": True})
        for key, secret in held.items()
    ]


def _one(servers: Servers, asked: _Asked, key: str) -> Response:
    folder = _place(servers, asked, asked.query["secretPath"])
    held = servers.infisical.read().folders.get(folder, {})
    if key not in held:
        raise api_errors.not_found(f"Secret with name '{key}' not found")
    (shown,) = _secrets(folder.path, {key: held[key]}, with_values=False)
    return _json(200, {"secret": shown})


def _subfolders(servers: Servers, asked: _Asked) -> Response:
    environment = servers.infisical.environment_of(asked.query["environment"])
    if not environment:
        servers.note("missing")
        raise api_errors.not_found("Environment not found", "SecretPathNotFound")
    below = asked.query["path"].rstrip("/") + "/"
    paths = [folder.path for folder in servers.infisical.read().folders if folder.environment == environment]
    names = {path.removeprefix(below).split("/")[0] for path in paths if path.startswith(below)}
    return _json(200, {"folders": [{"name": name} for name in sorted(names)]})
