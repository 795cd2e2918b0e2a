"""Frames of the Events API, decoded into values.

Two generations of payloads are supported: `{projectType, data}` with `secretKey`, and the older
`{type, data}` with `secretKeys` (a string there, in spite of its name). A frame that cannot be decoded
becomes an `UnrecognizedFrame`: it still triggers a read, because the state decides and not the event.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infisical_events.api.specs import EventType
from infisical_events.core.paths.scopes import Folder, canonical

_IMPORT = EventType.IMPORT_MUTATION

_MAX_KEYS = 10_000
"""Keys of one event; Infisical changes 1,000 secrets at once, at most."""

_MAX_FOLDERS = 1_000
"""Folders of one event."""

_PUNCTUATION = '"{[,'
_MAX_PUNCTUATION = 300_000
"""Of these characters in one event: the most keys, each with its own folder. To parse many more would take a
quarter of a second, to count them takes a millisecond."""

_MAX_NAME_LENGTH = 2_048
"""Characters of a key, a path and an environment."""


@dataclass(frozen=True, slots=True)
class SecretEvent:
    """One change as Infisical reports it; `keys` is empty for an import mutation."""

    type: EventType
    folder: Folder
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class UnrecognizedFrame:
    """A frame that is none of the four event types; `why` never contains foreign text."""

    why: str


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """`event: error`: the server is about to end the stream (lost permission, or an internal error)."""


_TOO_LARGE = UnrecognizedFrame("the event has too many keys, or a very long one")

Frame = SecretEvent | UnrecognizedFrame | ErrorFrame


def decode_frame(name: str, data: str) -> tuple[Frame, ...]:
    """Decode one Server-Sent Event.

    A ping has no data, and the SSE decoder may produce empty events of its own: both decode to nothing.
    """
    if name == "error":
        return (ErrorFrame(),)
    if not data or name == "ping":
        return ()
    if sum(map(data.count, _PUNCTUATION)) > _MAX_PUNCTUATION:
        return (_TOO_LARGE,)
    try:
        envelope = json.loads(data)
    except ValueError:
        return (UnrecognizedFrame("the data is not JSON"),)
    except RecursionError:
        return (UnrecognizedFrame("the data is nested too deeply"),)
    return _events(envelope)


def _events(envelope: object) -> tuple[Frame, ...]:
    data = envelope.get("data") if isinstance(envelope, Mapping) else None
    if not isinstance(data, Mapping):
        return (UnrecognizedFrame("the envelope has no data object"),)
    kind = data.get("eventType", data.get("event"))
    if not isinstance(kind, str) or kind not in set(EventType):
        return (UnrecognizedFrame("the event type is unknown"),)
    payload = data.get("payload")
    items = payload if isinstance(payload, list) else [payload]
    grouped: dict[Folder, set[str]] = defaultdict(set)
    for item in items:
        if not (isinstance(item, Mapping) and _is_placed(item)):
            return (UnrecognizedFrame("an item has no environment or no path"),)
        folder = Folder(item["environment"], canonical(item["secretPath"]))
        grouped[folder].update(_keys(item))
    if not grouped:
        return (UnrecognizedFrame("the payload is empty"),)
    if _is_too_large(grouped):
        return (_TOO_LARGE,)
    event_type = EventType(kind)
    return tuple(
        SecretEvent(event_type, folder, frozenset() if event_type is _IMPORT else frozenset(keys))
        for folder, keys in grouped.items()
    )


def _is_too_large(keys: Mapping[Folder, set[str]]) -> bool:
    if len(keys) > _MAX_FOLDERS or sum(map(len, keys.values())) > _MAX_KEYS:
        return True
    return any(
        len(name) > _MAX_NAME_LENGTH
        for folder, of_folder in keys.items()
        for name in (folder.environment, folder.path, *of_folder)
    )


def _is_placed(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("environment"), str) and isinstance(item.get("secretPath"), str)


def _keys(item: Mapping[str, Any]) -> Iterator[str]:
    for field in ("secretKey", "secretKeys"):
        value = item.get(field)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (key for key in value if isinstance(key, str))
