"""Parses a request into a model of `request_bodies`, or raises the error of the real server.

A request that does not match a model is a 422. Broken JSON, a missing body and a wrong content type are no
validation errors on the real server but a 500.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from infisical_sandbox.server.domain import api_errors
from infisical_sandbox.server.web.request_bodies import Body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

B = TypeVar("B", bound=Body)
C = TypeVar("C", bound=Body)
Issues = list[dict[str, object]]


async def read(request: web.Request, shape: type[B]) -> B:
    """The request's JSON as this model; 422 with all issues, 500 without valid JSON."""
    return parse(await data_of(request), shape)


async def read_both(request: web.Request, first: type[B], second: type[C]) -> tuple[B, C]:
    """The request's JSON in two shapes at once; 422 with the issues of both."""
    return parse_both(await data_of(request), first, second)


async def data_of(request: web.Request) -> Mapping[str, object]:
    """The JSON object of the body."""
    raw = await request.read()
    if request.content_type != "application/json" or not raw:
        raise _broken()
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise _broken() from error
    return data if isinstance(data, dict) else {"": data}


def query(request: web.Request, shape: type[B]) -> B:
    """The query in this shape; 422 with all issues."""
    return parse(dict(request.query), shape)


def query_both(request: web.Request, first: type[B], second: type[C]) -> tuple[B, C]:
    """The query in two shapes at once; 422 with the issues of both."""
    return parse_both(dict(request.query), first, second)


def parse(data: Mapping[str, object], shape: type[B]) -> B:
    """The data in this shape; 422 with all issues."""
    body, issues = _checked(data, shape)
    if body is None:
        raise api_errors.invalid(issues)
    return body


def parse_both(data: Mapping[str, object], first: type[B], second: type[C]) -> tuple[B, C]:
    """The data in two shapes; 422 with the issues of both."""
    (one, issues), (other, more) = _checked(data, first), _checked(data, second)
    if one is None or other is None:
        raise api_errors.invalid(issues + more)
    return one, other


def _checked(data: Mapping[str, object], shape: type[B]) -> tuple[B | None, Issues]:
    try:
        return shape.model_validate(data), []
    except ValidationError as error:
        return None, [_issue(dict(detail)) for detail in error.errors(include_url=False)]


def _issue(detail: dict[str, Any]) -> dict[str, object]:
    """A problem in the wording of the server's schema library."""
    path = list(detail["loc"])
    kind = detail["type"]
    if kind == "missing":
        return _typed("undefined", path, "Required")
    if kind in {"enum", "literal_error"}:
        return {"code": "invalid_enum_value", "path": path, "message": "Invalid enum value"}
    if kind in {"too_short", "string_too_short", "too_long"}:
        code = "too_big" if kind == "too_long" else "too_small"
        return {"code": code, "path": path, "message": detail["msg"]}
    if kind.endswith("_type"):
        return _typed(type(detail["input"]).__name__, path, detail["msg"])
    return {"code": "custom", "path": path, "message": detail["msg"]}


def _typed(received: str, path: list[object], message: str) -> dict[str, object]:
    return {"code": "invalid_type", "received": received, "path": path, "message": message}


def _broken() -> api_errors.ApiError:
    return api_errors.ApiError(500, "InternalServerError", "Something went wrong")
