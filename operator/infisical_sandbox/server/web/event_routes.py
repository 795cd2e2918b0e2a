"""The event subscription: the checks in the server's order, then an open stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import api_errors, subscriptions
from infisical_sandbox.server.event_streams import Stream
from infisical_sandbox.server.faults import Ending
from infisical_sandbox.server.web import authentication, request_bodies, request_parser

if TYPE_CHECKING:
    from infisical_sandbox.server.web.authentication import Caller
    from infisical_sandbox.server.web.request_bodies import Registration

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
}


def routes() -> list[web.RouteDef]:
    """The one route."""
    return [web.post("/api/v1/events/subscribe/project-events", subscribe)]


async def subscribe(request: web.Request) -> web.StreamResponse:
    """Open a stream.

    Order: token, 422 body, 404 or 403 project, 403 per entry, 400 plan, 429 limit. The head goes out at once;
    the body starts with the first ping or event.
    """
    authentication.identity_of(request)
    body = await request_parser.read(request, request_bodies.Subscription)
    caller = authentication.in_project(request, body.project_id)
    entries = tuple(_entry(registration) for registration in body.register_)
    for entry in entries:
        subscriptions.require(entry, caller.ability, caller.instance.generation)
    _check_plan_and_limit(caller)
    return await _stream(request, caller, entries)


async def _stream(
    request: web.Request, caller: Caller, entries: tuple[subscriptions.Entry, ...]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=_HEADERS)
    response.enable_chunked_encoding()
    hub, journal = caller.instance.hub, caller.instance.journal
    stream = _registered(request, caller, entries)
    try:
        await response.prepare(request)
        stream.silent = False
        journal.note("stream-opened", projectId=stream.project_id, streams=len(hub.streams))
        ending = await stream.done
        journal.note("stream-ended", projectId=stream.project_id, ending=ending.value)
        if ending is Ending.CLEAN:
            await response.write_eof()
    finally:
        hub.remove(stream)
        journal.note("stream-closed", projectId=stream.project_id, streams=len(hub.streams))
    return response


def _registered(request: web.Request, caller: Caller, entries: tuple[subscriptions.Entry, ...]) -> Stream:
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionResetError("the client left before its stream began")
    stream = Stream(
        caller.project.id,
        caller.identity.id,
        entries,
        caller.ability,
        transport,
        clock.now().monotonic,
        asyncio.get_running_loop().create_future(),
    )
    caller.instance.hub.add(stream, caller.instance.stream_lifetime)
    return stream


def _check_plan_and_limit(caller: Caller) -> None:
    instance = caller.instance
    if instance.faults.plan_missing:
        raise api_errors.bad_request(
            "Failed to subscribe to project events due to plan restriction. "
            "Upgrade plan to use event subscriptions."
        )
    limit = instance.connection_limit
    if limit is not None and instance.hub.count(caller.project.id) >= limit:
        raise api_errors.too_many(
            f"Too many concurrent event subscriptions for this project: the limit is {limit}"
        )


def _entry(registration: Registration) -> subscriptions.Entry:
    conditions = registration.conditions
    if conditions is None:
        return subscriptions.Entry(registration.event)
    return subscriptions.Entry(registration.event, conditions.environment_slug, conditions.secret_path)
