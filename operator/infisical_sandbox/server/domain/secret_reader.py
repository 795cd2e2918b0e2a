"""The content of a list of secrets for one caller: folders, imports, hidden values, errors.

A secret in the requested folder that may be described but not read fails the whole request; in subfolders and
imports it is omitted. With hidden values, the permission to describe is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import (
    api_errors,
    folders,
    permissions,
    secret_imports,
    secret_references,
    secrets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.domain.permissions import Ability
    from infisical_sandbox.server.domain.records import Secret

HIDDEN = "<hidden-by-infisical>"
_MAX_IMPORT_DEPTH = 10


@dataclass(frozen=True, slots=True)
class ReadSwitches:
    """The switches of a read."""

    values: bool = True
    expand: bool = False
    recursive: bool = False
    imports: bool = False
    flat_imports: bool = False
    """Whether imports of imports are entries of their own, each folder once, nearer ones later."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A secret as this caller may see it. `value` is None when it is hidden."""

    secret: Secret
    place: Place
    value: str | None


@dataclass(frozen=True, slots=True)
class ShownImport:
    """One entry of `imports`, with the secrets that came through it."""

    place: Place
    secrets: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads secrets with the permissions of one caller."""

    store: Store
    ability: Ability
    switches: ReadSwitches

    def listing(self, place: Place) -> tuple[tuple[Shown, ...], tuple[ShownImport, ...]]:
        """The secrets of the folder and, by the switches, of subfolders and imports; 403 as above."""
        if not any(
            self.ability.can_somewhere(action, permissions.SECRETS) for action in ("describeSecret", "read")
        ):
            raise self.ability.denial("describeSecret", permissions.SECRETS)
        places = tuple(folders.walk(self.store, place)) if self.switches.recursive else (place,)
        own = tuple(shown for each in places for shown in self._own(each, strict=each == place))
        brought = tuple(self._imports(places)) if self.switches.imports else ()
        return own, brought

    def one(self, place: Place, key: str, version: int | None = None) -> Shown:
        """One secret by key, by the switches also from the imports; 404 or 403."""
        secret = secrets.find(self.store, place.folder.id, key)
        if secret is None and self.switches.imports:
            found = self._imported(place, key)
            if found:
                return found
        row = secret or secrets.get(self.store, place.folder.id, key)
        row = row if version is None else secrets.at_version(self.store, row, version)
        if not self._may("describeSecret", place, row):
            raise self.ability.denial("describeSecret", permissions.SECRETS)
        if self.switches.values and not self._may("readValue", place, row):
            raise self.ability.denial("readValue", permissions.SECRETS)
        return self._shown(place, row)

    def _own(self, place: Place, *, strict: bool) -> Iterator[Shown]:
        for secret in secrets.shared(self.store, place.folder.id):
            if not self._may("describeSecret", place, secret):
                continue
            if not self.switches.values or self._may("readValue", place, secret):
                yield self._shown(place, secret)
            elif strict:
                raise self.ability.denial("readValue", permissions.SECRETS)

    def _imports(self, places: tuple[Place, ...]) -> Iterator[ShownImport]:
        for place in places:
            if self.switches.flat_imports:
                yield from self._flat(place)
                continue
            for source in self._sources(place):
                yield ShownImport(source, self._through(source, frozenset({place.key})))

    def _flat(self, place: Place) -> Iterator[ShownImport]:
        """The whole chain of imports; a nearer source comes later, so it has precedence."""
        found: dict[tuple[str, str, str], Place] = {}
        waiting = list(reversed(tuple(self._sources(place))))
        while waiting:
            source = waiting.pop(0)
            if source.key not in found and source.key != place.key:
                found[source.key] = source
                waiting += reversed(tuple(self._sources(source)))
        for source in reversed(tuple(found.values())):
            yield ShownImport(source, tuple(self._own(source, strict=False)))

    def _sources(self, place: Place) -> Iterator[Place]:
        for row in secret_imports.of(self.store, place.folder.id):
            environment = self.store.environments.get(row.environment_id)
            source = environment and folders.find(self.store, place.project_id, environment.slug, row.path)
            if source:
                yield source

    def _through(self, source: Place, seen: frozenset[tuple[str, str, str]]) -> tuple[Shown, ...]:
        """The secrets of a source and its own imports; its own keys have precedence, then later imports."""
        if source.key in seen or len(seen) > _MAX_IMPORT_DEPTH:
            return ()
        found: dict[str, Shown] = {}
        for deeper in self._sources(source):
            for shown in self._through(deeper, seen | {source.key}):
                found[shown.secret.key] = shown
        found.update({shown.secret.key: shown for shown in self._own(source, strict=False)})
        return tuple(found.values())

    def _imported(self, place: Place, key: str) -> Shown | None:
        for entry in reversed(tuple(self._imports((place,)))):
            for shown in entry.secrets:
                if shown.secret.key == key:
                    return shown
        return None

    def _shown(self, place: Place, secret: Secret) -> Shown:
        if not self.switches.values:
            return Shown(secret, place, None)
        if not self.switches.expand:
            return Shown(secret, place, secret.value)
        value, problems = secret_references.expand(
            self.store, secret, place, lambda place, row: self._may("readValue", place, row)
        )
        if problems:
            raise api_errors.ApiError(
                403, "ForbiddenError", "Failed to expand one or more secret references", problems
            )
        return Shown(secret, place, value)

    def _may(self, action: str, place: Place, secret: Secret) -> bool:
        fields = {
            "environment": place.environment.slug,
            "secretPath": place.path,
            "secretName": secret.key,
        }
        return any(self.ability.can(name, permissions.SECRETS, fields) for name in (action, "read"))
