"""Folders in the notation of Infisical, and the scopes of list requests.

A scope is a folder, alone or with everything below it. The scopes of a spec are the folders that its globs
can match, without overlap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from infisical_events.api.specs import Spec
from infisical_events.core.paths.path_globs import compile_path_glob

_EVERYTHING_BELOW = "/**"


@dataclass(frozen=True, slots=True, order=True)
class Folder:
    """A folder of one environment; `path` is canonical: `/` or `/a/b` without a trailing slash."""

    environment: str
    path: str

    def __str__(self) -> str:
        """`prod:/payments`, also the way it is stored.

        Characters that no folder name has (an event may contain anything) are percent-encoded, so that a
        name never contains a separator of the stored form.
        """
        return ":".join(quote(name, errors="surrogatepass") for name in (self.environment, self.path))

    @classmethod
    def parse(cls, text: str) -> "Folder":
        """The inverse of `str()`; raises ValueError when there is no colon."""
        environment, colon, path = text.partition(":")
        if not colon:
            raise ValueError("a folder is written as environment:/path")
        return cls(*(unquote(name, errors="surrogatepass") for name in (environment, path)))


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """The scope of one list request: a folder, alone or with all folders below it."""

    folder: Folder
    recursive: bool = False

    def __str__(self) -> str:
        """`prod:/a` or `prod:/a/**`, also the way it is stored."""
        if not self.recursive:
            return str(self.folder)
        return f"{str(self.folder).rstrip('/')}{_EVERYTHING_BELOW}"

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """The inverse of `str()`; raises ValueError when the text has no folder."""
        recursive = text.endswith(_EVERYTHING_BELOW)
        folder = Folder.parse(text.removesuffix(_EVERYTHING_BELOW) if recursive else text)
        return cls(Folder(folder.environment, folder.path or "/"), recursive)

    def covers(self, folder: Folder) -> bool:
        """Whether a list of this scope includes the folder's own secrets."""
        if folder == self.folder:
            return True
        below = self.folder.path.rstrip("/") + "/"
        same_environment = folder.environment == self.folder.environment
        return self.recursive and same_environment and folder.path.startswith(below)

    def overlaps(self, other: "Scope") -> bool:
        """Whether some folder may be in both scopes."""
        return self.covers(other.folder) or other.covers(self.folder)


def scopes_of(spec: Spec) -> tuple[Scope, ...]:
    """The fewest scopes that cover every folder which the spec's globs can match."""
    wanted = set()
    for entry in spec.events:
        glob = compile_path_glob(entry.conditions.secret_path)
        folder = Folder(entry.conditions.environment_slug, glob.base)
        wanted.add(Scope(folder, recursive=not glob.is_literal))
    return _without_overlap(wanted)


def _without_overlap(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    wanted = set(scopes)
    wide = [scope for scope in wanted if scope.recursive]
    return tuple(
        sorted(
            scope
            for scope in wanted
            if not any(other != scope and other.covers(scope.folder) for other in wide)
        )
    )


def canonical(path: str) -> str:
    """A path with one leading slash, no empty segments and no trailing slash.

    The server accepts `a/b` and `//a` in requests, and its events repeat the path of the request unchanged.
    """
    return "/" + "/".join(segment for segment in path.split("/") if segment)
