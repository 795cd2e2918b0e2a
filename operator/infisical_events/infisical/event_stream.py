"""The event stream: one POST whose response does not end, read as Server-Sent Events.

Any byte shows that the stream is alive (the server pings every 15 s). Without a byte for the duration of the
watchdog it counts as dead. Every end is a disconnect: a stream has no regular end.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import cast

import httpx
import httpx_sse

from infisical_events.api.specs import Spec
from infisical_events.core.snapshots.events import (
    ErrorFrame,
    Frame,
    SecretEvent,
    UnrecognizedFrame,
    decode_frame,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.authorized_client import AuthorizedClient, bearer
from infisical_events.infisical.error_responses import error_body, error_for
from infisical_events.infisical.http_client import (
    MAX_ERROR_BYTES,
    content_encoding_of,
    decompressed,
    read_response,
    translated_errors,
)
from infisical_events.infisical.infisical_errors import (
    InfisicalError,
    StreamEndedError,
    StreamGivenUpError,
    StreamRefusedError,
    TokenRejectedError,
    UnknownRouteError,
)
from infisical_events.infisical.responses import Response, described
from infisical_events.infisical.sse_lines import EventMemory, EventPermit, EventTooLongError, lines_of
from infisical_events.infisical.transport.fair_reads import ReadPace

SUBSCRIBE_PATH = "/api/v1/events/subscribe/project-events"

WATCHDOG = 45.0
"""Seconds without a byte after which the stream is closed: three missed pings."""

_TIMEOUT = 10.0
"""Seconds for each step of subscribing, other than waiting for bytes."""

_CONNECT_TIMEOUT = 30.0
"""Seconds from the subscribe request to the headers of the response, or to the end of an error response."""

_NAMES_WITHOUT_DATA = {"ping", "message", "error"}
"""Names of events that are complete without data; `message` stands for no name."""

_PLAN = re.compile(r"(?=.*\bplan\b).*\b(upgrade|restrict)", re.IGNORECASE)
"""In the 400 of an Infisical whose plan lacks event subscriptions; every other 400 is about the request."""

StreamItem = SecretEvent | UnrecognizedFrame
"""An item of an open stream: an event, or a frame that only triggers a read."""


def register_of(spec: Spec) -> list[dict[str, object]]:
    """The `register` array of the request, without the conditions that only the operator evaluates."""
    places = dict.fromkeys(
        (entry.event, entry.conditions.environment_slug, entry.conditions.secret_path)
        for entry in spec.events
    )
    return [
        {"event": str(event), "conditions": {"environmentSlug": environment, "secretPath": path}}
        for event, environment, path in places
    ]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How long a stream may say nothing, and how fast it is read.

    Attributes:
        pace: Shared by the streams of a namespace.
        event_permit: Admits one more long event into memory.
        watchdog: Seconds without a byte after which the stream is closed.
        connecting: Seconds from the request to the headers of the response.
    """

    pace: ReadPace
    event_permit: EventPermit = nullcontext
    watchdog: float = WATCHDOG
    connecting: float = _CONNECT_TIMEOUT


@asynccontextmanager
async def open_stream(
    client: AuthorizedClient,
    project_id: str,
    register: Iterable[Mapping[str, object]],
    limits: StreamLimits,
) -> AsyncIterator[AsyncIterator[StreamItem]]:
    """An open stream; leaving the context closes it.

    Raises:
        InfisicalError: the server rejected the subscription, or it failed.
        StreamEndedError: while iterating, at any end of the stream.
    """
    body = {"projectId": project_id, "register": list(register)}
    request = _SubscribeRequest(body, httpx.Timeout(_TIMEOUT, read=limits.watchdog), limits.connecting)
    async with AsyncExitStack() as stack:
        response = await _connected(client, request, stack)
        memory = await stack.enter_async_context(EventMemory(limits.event_permit))
        yield _items(response, limits.pace, memory)


@dataclass(frozen=True, slots=True)
class _SubscribeRequest:
    body: Mapping[str, object]
    timeout: httpx.Timeout
    connecting: float


async def _connected(
    client: AuthorizedClient, request: _SubscribeRequest, stack: AsyncExitStack
) -> httpx.Response:
    """Subscribe with the current token, and once more with a new one if it is rejected."""
    try:
        return await _connected_once(client, request, stack)
    except TokenRejectedError:
        return await _connected_once(client, request, stack)


async def _connected_once(
    client: AuthorizedClient, request: _SubscribeRequest, stack: AsyncExitStack
) -> httpx.Response:
    """The response, which the stack closes; one that is not a stream is closed immediately."""
    token = await client.token()
    connecting = httpx_sse.aconnect_sse(
        client.streams,
        "POST",
        SUBSCRIBE_PATH,
        json=request.body,
        headers=bearer(token) | {"Accept-Encoding": "identity"},
        timeout=request.timeout,
    )
    try:
        async with translated_errors(request.connecting), AsyncExitStack() as attempt:
            source = await attempt.enter_async_context(connecting)
            await _check(source.response)
            stack.push_async_exit(attempt.pop_all())
    except TokenRejectedError:
        client.invalidate(token)
        raise
    return source.response


async def _check(response: httpx.Response) -> None:
    if response.status_code != httpx.codes.OK:
        raise _subscribe_error(await read_response(response, MAX_ERROR_BYTES))
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        quote = described(await read_response(response, MAX_ERROR_BYTES))
        raise InfisicalError(
            Reason.UNEXPECTED_RESPONSE,
            f"The response is not an event stream{quote}: check spec.address and whether a proxy is in "
            "between.",
        )
    content_encoding_of(response)


def _subscribe_error(response: Response) -> InfisicalError:
    """At this endpoint some errors have a more specific reason, by their text or their headers."""
    error, status = error_for(response), response.status_code
    if status == httpx.codes.BAD_REQUEST and _PLAN.search(error.quote):
        return InfisicalError(
            Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS,
            f"Event Subscriptions need a plan that includes them{error.quote}. Until then the operator polls "
            "every resyncIntervalSeconds.",
        )
    if isinstance(error, UnknownRouteError) and error.is_infisical:
        return InfisicalError(
            Reason.EVENTS_NOT_SUPPORTED,
            "This Infisical does not support Event Subscriptions: upgrade it. Until then the operator polls "
            "every resyncIntervalSeconds.",
        )
    if status == httpx.codes.TOO_MANY_REQUESTS and _is_connection_limit(response):
        return InfisicalError(
            Reason.CONNECTION_LIMIT_REACHED,
            "The project has reached its limit of event streams (100): remove subscriptions or merge some. "
            "Until then the operator polls every resyncIntervalSeconds.",
        )
    if error.reason is Reason.PERMISSION_DENIED:
        return InfisicalError(
            error.reason,
            f"{error} Event streams need the Secret Events permission for each event and path.",
        )
    return error


def _is_connection_limit(response: Response) -> bool:
    """Whether Infisical, and neither its rate limiter nor a proxy, sent this 429."""
    is_limiter = "x-ratelimit-limit" in response.headers or "retry-after" in response.headers
    return not is_limiter and error_body(response).get("error") == "RateLimitExceeded"


class _LinewiseResponse:
    """A response that yields one whole line at a time to httpx-sse, which would only split them."""

    def __init__(self, response: httpx.Response, pace: ReadPace, memory: EventMemory) -> None:
        self._response = response
        self._pace = pace
        self._memory = memory
        self.headers = response.headers

    def aiter_text(self) -> AsyncIterator[str]:
        return lines_of(decompressed(self._response), self._pace, self._memory)


async def _items(response: httpx.Response, pace: ReadPace, memory: EventMemory) -> AsyncIterator[StreamItem]:
    linewise = cast("httpx.Response", _LinewiseResponse(response, pace, memory))
    try:
        async for sse in httpx_sse.EventSource(linewise).aiter_sse():
            await pace.event()
            for frame in _frames(sse):
                if isinstance(frame, ErrorFrame):
                    cause = "the server withdrew the permission or could not check it"
                    raise _stream_ended(cause, StreamRefusedError)
                yield frame
    except httpx.ReadTimeout:
        raise _stream_ended("no data was received for too long", StreamGivenUpError) from None
    except httpx.HTTPError as error:
        raise _stream_ended(f"the connection failed ({type(error).__name__})") from None
    except EventTooLongError:
        raise _stream_ended("an event is too large, or too slow", StreamGivenUpError) from None
    raise _stream_ended("the server closed it")


def _frames(sse: httpx_sse.ServerSentEvent) -> tuple[Frame, ...]:
    """The frames of an SSE event; one with a name but without data is incomplete, and may be any event."""
    if not sse.data and sse.event not in _NAMES_WITHOUT_DATA:
        return (UnrecognizedFrame("the event has no data"),)
    return decode_frame(sse.event, sse.data)


def _stream_ended(cause: str, kind: type[StreamEndedError] = StreamEndedError) -> StreamEndedError:
    return kind(Reason.STREAM_ENDED, f"The event stream ended: {cause}. Reconnecting.")
