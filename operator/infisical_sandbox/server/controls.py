"""Actions on a running server without HTTP, for tests, the demo and the admin routes.

Changes cause the same events as requests do. Every method runs in the server's
event loop: see `app_runner.Sandbox.do`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import (
    changes,
    folders,
    identities,
    permissions,
    projects,
    secret_imports,
    secrets,
)
from infisical_sandbox.server.domain.changes import Change, Context, MissingMode
from infisical_sandbox.server.domain.records import Draft, Rule
from infisical_sandbox.server.faults import Ending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.domain.records import Secret
    from infisical_sandbox.server.faults import Faults, ResponseFault
    from infisical_sandbox.server.instance import Instance
    from infisical_sandbox.server.journal import Entry


class Controls:
    """Actions on the project, the machine identity and the fault switches of one server."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @property
    def faults(self) -> Faults:
        """The fault switches."""
        return self.instance.faults

    def set_secrets(self, environment: str, path: str, values: Mapping[str, str]) -> tuple[Secret, ...]:
        """Create new keys (1 event) and update existing keys (1 event); create a missing folder."""
        place = self._place(environment, path)
        known = {row.key for row in secrets.shared(self.instance.store, place.folder.id)}
        new = [Draft(key, value) for key, value in values.items() if key not in known]
        old = [Draft(key, value) for key, value in values.items() if key in known]
        done = [self._create(place, new)] if new else []
        done += [self._update(place, old)] if old else []
        return tuple(row for change in done for row, _ in change.secrets)

    def delete_secrets(self, environment: str, path: str, keys: Sequence[str]) -> None:
        """Delete secrets with 1 event; `ApiError` 404 if one is missing."""
        place = self._place(environment, path)
        self._apply(changes.delete(self.instance.store, place, keys, self._context()))

    def rename_secret(self, environment: str, path: str, key: str, new_key: str) -> None:
        """Rename a secret with 1 update event that has the old key."""
        place = self._place(environment, path)
        draft = Draft(key, new_key=new_key)
        self._apply(changes.update(self.instance.store, place, draft, self._context()))

    def rotate_secrets(self, environment: str, path: str, values: Mapping[str, str]) -> None:
        """Change values like a rotation: no event at the folder itself."""
        place = self._place(environment, path)
        drafts = [Draft(key, value) for key, value in values.items()]
        self._apply(changes.rotate(self.instance.store, place, drafts, self._context()))

    def create_folder(self, environment: str, path: str) -> str:
        """Create the folder at `path` and its parents without an event; return its id."""
        place = self._place(environment, path)
        self.instance.database.commit()
        return place.folder.id

    def delete_folder(self, environment: str, path: str) -> None:
        """Delete a folder and its content without an event."""
        folders.delete(self.instance.store, self._place(environment, path), force=True)
        self.instance.database.commit()

    def rename_folder(self, environment: str, path: str, name: str) -> None:
        """Give a folder another name without an event; its secrets keep their ids."""
        folders.rename(self.instance.store, self._place(environment, path), name, clock.now().wall, None)
        self.instance.database.commit()

    def rename_environment(self, slug: str, new_slug: str) -> None:
        """Give an environment another slug without an event; its secrets keep their ids."""
        store, project_id = self.instance.store, self.instance.project.id
        row = projects.find_environment(store, project_id, slug)
        if row is None:
            raise LookupError(f"no environment {slug}")
        projects.update_environment(store, project_id, row.id, None, new_slug)
        self.instance.database.commit()

    def add_import(
        self, environment: str, path: str, source: tuple[str, str], *, replication: bool = False
    ) -> str:
        """Import `source` (environment, path) into a folder; return the id of the import."""
        place, origin = self._place(environment, path), self._place(*source)
        row, change = changes.add_import(
            self.instance.store,
            place,
            (origin.environment, origin.path),
            self._context(),
            replication=replication,
        )
        self._apply(change)
        return row.id

    def remove_import(self, import_id: str) -> None:
        """Remove an import."""
        row = secret_imports.get(self.instance.store, import_id)
        place = folders.place_of(self.instance.store, row.folder_id)
        if place:
            self._apply(changes.remove_import(self.instance.store, place, row))

    def require_approvals(self, *, wanted: bool) -> None:
        """Turn the change policy of the project on or off; with it, writes become change requests."""
        project = replace(self.instance.project, approvals=wanted)
        self.instance.project = self.instance.store.projects.put(project)

    def merge_approval(self, approval_id: str) -> None:
        """Merge a change request: up to 3 events."""
        row = self.instance.store.approvals.get(approval_id)
        if row is None:
            raise LookupError(f"no change request {approval_id}")
        self.instance.store.approvals.remove(approval_id)
        place = self._place(row.environment, row.path)
        self._apply(changes.merge(self.instance.store, place, row, self._context()))

    def permit(self, rules: Iterable[Rule | Mapping[str, object]]) -> None:
        """Replace the identity's rules in the project; open streams follow at the next re-check."""
        parsed = tuple(permissions.parse(rule) if not isinstance(rule, Rule) else rule for rule in rules)
        instance = self.instance
        identities.grant(instance.store, instance.identity, instance.project.id, parsed)
        instance.database.commit()

    def assign_role(self, name: str) -> None:
        """Assign a built-in role to the identity: admin, member, viewer or no-access."""
        self.permit(permissions.role(name, self.instance.generation))

    def expel(self) -> None:
        """Remove the identity from the project."""
        instance = self.instance
        instance.store.memberships.remove(f"{instance.identity.id}:{instance.project.id}")
        instance.database.commit()

    def mint_token(self, ttl: int | None = None) -> str:
        """Create an access token of the identity by token auth."""
        instance = self.instance
        settings = instance.identity.universal
        if ttl is not None:
            settings = replace(settings, ttl=ttl)
        now = clock.now().wall
        return instance.tokens.issue(instance.identity, "token-auth", settings, now).token

    def revoke_tokens(self) -> int:
        """Revoke all tokens of the identity; return their number."""
        return self._mark_tokens(revoked=True)

    def expire_tokens(self) -> int:
        """Expire all tokens of the identity; return their number."""
        return self._mark_tokens(expired=True)

    def end_streams(self, ending: Ending = Ending.CLEAN) -> int:
        """End all open streams in this way; return their number."""
        return self.instance.hub.end_all(ending)

    def write_streams(self, data: bytes) -> None:
        """Write raw bytes into all open streams."""
        self.instance.hub.write_all(data)

    def recheck_streams(self) -> None:
        """Check the permissions of all open streams now."""
        self.instance.hub.recheck()

    def count_streams(self) -> int:
        """The number of open streams."""
        return len(self.instance.hub.streams)

    def set_timing(
        self,
        ping_interval: float | None = None,
        stream_lifetime: float | None = None,
        recheck_interval: float | None = None,
    ) -> None:
        """Override intervals in seconds, also for open streams; None restores the option."""
        self.faults.ping_interval = ping_interval
        self.faults.recheck_interval = recheck_interval
        self.faults.stream_lifetime = stream_lifetime
        self.instance.hub.limit_lifetime(self.instance.stream_lifetime)
        self.instance.retime()

    def freeze_reads(self, seconds: float) -> None:
        """Serve reads from a copy of the current state for this many seconds."""
        self.faults.freeze_reads(self.instance.store, clock.now().monotonic + seconds)

    def fail_requests(self, fault: ResponseFault) -> None:
        """Add a response fault."""
        self.faults.responses.append(fault)

    def reset_faults(self) -> None:
        """Turn all fault switches off."""
        self.faults.reset()
        self.set_timing()

    def journal(self, since: int = 0) -> tuple[Entry, ...]:
        """The journal entries after number `since`."""
        return self.instance.journal.since(since)

    def _place(self, environment: str, path: str) -> Place:
        now = clock.now().wall
        return folders.ensure(self.instance.store, self.instance.project.id, environment, path, now)

    def _create(self, place: Place, drafts: Sequence[Draft]) -> Change:
        return self._apply(changes.create(self.instance.store, place, drafts, self._context()))

    def _update(self, place: Place, drafts: Sequence[Draft]) -> Change:
        change = changes.update_batch(self.instance.store, place, drafts, MissingMode.FAIL, self._context())
        return self._apply(change)

    def _apply(self, change: Change) -> Change:
        self.instance.apply(change)
        self.instance.database.commit()
        return change

    def _context(self) -> Context:
        return Context(clock.now().wall, self.instance.identity.id)

    def _mark_tokens(self, *, revoked: bool = False, expired: bool = False) -> int:
        store = self.instance.store
        rows = store.tokens.of(self.instance.identity.id)
        for row in rows:
            store.tokens.put(replace(row, revoked=row.revoked or revoked, expired=row.expired or expired))
        self.instance.database.commit()
        return len(rows)
