"""Folder paths: the text a client sent, and the one canonical text of a folder.

Infisical looks folders up tolerantly (`a/b`, `//a`, a trailing slash) but lets the request's text through
to single-secret events, so the two forms must not be mixed up.
"""

from __future__ import annotations

import re

from infisical_sandbox.server.domain import api_errors

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")


def requested(path: str) -> str:
    """The path as events of single writes carry it: only a trailing slash is cut."""
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def segments(path: str) -> tuple[str, ...]:
    """The folder names on the way from the root; 400 for a name no folder can have."""
    names = tuple(name for name in path.split("/") if name)
    for name in names:
        check_name(name)
    return names


def check_name(name: str) -> None:
    """400 unless letters, digits, `-` and `_` only."""
    if not _FOLDER_NAME.match(name):
        raise api_errors.bad_request(
            "Invalid folder name: only letters, digits, dashes and underscores are allowed"
        )


def canonical(path: str) -> str:
    """The one spelling of the folder: a leading slash, single slashes, none at the end."""
    return join(segments(path))


def join(names: tuple[str, ...]) -> str:
    """The canonical path of these folder names."""
    return "/" + "/".join(names)
