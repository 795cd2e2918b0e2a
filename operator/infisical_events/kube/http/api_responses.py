"""Responses of the API server: objects, pages of lists, events of watches, and errors."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import msgspec

from infisical_events.core.status.text import single_line
from infisical_events.kube.http.api_requests import JSON, METADATA_LIST, JSONObject
from infisical_events.kube.kubernetes_errors import KubernetesError, error_for_status

_MAX_QUOTE_LENGTH = 500
"""Characters of the API server's message that are quoted."""
_IDENTITY = {"name", "uid", "resourceVersion"}


class _ObjectMeta(TypedDict, total=False):
    """What is used of the metadata in a list; `managedFields` alone would be most of its text."""

    name: str
    namespace: str
    uid: str
    resourceVersion: str
    generation: int
    creationTimestamp: str | None
    deletionTimestamp: str
    annotations: dict[str, str] | None


class _ListedObject(TypedDict, total=False):
    metadata: _ObjectMeta


_ListMeta = TypedDict("_ListMeta", {"continue": str}, total=False)


class _MetadataList(TypedDict, total=False):
    metadata: _ListMeta
    items: list[_ListedObject] | None


_DECODERS: Mapping[str, Callable[[bytes], Any]] = {METADATA_LIST: msgspec.json.Decoder(_MetadataList).decode}


def items_of(page: JSONObject) -> list[JSONObject]:
    """The items of a page; null is an empty list of metadata, any other non-list is an error."""
    try:
        found: list[JSONObject] = list(page["items"] or ())
        is_valid = all(item["metadata"].keys() >= _IDENTITY for item in found)
    except (KeyError, TypeError, AttributeError):
        is_valid = False
    if not is_valid:
        raise KubernetesError("the API server's response is not a list")
    return found


def decoded(status: int, data: bytes, accept: str = JSON) -> JSONObject:
    """The object of a response in the representation of `accept`.

    Raises:
        KubernetesError: the status is an error, whose message is quoted, or this is no object.
    """
    is_success = 200 <= status < 300  # noqa: PLR2004 - success
    try:
        body = _DECODERS.get(accept if is_success else JSON, msgspec.json.decode)(data)
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError
        body = None
    if not is_success:
        raise error_for_status(status, _message_of(body))
    if not isinstance(body, dict):
        raise KubernetesError("the API server's response is not an object")
    return body


def watch_event(line: bytes) -> JSONObject:
    """One event of a watch; raises KubernetesError for an error, and when the line is no event."""
    try:
        event: JSONObject = msgspec.json.decode(line)
        stored = event["object"]
        version = str(stored["metadata"]["resourceVersion"]) if event["type"] != "ERROR" else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KubernetesError("the API server's response is no event of a watch") from None
    if not version:
        raise KubernetesError(_message_of(stored) or "the API server ended the watch")
    return event


def _message_of(body: object) -> str:
    """The message of a Status object, on one line and truncated; empty for any other body, as of a proxy."""
    message = body.get("message") if isinstance(body, dict) else None
    return single_line(str(message or ""))[:_MAX_QUOTE_LENGTH]
