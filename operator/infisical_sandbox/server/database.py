"""The SQLite file: one table of records as JSON, committed after each request."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from pathlib import Path

    from infisical_sandbox.server.domain.data_store import Store

_SCHEMA = """
create table if not exists records (
  number integer primary key, kind text not null, id text not null, body text not null, unique (kind, id)
)
"""


class Database:
    """The file of a store; without a path all methods do nothing."""

    def __init__(self, path: Path | None, store: Store) -> None:
        """Load the file into the (empty) store and write all later changes to the file."""
        self._adapters: dict[type[Any], TypeAdapter[Any]] = {}
        self._connection = sqlite3.connect(path) if path else None
        if self._connection:
            self._load(self._connection, store)

    def commit(self) -> None:
        """Commit all writes so far."""
        if self._connection:
            self._connection.commit()

    def close(self) -> None:
        """Commit and close the file."""
        if self._connection:
            self._connection.commit()
            self._connection.close()
            self._connection = None

    def _load(self, connection: sqlite3.Connection, store: Store) -> None:
        connection.execute(_SCHEMA)
        for table in store.tables():
            kind: type[Any] = table.kind
            rows = connection.execute(
                "select body from records where kind = ? order by number", (kind.__name__,)
            )
            for (body,) in rows.fetchall():
                table.put(self._adapter(kind).validate_json(body))
            table.observe = self._write
        connection.commit()

    def _write(self, kind: type[Any], record_id: str, record: object | None) -> None:
        if self._connection is None:
            return
        if record is None:
            self._connection.execute(
                "delete from records where kind = ? and id = ?", (kind.__name__, record_id)
            )
            return
        body = self._adapter(kind).dump_json(record)
        self._connection.execute(
            "insert into records (kind, id, body) values (?, ?, ?) "
            "on conflict (kind, id) do update set body = excluded.body",
            (kind.__name__, record_id, body.decode()),
        )

    def _adapter(self, kind: type[Any]) -> TypeAdapter[Any]:
        if kind not in self._adapters:
            self._adapters[kind] = TypeAdapter(kind)
        return self._adapters[kind]
