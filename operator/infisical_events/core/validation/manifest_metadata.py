"""`metadata` of a manifest by the rules of the API server: names, labels and annotations."""

import re
from collections.abc import Iterator
from typing import Any

from infisical_events.core.validation.findings import Finding, error, suggestion

_FIELDS = frozenset(
    {
        *(
            "annotations",
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
        ),
        *("generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences"),
        *("resourceVersion", "selfLink", "uid"),
    }
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_KEY = re.compile(r"[a-z0-9]([-._a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_LABEL = re.compile(r"([a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)?", re.ASCII)
_LONGEST_NAME = 253
_MOST_BYTES = 256 * 1024
"""The API server's limit of all annotations of an object."""


def metadata_findings(manifest: dict[str, Any]) -> Iterator[Finding]:
    """What the API server rejects in `metadata`."""
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        yield error(("metadata",), "write the name of the object under metadata.name")
        return
    for field in metadata.keys() - _FIELDS:
        yield error(("metadata", field), f"unknown field{suggestion(field, _FIELDS)}")
    yield from _name_findings(metadata)
    yield from _map_findings(metadata, "annotations")
    yield from _map_findings(metadata, "labels")


def texts_of(metadata: Any, field: str) -> dict[str, str]:  # noqa: ANN401 - JSON
    """The entries of `annotations` or `labels` that are texts."""
    found = metadata.get(field) if isinstance(metadata, dict) else None
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def _name_findings(metadata: dict[str, Any]) -> Iterator[Finding]:
    name = metadata.get("name")
    if name is None and metadata.get("generateName"):
        return
    if not name:
        yield error(("metadata", "name"), "Required value: the object has no name")
    elif not isinstance(name, str) or not _is_name(name):
        message = "use the name of an object, of lower-case letters, digits, '-' and '.'"
        yield error(("metadata", "name"), message)


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def _map_findings(metadata: dict[str, Any], field: str) -> Iterator[Finding]:
    texts = metadata.get(field)
    if texts is None:
        return
    place = ("metadata", field)
    if not isinstance(texts, dict):
        yield error(place, "must be a map of text to text")
        return
    for key, text in texts.items():
        # `null` counts as an empty text.
        if text is not None and not isinstance(text, str):
            yield error((*place, key), "the value must be text: put it in quotes")
        if not _is_key(key):
            message = "use a key that labels and annotations can have, such as app.kubernetes.io/name"
            yield error((*place, key), message)
        if field == "labels" and isinstance(text, str) and not _LABEL.fullmatch(text):
            message = "use at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
            yield error((*place, key), message)
    if field == "annotations" and _size(texts) > _MOST_BYTES:
        yield error(place, f"must have at most {_MOST_BYTES} bytes in total")


def _is_key(key: str) -> bool:
    """Whether it is a qualified name; the API server ignores upper case in it, also in keys of labels."""
    prefix, slash, name = key.rpartition("/")
    return _KEY.fullmatch(name.lower()) is not None and (not slash or _is_name(prefix.lower()))


def _size(texts: dict[str, Any]) -> int:
    return sum(len(f"{key}{text}".encode(errors="replace")) for key, text in texts.items())
