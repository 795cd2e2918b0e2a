"""Reads manifests from files, folders and standard input, and knows the line of each field.

YAML is read as kubectl does it: YAML 1.1 in which dates and `1:30` are text, `y` and `n` are booleans, and a
whole number stays one if it is written `1.0`.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infisical_events.core.validation.findings import Place
from infisical_events.core.validation.manifests import Manifest

_SUFFIXES = {".yaml", ".yml", ".json"}
_STDIN = "-"
_MOST_BYTES = 64 * 1024 * 1024
_LARGEST_WHOLE = 1e15
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_construct: Any = yaml.SafeLoader


class UnreadableError(Exception):
    """A file cannot be read, or is no YAML or JSON; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class FileManifest(Manifest):
    """An object in a file."""

    file: str = ""
    node: yaml.Node | None = field(default=None, repr=False, compare=False)
    repeated_keys: tuple[Place, ...] = ()

    def line_of(self, place: Place) -> int:
        """The line of a field, or of the deepest part of it that exists."""
        node, line = self.node, self.node.start_mark.line if self.node else 0
        for step in place:
            found = _inner(node, step) if node else None
            if found is None:
                break
            line, node = found
        return line + 1


class _Loader(_Base):  # type: ignore[misc] # one of two classes, by what is installed
    """YAML as kubectl reads it."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
    ]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$"),
    list("yYnNtTfFoO"),
)


def _bool(loader: Any, node: yaml.ScalarNode) -> bool:  # noqa: ANN401 - one of two classes
    return str(loader.construct_scalar(node)).lower() in {"y", "yes", "true", "on"}


def _int(loader: Any, node: yaml.ScalarNode) -> int | str:  # noqa: ANN401 - one of two classes
    """A number, or text for `1:30`, which is a number of base 60 for YAML 1.1 alone."""
    text = str(loader.construct_scalar(node))
    return text if ":" in text else int(_construct.construct_yaml_int(loader, node))


def _float(loader: Any, node: yaml.ScalarNode) -> float | int | str:  # noqa: ANN401 - one of two classes
    text = str(loader.construct_scalar(node))
    if ":" in text:
        return text
    number = float(_construct.construct_yaml_float(loader, node))
    return int(number) if number.is_integer() and abs(number) < _LARGEST_WHOLE else number


_Loader.add_constructor("tag:yaml.org,2002:bool", _bool)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_LOADER: Any = _Loader


def read_manifests(paths: tuple[str, ...]) -> Iterator[FileManifest]:
    """All objects in the given files and folders; the items of a List count as documents.

    Raises:
        UnreadableError: a file cannot be read or parsed.
    """
    for path in paths:
        for file in _files(path):
            yield from parse_manifests(_text(file), "<stdin>" if file == _STDIN else file)


def _files(path: str) -> list[str]:
    folder = Path(path)
    if path == _STDIN or not folder.is_dir():
        return [path]
    found = (file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return sorted(map(str, found))


def _text(file: str) -> str:
    try:
        if file == _STDIN:
            raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                raw = stream.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise UnreadableError(f"{file}: more than {_MOST_BYTES} bytes")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise UnreadableError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableError(f"{file}: not UTF-8") from None


def parse_manifests(text: str, file: str) -> Iterator[FileManifest]:
    """The objects in a text of several documents.

    Raises:
        UnreadableError: it is no YAML or JSON.
    """
    try:
        loader = _LOADER(text)
        while loader.check_node():
            node = loader.get_node()
            yield from _objects(loader.construct_document(node), node, file)
    except yaml.YAMLError as error:
        raise UnreadableError(f"{file}{_line(error)}: {_problem(error)}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{file}: not readable as YAML ({type(error).__name__})") from None


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _problem(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or "no YAML")


def _objects(document: Any, node: yaml.Node, file: str) -> Iterator[FileManifest]:  # noqa: ANN401 - JSON
    if document is None:
        return
    if not isinstance(document, dict):
        raise UnreadableError(f"{file}:{node.start_mark.line + 1}: the document is no object")
    items = document.get("items")
    if str(document.get("kind")).endswith("List") and isinstance(items, list):
        found = _inner(node, "items")
        nodes = found[1].value if found else []
        for item, inner in zip(items, nodes, strict=False):
            yield from _objects(item, inner, file)
        return
    yield FileManifest(_json(document, {}), file, node, tuple(_repeated(node, (), set())))


def _json(value: Any, done: dict[int, Any]) -> Any:  # noqa: ANN401 - JSON
    """The value with text as keys, as JSON has them; what aliases share stays shared."""
    if not isinstance(value, dict | list):
        return value
    if id(value) not in done:
        done[id(value)] = value  # an alias of itself, which kubectl rejects
        done[id(value)] = (
            {_key(key): _json(inner, done) for key, inner in value.items()}
            if isinstance(value, dict)
            else [_json(item, done) for item in value]
        )
    return done[id(value)]


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _repeated(node: yaml.Node, place: Place, seen: set[int]) -> Iterator[Place]:
    """Keys that occur twice in a map; a part that aliases share is read once."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, (*place, number), seen)
        return
    keys: set[str] = set()
    for key, inner in node.value:
        step = str(key.value)
        if step in keys and step != "<<":
            yield (*place, step)
        keys.add(step)
        yield from _repeated(inner, (*place, step), seen)


def _inner(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    """The line and the node of a field or an item."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item.start_mark.line, item
    if isinstance(node, yaml.MappingNode):
        # The last of several equal keys wins.
        found = [(key, inner) for key, inner in node.value if key.value == step]
        return (found[-1][0].start_mark.line, found[-1][1]) if found else None
    return None


def read_crd() -> Mapping[str, Any]:
    """The CRD of this version: in the wheel beside the package, in a checkout in `crds/`.

    Raises:
        UnreadableError: the installation has no CRD.
    """
    package = Path(sys.modules["infisical_events"].__file__ or "").parent
    for folder in (package / "crds", package.parents[1] / "crds"):
        file = folder / "events.infisical.com_infisicaleventsubscriptions.yaml"
        if file.is_file():
            crd: Mapping[str, Any] = yaml.load(file.read_text(), Loader=_Base)  # noqa: S506 - a safe loader
            return crd
    raise UnreadableError("the CRD of this installation is missing: install infisical-events again")
