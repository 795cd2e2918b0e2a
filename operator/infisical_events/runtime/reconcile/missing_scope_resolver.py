"""Finds out what became of the folders and environments that a read did not find.

They may be renamed, deleted, or hidden behind a wrong response. What cannot be confirmed counts as kept.
"""

import logging
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.missing_scopes import (
    MissingScope,
    PartitionStates,
    known_states,
    moved_folder,
    removal_of,
    under_old_name,
    with_found,
)
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.selectors import Selector, select
from infisical_events.core.snapshots.snapshots import Snapshot
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.subscription_context import SubscriptionContext

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResolvedSnapshot:
    """A snapshot in which nothing missing counts as empty, and what is missing."""

    snapshot: Snapshot
    missing: tuple[MissingScope, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingScopeResolver:
    """Resolves for one subscription under one spec."""

    context: SubscriptionContext
    infisical: Infisical
    selectors: tuple[Selector, ...]

    async def resolve(
        self, ledger: Ledger | None, snapshot: Snapshot, received: tuple[ReceivedEvent, ...]
    ) -> ResolvedSnapshot:
        """Decide about the missing scopes of a snapshot: their secrets are elsewhere, or removed, or kept."""
        environments = await self._or_none(self.infisical.environments())
        missing: list[MissingScope] = []
        for scope in snapshot.missing:
            known = known_states(ledger, scope, received)
            others = None if environments is None else environments - {scope.folder.environment}
            is_environment = environments is not None and environments == others
            if not known:
                missing.append(MissingScope(scope, is_environment))
            elif found := await self._found(scope, known, (others or ()) if is_environment else None):
                missing.append(MissingScope(scope, is_environment, moved_to=found.scopes[0].folder))
                snapshot = with_found(snapshot, under_old_name(scope, found.scopes[0], found.partitions))
            elif is_environment or not await self._is_deletion(scope.folder, known):
                kept_keys = sum(state.key_count for state in known.values())
                missing.append(MissingScope(scope, is_environment, kept_keys))
                snapshot = snapshot.with_unverified(known)
        return ResolvedSnapshot(snapshot, tuple(missing))

    async def _found(
        self, scope: Scope, known: PartitionStates, environments: Iterable[str] | None
    ) -> Snapshot | None:
        """A read of the folder that has the secrets now: in one of these environments, or in its own."""
        path, own = scope.folder.path, scope.folder.environment
        places = (
            [Scope(Folder(own, "/"), recursive=True)]
            if environments is None
            else [Scope(Folder(slug, path), scope.recursive) for slug in sorted(environments)]
        )
        for place in places:
            seen = await self._or_none(self.infisical.read_versions((place,)))
            folder = moved_folder(scope, known, seen.partitions) if seen else None
            if folder is not None and folder != scope.folder:
                return await self._or_none(self.infisical.read_snapshot((Scope(folder, scope.recursive),)))
        return None

    async def _is_deletion(self, folder: Folder, known: PartitionStates) -> bool:
        """Whether the spec selects the removal of these secrets, and the lists of folders confirm it."""
        if not select(self.selectors, removal_of(known)).selected:
            return False
        parent = Folder(folder.environment, "/")
        for name in filter(None, folder.path.split("/")):
            names = await self._or_none(self.infisical.subfolders(parent))
            if names is None or name not in names:
                return names is not None
            parent = Folder(folder.environment, f"{parent.path.rstrip('/')}/{name}")
        return False

    async def _or_none(self, request: Awaitable[T]) -> T | None:
        """The response; None if the request fails, which confirms nothing."""
        try:
            return await request
        except InfisicalError as error:
            log.info("missing folder not confirmed", extra=self.context.key.log_fields(error=str(error)))
            return None
