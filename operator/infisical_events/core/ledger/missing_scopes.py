"""Scopes that Infisical does not have any more, or never had: not found is not empty.

A missing environment or folder may be renamed: its secrets have the same ids then, under another name.
Otherwise the accepted state stays as it is until the folder is back, the spec names another one, or its
deletion is confirmed. `runtime.reconcile.missing_scope_resolver` reads what is decided on here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from infisical_events.core.ledger.acceptance import ReceivedEvent, is_removal_reported
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import Change, diff
from infisical_events.core.snapshots.snapshots import (
    ABSENT,
    Partition,
    PartitionState,
    Snapshot,
    is_covered,
)
from infisical_events.core.status.text import counted

PartitionStates = Mapping[Partition, PartitionState]


@dataclass(frozen=True, slots=True)
class MissingScope:
    """A scope that a list could not find.

    Attributes:
        scope: The scope as the spec names it.
        is_environment: Whether the project lacks the environment, and not only the folder.
        kept_keys: The number of keys that stay accepted as they were read last.
        moved_to: The folder that has the secrets now; None if none is known.
    """

    scope: Scope
    is_environment: bool = False
    kept_keys: int = 0
    moved_to: Folder | None = None

    @property
    def is_problem(self) -> bool:
        """Whether a user has to act: a folder that never had a key may just not exist yet."""
        return self.is_environment or self.kept_keys > 0 or self.moved_to is not None

    def __str__(self) -> str:
        """`Folder prod:/pay does not exist.`, and what that means for its secrets."""
        folder = self.scope.folder
        name = f"Environment {folder.environment}" if self.is_environment else f"Folder {folder}"
        fact = f"{name} does not exist"
        if self.moved_to is not None:
            return f"{fact}: its secrets are in {self.moved_to} now, and are read there without events."
        if self.kept_keys:
            kept = f"its {counted(self.kept_keys, 'known key')} {'stays' if self.kept_keys == 1 else 'stay'}"
            return f"{fact}: {kept} as last read, and no restart is made for its absence."
        return f"{fact}."


def known_states(
    ledger: Ledger | None, scope: Scope, received: tuple[ReceivedEvent, ...]
) -> dict[Partition, PartitionState]:
    """The accepted states below this scope, imports included, whose removal no event reported."""
    accepted = ledger.accepted if ledger else {}
    return {
        partition: held.state
        for partition, held in accepted.items()
        if is_covered(partition, (scope,)) and not is_removal_reported(partition, held, received)
    }


def removal_of(known: PartitionStates) -> tuple[Change, ...]:
    """The changes that the removal of everything would be."""
    return tuple(change for partition, state in known.items() for change in diff(partition, state, ABSENT))


def moved_folder(scope: Scope, known: PartitionStates, seen: PartitionStates) -> Folder | None:
    """The folder that has the secrets of the missing one, recognised by their ids; None if there is none."""
    for partition, state in known.items():
        below = partition.folder.path.removeprefix(scope.folder.path.rstrip("/"))
        for other, candidate in seen.items() if partition.source is None else ():
            path = other.folder.path
            if other.source is None and _is_same_folder(state, candidate) and path.endswith(below):
                return Folder(other.folder.environment, path[: len(path) - len(below)] or "/")
    return None


def _is_same_folder(known: PartitionState, seen: PartitionState) -> bool:
    """Whether a secret is in both; a compacted state has no ids and must be equal."""
    return not known.ids.isdisjoint(seen.ids) or (known.fingerprint != "" and known.agrees(seen))


def under_old_name(scope: Scope, moved: Scope, seen: PartitionStates) -> dict[Partition, PartitionState]:
    """The partitions of the scope that has the secrets now, as partitions of the missing one."""

    def renamed(partition: Partition) -> Partition:
        if partition.source is not None:
            return Partition(scope, partition.source)
        below = partition.folder.path.removeprefix(moved.folder.path.rstrip("/")).rstrip("/")
        return Partition.own(
            Folder(scope.folder.environment, f"{scope.folder.path.rstrip('/')}{below}" or "/")
        )

    return {renamed(partition): state for partition, state in seen.items()}


def with_found(snapshot: Snapshot, found: PartitionStates) -> Snapshot:
    """The snapshot with partitions that were read under another name."""
    return replace(snapshot, partitions={**snapshot.partitions, **found})
