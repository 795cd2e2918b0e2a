"""The middlewares of all requests: log line, fault switches, token check, errors as JSON, ETag."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import api_errors
from infisical_sandbox.server.domain.api_errors import ApiError
from infisical_sandbox.server.web import authentication, go_port, responses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from infisical_sandbox.server.faults import ResponseFault

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ADMIN_PREFIX = "/__admin__"
_LOG = logging.getLogger("infisical_sandbox.requests")
_WINDOW = 60
_TOO_MANY = 429
_PLAIN_ERRORS = {502: "Bad Gateway", 503: "ServiceUnavailable", 504: "GatewayTimeout"}


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log 1 line per request, without headers, query and body."""
    started = clock.now().monotonic
    status: int | str = "gone"
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        elapsed = (clock.now().monotonic - started) * 1000
        _LOG.info("%s %s %s %.1fms", request.method, request.path, status, elapsed)


@web.middleware
async def inject_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Apply the response faults, before all other checks."""
    faults = authentication.instance_of(request).faults
    fault = None
    if not request.path.startswith(ADMIN_PREFIX):
        fault = faults.take_response(f"{request.method} {request.path}")
    if fault is None:
        return await handler(request)
    if fault.hang:
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(fault.delay)
    return responses.error_response(_injected(fault)) if fault.status else await handler(request)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return errors as JSON; check the token even if the route does not exist."""
    instance = authentication.instance_of(request)
    try:
        if not request.path.startswith(ADMIN_PREFIX):
            authentication.authenticate(request)
        response = await handler(request)
        instance.database.commit()
    except ApiError as api_error:
        instance.database.commit()
        response = _error_response(request, api_error)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        is_ported = go_port.serves(request)
        response = go_port.no_route() if is_ported else responses.no_route(request.method, request.path_qs)
    except web.HTTPRequestEntityTooLarge:
        response = responses.error_response(_something_wrong())
    if isinstance(response, web.Response):
        return responses.conditional(request, response)
    return response


def _error_response(request: web.Request, api_error: ApiError) -> web.Response:
    if go_port.serves(request):
        return responses.error_response(go_port.error_of(api_error), has_request_id=False)
    return responses.error_response(api_error)


def _injected(fault: ResponseFault) -> ApiError:
    status = fault.status or 500
    if status != _TOO_MANY:
        return ApiError(status, _PLAIN_ERRORS.get(status, "InternalServerError"), "Something went wrong")
    if fault.retry_after is None:
        return api_errors.too_many("Rate limit exceeded")
    seconds = str(fault.retry_after)
    headers = {
        "x-ratelimit-limit": str(_WINDOW),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": seconds,
        "retry-after": seconds,
    }
    message = f"Rate limit exceeded. Please try again in {seconds} seconds"
    return api_errors.too_many(message, headers)


def _something_wrong() -> ApiError:
    return ApiError(500, "InternalServerError", "Something went wrong")
