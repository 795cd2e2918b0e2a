"""The calls that the operator makes of the API server, from the audit log."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_LASTING = {"watch"}
_TIMED = {"leases"}
"""Renewed at intervals, whatever happens."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call: what it was, and when it arrived and was answered (Unix time in seconds)."""

    verb: str
    resource: str
    begun: float
    ended: float

    @property
    def name(self) -> str:
        """Verb and resource, as `patch deployments`."""
        return f"{self.verb} {self.resource}"


class AuditLog:
    """Reads on in the log, call by call of one user; watches and renewals of Leases are left out."""

    def __init__(self, file: Path, user: str) -> None:
        self._file, self._user = file, user
        self._offset = 0

    def new_calls(self) -> tuple[ApiCall, ...]:
        """The calls since the last call, in the order of their arrival."""
        with self._file.open("rb") as log:
            log.seek(self._offset)
            complete = log.read().rpartition(b"\n")[0]
        self._offset += len(complete) + bool(complete)
        entries = map(json.loads, complete.splitlines())
        found = [_call(entry) for entry in entries if entry["user"]["username"] == self._user]
        return tuple(sorted(filter(_is_counted, found), key=lambda call: call.begun))


def counted(calls: Iterable[ApiCall]) -> dict[str, int]:
    """How many calls there are of each verb and resource, the most frequent first."""
    return dict(Counter(call.name for call in calls).most_common())


def _call(entry: dict[str, Any]) -> ApiCall:
    thing = entry.get("objectRef") or {}
    resource = "/".join(filter(None, (thing.get("resource"), thing.get("subresource"))))
    times = (entry["requestReceivedTimestamp"], entry["stageTimestamp"])
    begun, ended = (datetime.fromisoformat(time).timestamp() for time in times)
    return ApiCall(entry["verb"], resource or str(entry["requestURI"]), begun, ended)


def _is_counted(call: ApiCall) -> bool:
    return call.verb not in _LASTING and call.resource not in _TIMED
