"""Plain values with defaults, for tests that care about one of their fields.

`a_*` makes one value; keyword arguments replace fields. Moments are seconds after `START`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infisical_events.api.resources import WORKLOAD_KINDS, WorkloadKind
from infisical_events.api.specs import EventType, Grade, Spec, parse_spec
from infisical_events.core.ledger.acceptance import AcceptedState, ReceivedEvent
from infisical_events.core.ledger.ledger import Header, Ledger, PendingRestart
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion, Snapshot
from infisical_events.core.workloads.workloads import Workload

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEPLOYMENT, STATEFUL_SET, DAEMON_SET, CRON_JOB, JOB, ROLLOUT = WORKLOAD_KINDS
CREATE, UPDATE, DELETE, IMPORT = EventType


def at(seconds: float) -> datetime:
    """A moment, in seconds after `START`."""
    return START + timedelta(seconds=seconds)


# -- the API --------------------------------------------------------------------------------------


def an_entry(event: str = UPDATE, environment: str = "prod", path: str = "/a", *keys: str) -> dict[str, Any]:
    """One entry of `spec.events` as a user writes it."""
    conditions = {"environmentSlug": environment, "secretPath": path, "secretKeys": list(keys)}
    return {"event": event, "conditions": conditions}


def a_raw_spec(*entries: Mapping[str, Any], **fields: object) -> dict[str, Any]:
    """A spec as it is stored; fields are replaced by their names in Kubernetes."""
    raw = {
        "authentication": {"accessTokenRef": {"name": "infisical", "key": "token"}},
        "projectId": "7f4d1c2b",
        "cooldownSeconds": 0,
        "events": list(entries) or [an_entry()],
    }
    return raw | fields


def a_spec(*entries: Mapping[str, Any], **fields: object) -> Spec:
    """A parsed spec of these entries."""
    return parse_spec(a_raw_spec(*entries, **fields))


def a_workload(name: str = "web", kind: WorkloadKind = DEPLOYMENT, **words: str) -> Workload:
    """A workload that opted in; `words` are annotations of the operator's group, with `_` for `-`."""
    given = {"auto_reload": "true"} | words
    return Workload(
        uid=f"uid-of-{name}",
        kind=kind,
        name=name,
        resource_version="41",
        annotations={f"events.infisical.com/{word.replace('_', '-')}": text for word, text in given.items()},
    )


def a_record(time: datetime | str = START, **revisions: str) -> str:
    """The text of a `last-restart` annotation."""
    moment = time if isinstance(time, str) else time.isoformat()
    return json.dumps({"time": moment, "stamps": revisions})


def patched(workload: Workload, patch: Mapping[str, Any]) -> Workload:
    """The workload as it stands after a merge patch of its metadata."""
    words = {**workload.annotations, **patch["metadata"]["annotations"]}
    version = str(int(workload.resource_version) + 1)
    return Workload(workload.uid, workload.kind, workload.name, version, words)


# -- what is seen and heard -----------------------------------------------------------------------


def a_folder(path: str = "/a", environment: str = "prod") -> Folder:
    """A folder of `prod`."""
    return Folder(environment, path)


def a_scope(path: str = "/a", environment: str = "prod") -> Scope:
    """A folder alone, or with a path that ends with `/**` all below it as well."""
    return Scope.parse(f"{environment}:{path}")


def a_partition(path: str = "/a", source: str | None = None) -> Partition:
    """The own secrets of a folder of `prod`, or its import of the folder `source` of `prod`."""
    return Partition(a_scope(path), None if source is None else a_folder(source))


def a_partition_state(
    rank: int = 0, **secret_versions: int | tuple[str, int] | tuple[str, int, str]
) -> PartitionState:
    """Keys with a version, or with an id, a version and a digest; a secret's id is else its key's name."""
    seen = ((key, what if isinstance(what, tuple) else (key, what)) for key, what in secret_versions.items())
    return PartitionState.of({key: SecretVersion(*what) for key, what in seen}, rank)


def a_snapshot(
    partitions: Mapping[Partition, PartitionState] | None = None,
    *,
    scopes: Iterable[Scope] = (),
    seconds: float = 0,
) -> Snapshot:
    """A snapshot of `/a` or of other scopes that took no time."""
    seen = {} if partitions is None else partitions
    return Snapshot(tuple(scopes) or (a_scope(),), seen, at(seconds), at(seconds))


def an_event(event: str = UPDATE, path: str = "/a", *keys: str) -> SecretEvent:
    """An event of `prod`."""
    return SecretEvent(EventType(event), a_folder(path), frozenset(keys))


def received(event: SecretEvent, seconds: float = 0) -> ReceivedEvent:
    """An event received at a moment."""
    return ReceivedEvent(event, at(seconds))


def a_change(key: str = "KEY", *types: str, path: str = "/a", environment: str = "prod") -> Change:
    """An update of a key in `prod:/a`, or other types."""
    return Change(a_scope(path, environment), key, frozenset(map(EventType, types or (UPDATE,))))


# -- what is believed and owed --------------------------------------------------------------------

HEADER = Header("7f4d1c2b", "https://app.infisical.com", Grade.VERSIONS)


def an_accepted_state(body: PartitionState | None = None, seconds: float = 0) -> AcceptedState:
    """A body accepted at a moment."""
    return AcceptedState(a_partition_state() if body is None else body, at(seconds))


def a_pending_restart(
    name: str = "web", seq: int = 1, *changes: Change, seconds: float = 0
) -> PendingRestart:
    """A pending restart of `a_workload(name)`."""
    return PendingRestart(f"uid-of-{name}", "Deployment", name, seq, at(seconds), changes or (a_change(),))


def a_ledger(
    accepted: Mapping[Partition, AcceptedState] | None = None,
    *all_pending: PendingRestart,
    scopes: Iterable[Scope] = (),
    **fields: object,
) -> Ledger:
    """A ledger of the folder `/a`, or of other scopes, baselined at `START`."""
    plain = Ledger(
        header=HEADER,
        epoch="epoch",
        seq=max((pending.seq for pending in all_pending), default=0),
        baselined_at=START,
        scopes=tuple(scopes) or (a_scope(),),
        accepted={} if accepted is None else accepted,
        pending=all_pending,
    )
    return replace(plain, **fields)
