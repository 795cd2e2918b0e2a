"""`${KEY}` and `${env.folder.KEY}` inside values: finding, rewriting and expanding them.

A reference with dots names environment, folders and key; without, a key of the same folder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from infisical_sandbox.server.domain import folders, secrets
from infisical_sandbox.server.domain.records import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.domain.records import Author, Secret

_REFERENCE = re.compile(r"\$\{([a-zA-Z0-9-_.]+)\}")
_MAX_DEPTH = 10


class Target(NamedTuple):
    """The target of a reference."""

    environment: str
    path: str
    key: str


def targets(value: str, environment: str, path: str) -> Iterator[Target]:
    """The references in a value that stands in this folder."""
    for match in _REFERENCE.finditer(value) if "${" in value else ():
        yield _target(match.group(1), environment, path)


def referring(store: Store, project_id: str, environment: str, path: str) -> Iterator[Place]:
    """The other folders with a secret whose value refers to a secret of this folder."""
    for row in store.environments.of(project_id):
        for place in folders.walk(store, folders.at(store, project_id, row.slug, "/")):
            here = (row.slug, place.path)
            if here != (environment, path) and _refers(store, place, (environment, path)):
                yield place


def redirect(
    store: Store, project_id: str, moved: Mapping[Target, Target], author: Author
) -> tuple[tuple[Secret, Place], ...]:
    """Rewrite references to renamed or moved secrets; return the rewritten secrets."""
    done = []
    for row in store.environments.of(project_id):
        for place in folders.walk(store, folders.at(store, project_id, row.slug, "/")):
            for secret in secrets.shared(store, place.folder.id):
                value = _redirected(secret.value, place, moved)
                if value != secret.value:
                    draft = Draft(secret.key, value)
                    done.append((secrets.edit(store, secret, draft, author), place))
    return tuple(done)


def expand(
    store: Store, secret: Secret, place: Place, readable: Callable[[Place, Secret], bool]
) -> tuple[str, tuple[str, ...]]:
    """The value with its references replaced, and a sentence for each one that may not be read.

    A reference to nothing becomes the empty text, as does one that leads back to itself.
    """
    problems: list[str] = []

    def replaced(value: str, here: Place, depth: int) -> str:
        return _REFERENCE.sub(lambda match: resolve(match.group(1), here, depth), value)

    def resolve(text: str, here: Place, depth: int) -> str:
        target = _target(text, here.environment.slug, here.path)
        there = folders.find(store, here.project_id, target.environment, target.path)
        found = secrets.find(store, there.folder.id, target.key) if there else None
        if there is None or found is None or depth >= _MAX_DEPTH:
            return ""
        if not readable(there, found):
            problems.append(
                f"You are not allowed to read secret '{target.key}' in environment "
                f"'{target.environment}' and path '{target.path}'"
            )
            return ""
        return replaced(found.value, there, depth + 1)

    return replaced(secret.value, place, 0), tuple(problems)


def _redirected(value: str, place: Place, moved: Mapping[Target, Target]) -> str:
    here = (place.environment.slug, place.path)

    def replaced(match: re.Match[str]) -> str:
        goal = moved.get(_target(match.group(1), *here))
        if goal is None:
            return match.group(0)
        if "." not in match.group(1) and (goal.environment, goal.path) == here:
            return f"${{{goal.key}}}"
        return f"${{{'.'.join([goal.environment, *filter(None, goal.path.split('/')), goal.key])}}}"

    return _REFERENCE.sub(replaced, value) if "${" in value else value


def _refers(store: Store, place: Place, goal: tuple[str, str]) -> bool:
    return any(
        (target.environment, target.path) == goal
        for secret in secrets.shared(store, place.folder.id)
        for target in targets(secret.value, place.environment.slug, place.path)
    )


def _target(text: str, environment: str, path: str) -> Target:
    *where, key = text.split(".")
    return Target(where[0], "/" + "/".join(where[1:]), key) if where else Target(environment, path, key)
