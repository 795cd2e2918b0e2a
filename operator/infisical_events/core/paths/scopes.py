"""List scopes: the folders that the globs of a spec can match, without overlap."""

from collections.abc import Iterable
from dataclasses import dataclass

from infisical_events.api.specs import Spec
from infisical_events.core.paths.folders import Folder
from infisical_events.core.paths.path_globs import compile_path_glob

_EVERYTHING_BELOW = "/**"


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
