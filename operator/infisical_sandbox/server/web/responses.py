"""JSON responses like those of the real server: compact, with a strong ETag, errors with a request id."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets as randomness
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infisical_sandbox.server.domain.api_errors import ApiError


def ok(body: object) -> web.Response:
    """200 with a JSON body."""
    return _json(body, 200)


def error_response(api_error: ApiError, *, has_request_id: bool = True) -> web.Response:
    """An error as JSON: request id, status, name, message, details."""
    body: dict[str, object] = {"reqId": f"req-{randomness.token_urlsafe(11)[:14]}"} if has_request_id else {}
    body |= {
        "statusCode": api_error.status,
        "message": api_error.message,
        "error": api_error.error,
    }
    if api_error.details is not None:
        body["details"] = list(api_error.details)
    return _json(body, api_error.status, api_error.headers)


def no_route(method: str, path: str) -> web.Response:
    """The framework's own 404, which has no request id."""
    message = f"Route {method}:{path} not found"
    return _json({"message": message, "error": "Not Found", "statusCode": 404}, 404)


def conditional(request: web.Request, response: web.Response) -> web.Response:
    """The response with its ETag, or 304 if the client has the same body.

    One value, with or without `W/`; neither lists nor `*` are understood.
    """
    if not isinstance(response.body, bytes):
        return response
    tag = etag(response.body)
    response.headers["ETag"] = tag
    if request.headers.get("If-None-Match") in {tag, f"W/{tag}"}:
        return web.Response(status=304, headers={"ETag": tag})
    return response


def etag(body: bytes) -> str:
    """The quoted base64 SHA-1 of the body."""
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    return f'"{base64.b64encode(digest).decode()}"'


def _json(body: object, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(
        body=data, status=status, headers=headers, content_type="application/json", charset="utf-8"
    )
