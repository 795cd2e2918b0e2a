"""The records in memory: one table per kind, indexed by id and by owner.

A store calls one observer for each write, by which `database` writes the file. It is cheap to copy,
which makes stale reads possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from infisical_sandbox.server.domain import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Record(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """The key of the record in its table."""


R = TypeVar("R", bound=Record)


def _ignore(kind: type, record_id: str, record: object | None) -> None:
    """Ignore the write: the state is in memory only."""


class Table(Generic[R]):
    """The records of one kind in order of first insertion."""

    def __init__(self, kind: type[R], owner: Callable[[R], str] | None = None) -> None:
        """`owner` returns the id of the object that owns a record, for `of`."""
        self.kind = kind
        self.observe: Callable[[type, str, object | None], None] = _ignore
        self._owner = owner
        self._rows: dict[str, R] = {}
        self._owned: dict[str, dict[str, R]] = {}

    def get(self, record_id: str) -> R | None:
        """The record with this id, if there is one."""
        return self._rows.get(record_id)

    def of(self, owner_id: str) -> tuple[R, ...]:
        """The records belonging to `owner_id`, oldest first."""
        return tuple(self._owned.get(owner_id, {}).values())

    def put(self, record: R) -> R:
        """Insert or replace, and return the record."""
        self._forget_owner(record.id, keep=record)
        self._rows[record.id] = record
        if self._owner:
            self._owned.setdefault(self._owner(record), {})[record.id] = record
        self.observe(self.kind, record.id, record)
        return record

    def remove(self, record_id: str) -> None:
        """Remove the record; an unknown id is no error."""
        self._forget_owner(record_id, keep=None)
        if self._rows.pop(record_id, None) is not None:
            self.observe(self.kind, record_id, None)

    def copy(self) -> Table[R]:
        """A table with the same records and no observer."""
        twin = Table(self.kind, self._owner)
        twin._rows = dict(self._rows)
        twin._owned = {owner: dict(rows) for owner, rows in self._owned.items()}
        return twin

    def __iter__(self) -> Iterator[R]:
        return iter(tuple(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def _forget_owner(self, record_id: str, keep: R | None) -> None:
        old = self._rows.get(record_id)
        if old is None or self._owner is None:
            return
        owner = self._owner(old)
        if keep is None or self._owner(keep) != owner:
            self._owned[owner].pop(record_id, None)


@dataclass(frozen=True, slots=True)
class Store:
    """All tables of one Infisical."""

    projects: Table[records.Project]
    environments: Table[records.Environment]
    folders: Table[records.Folder]
    secrets: Table[records.Secret]
    versions: Table[records.SecretVersion]
    imports: Table[records.SecretImport]
    approvals: Table[records.Approval]
    identities: Table[records.Identity]
    client_secrets: Table[records.ClientSecret]
    lockouts: Table[records.Lockout]
    tokens: Table[records.AccessToken]
    memberships: Table[records.Membership]
    settings: Table[records.Setting]

    def tables(self) -> tuple[Table[records.Project], ...]:
        """Every table (typed as one of them: callers treat all alike)."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def copy(self) -> Store:
        """A copy that is independent of later writes."""
        return Store(**{name: getattr(self, name).copy() for name in self.__slots__})


def empty() -> Store:
    """A store without records."""
    return Store(
        projects=Table(records.Project, lambda row: row.org_id),
        environments=Table(records.Environment, lambda row: row.project_id),
        folders=Table(records.Folder, lambda row: row.environment_id),
        secrets=Table(records.Secret, lambda row: row.folder_id),
        versions=Table(records.SecretVersion, lambda row: row.secret.id),
        imports=Table(records.SecretImport, lambda row: row.folder_id),
        approvals=Table(records.Approval, lambda row: row.project_id),
        identities=Table(records.Identity, lambda row: row.org_id),
        client_secrets=Table(records.ClientSecret, lambda row: row.identity_id),
        lockouts=Table(records.Lockout),
        tokens=Table(records.AccessToken, lambda row: row.identity_id),
        memberships=Table(records.Membership, lambda row: row.identity_id),
        settings=Table(records.Setting),
    )
