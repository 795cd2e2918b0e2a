"""The fault switches over HTTP; they need `--admin` and the admin token.

Thin: each route parses its body and calls the method of `Controls` that a test would call in-process.
"""

from __future__ import annotations

import base64
import binascii
import secrets as randomness
from typing import TYPE_CHECKING, Annotated, Literal

from aiohttp import web
from pydantic import Field

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.domain import api_errors
from infisical_sandbox.server.faults import Ending, ResponseFault
from infisical_sandbox.server.web import authentication, request_parser, responses
from infisical_sandbox.server.web.request_bodies import Body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from infisical_sandbox.server.faults import Faults

    Action = Callable[[Controls, web.Request], Awaitable[object]]

Seconds = Annotated[float, Field(ge=0, strict=False)]


class FaultChange(Body):
    """The switches to change; those not named stay as they are, null means off."""

    plan_missing: bool = False
    connection_limit: int | None = None
    drop_events: int = 0
    delay_events: Seconds = 0.0
    extra_copies: int = 0
    ping_interval: Seconds | None = None
    stream_lifetime: Seconds | None = None
    recheck_interval: Seconds | None = None
    stale_reads: Seconds | None = None


class ResponseChange(Body):
    """A fault for the next requests that match `route`, a pattern over `METHOD /path`."""

    route: str = "*"
    count: int = 1
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    retry_after: int | None = None
    delay: Seconds = 0.0
    hang: bool = False


class StreamEnd(Body):
    """How all streams end."""

    ending: Annotated[Ending, Field(strict=False)] = Ending.CLEAN


class StreamWrite(Body):
    """Bytes for all streams, as text or base64."""

    text: str = ""
    base64: str = ""


class TokenAction(Body):
    """An action on the tokens of the identity."""

    action: Literal["revoke", "expire", "mint"]
    ttl: int | None = None


class PermissionChange(Body):
    """New rules, or a built-in role; neither removes the membership."""

    rules: tuple[dict[str, object], ...] | None = Field(None, strict=False)
    role: str | None = None


class ApprovalPolicy(Body):
    """Whether writes need a review."""

    required: bool


class Rotation(Body):
    """New values without an event at the folder, like a rotation."""

    environment: str
    path: str = "/"
    values: dict[str, str] = Field(repr=False)


def routes() -> list[web.RouteDef]:
    """The routes under `/__admin__`."""
    return [
        web.get("/__admin__/state", _guarded(_state)),
        web.put("/__admin__/faults", _guarded(_change_faults)),
        web.delete("/__admin__/faults", _guarded(_reset_faults)),
        web.post("/__admin__/responses", _guarded(_fail_requests)),
        web.post("/__admin__/streams/end", _guarded(_end_streams)),
        web.post("/__admin__/streams/write", _guarded(_write_streams)),
        web.post("/__admin__/streams/recheck", _guarded(_recheck_streams)),
        web.post("/__admin__/tokens", _guarded(_act_on_tokens)),
        web.put("/__admin__/permissions", _guarded(_change_permissions)),
        web.put("/__admin__/approvals", _guarded(_require_approvals)),
        web.post("/__admin__/approvals/{id}/merge", _guarded(_merge_approval)),
        web.post("/__admin__/rotations", _guarded(_rotate)),
        web.get("/__admin__/journal", _guarded(_journal)),
    ]


def _guarded(action: Action) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        instance = authentication.instance_of(request)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not randomness.compare_digest(given.encode(), instance.admin_token.encode()):
            raise api_errors.unauthorized("This route needs the adminToken of the ready file")
        return responses.ok(await action(Controls(instance), request))

    return handler


async def _state(controls: Controls, request: web.Request) -> object:
    del request
    faults = controls.faults
    return {
        "streams": controls.count_streams(),
        "waitingJobs": controls.instance.fan_out.waiting,
        "faults": {name: getattr(faults, name) for name in _SIMPLE_SWITCHES},
        "responses": len(faults.responses),
    }


_SIMPLE_SWITCHES = ("plan_missing", "connection_limit", "drop_events", "delay_events", "extra_copies")


async def _change_faults(controls: Controls, request: web.Request) -> object:
    change = await request_parser.read(request, FaultChange)
    given = change.model_dump(include=change.model_fields_set)
    for name in _SIMPLE_SWITCHES:
        if name in given:
            setattr(controls.faults, name, given[name])
    if "stale_reads" in given:
        controls.freeze_reads(change.stale_reads or 0)
    controls.set_timing(**_timing(controls.faults) | {k: v for k, v in given.items() if k in _TIMING})
    return await _state(controls, request)


_TIMING = ("ping_interval", "stream_lifetime", "recheck_interval")


def _timing(faults: Faults) -> dict[str, float | None]:
    return {name: getattr(faults, name) for name in _TIMING}


async def _reset_faults(controls: Controls, request: web.Request) -> object:
    controls.reset_faults()
    return await _state(controls, request)


async def _fail_requests(controls: Controls, request: web.Request) -> object:
    change = await request_parser.read(request, ResponseChange)
    controls.fail_requests(ResponseFault(**change.model_dump()))
    return {"responses": len(controls.faults.responses)}


async def _end_streams(controls: Controls, request: web.Request) -> object:
    body = await request_parser.read(request, StreamEnd)
    return {"streams": controls.end_streams(body.ending)}


async def _write_streams(controls: Controls, request: web.Request) -> object:
    body = await request_parser.read(request, StreamWrite)
    try:
        data = base64.b64decode(body.base64, validate=True) or body.text.encode()
    except binascii.Error as error:
        raise api_errors.bad_request("base64 does not decode") from error
    controls.write_streams(data)
    return {"streams": controls.count_streams(), "bytes": len(data)}


async def _recheck_streams(controls: Controls, request: web.Request) -> object:
    del request
    controls.recheck_streams()
    return {"streams": controls.count_streams()}


async def _act_on_tokens(controls: Controls, request: web.Request) -> object:
    body = await request_parser.read(request, TokenAction)
    match body.action:
        case "mint":
            return {"accessToken": controls.mint_token(body.ttl)}
        case "revoke":
            return {"tokens": controls.revoke_tokens()}
        case "expire":
            return {"tokens": controls.expire_tokens()}


async def _change_permissions(controls: Controls, request: web.Request) -> object:
    body = await request_parser.read(request, PermissionChange)
    try:
        if body.rules is not None:
            controls.permit(body.rules)
        elif body.role is not None:
            controls.assign_role(body.role)
        else:
            controls.expel()
    except ValueError as error:
        raise api_errors.bad_request(str(error)) from error
    return {"rules": len(body.rules or ()), "role": body.role}


async def _require_approvals(controls: Controls, request: web.Request) -> object:
    body = await request_parser.read(request, ApprovalPolicy)
    controls.require_approvals(wanted=body.required)
    return {"required": body.required}


async def _merge_approval(controls: Controls, request: web.Request) -> object:
    approval_id = request.match_info["id"]
    try:
        controls.merge_approval(approval_id)
    except LookupError as error:
        raise api_errors.not_found(str(error)) from error
    return {"merged": approval_id}


async def _rotate(controls: Controls, request: web.Request) -> object:
    body = await request_parser.read(request, Rotation)
    controls.rotate_secrets(body.environment, body.path, body.values)
    return {"rotated": sorted(body.values)}


async def _journal(controls: Controls, request: web.Request) -> object:
    since = request.query.get("since", "0")
    if not since.isdecimal():
        raise api_errors.bad_request("since is an entry number")
    return {"entries": [entry.as_json() for entry in controls.journal(int(since))]}
