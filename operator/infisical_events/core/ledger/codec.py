"""Encoding of the ledger as JSON in `status.ledger`: versioned, bounded, and rejected when malformed.

What is pending or rolls out is readable. The rest, the accepted state above all, is for the operator alone:
it is one field of compressed text, so that `kubectl describe` stays short.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from infisical_events.api.specs import Grade
from infisical_events.api.statuses import parse_time
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.ledger.ledger import (
    Header,
    Ledger,
    PendingRestart,
    RecentlyRemoved,
    Rollout,
    Unconfirmed,
    UnlistedKind,
    UnmatchedImportChange,
    UnmatchedImportEvent,
)
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import MAX_CHANGES, Change, compacted
from infisical_events.core.snapshots.snapshots import Partition, PartitionState

FORMAT = 4
"""The version of this encoding; a ledger of an unsupported version is replaced by a new baseline."""

_SUPPORTED = frozenset({1, 2, 3, FORMAT})
"""1 had no value digests, compacted states or recently removed partitions; 2 no rollouts and no requests; in
3 all fields were readable."""

_READABLE = ("format", "epoch", "seq", "debts", "rollouts", "unlisted")
"""The fields outside of the compressed one."""

_COMPRESSED = (
    *("header", "baselinedAt", "scope", "belief", "claims", "credits", "parked"),
    *("restartAt", "resumeAt", "tokens"),
)
"""The fields in the compressed one."""

_MAX_UNPACKED = 8 << 20
"""Bytes of a compressed field: more than any ledger has, and less than an attack would need."""

_MAX_STATE_LENGTH = 900_000
"""Characters of JSON for the accepted state: the API server stores objects of up to about 1.5 MB."""

_MAX_ROLLOUT_CHANGES = 5
"""Changes of one rollout that are stored; of more, their folders."""

_MAX_PENDING_LENGTH = 300_000
"""Characters of JSON for pending restarts, if compaction suffices: enough for 1,400 workloads."""


class UnreadableLedgerError(ValueError):
    """The stored ledger was edited by hand, truncated or written in another format version."""


def encode(ledger: Ledger) -> dict[str, Any]:
    """As JSON for `status.ledger`: lists instead of maps, since a merge patch never removes map keys.

    Where the ledger would not fit, the largest folders are compacted: their keys are known only in memory,
    until the process ends.
    """
    fields = _encode(ledger)
    readable = {name: fields.pop(name) for name in _READABLE}
    return readable | {"data": _packed(fields)}


def retired_fields(stored: object) -> tuple[str, ...]:
    """The readable fields of an earlier format that a stored ledger has beside its compressed one.

    They are removed by the write after the first one in this format: under the CRD of an earlier version the
    API server drops the compressed field, and they are all that is left.
    """
    if not (isinstance(stored, dict) and "data" in stored):
        return ()
    return tuple(name for name in _COMPRESSED if name in stored)


def _packed(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _unpacked(data: str) -> dict[str, Any]:
    """The fields; raises ValueError if they are malformed."""
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(base64.b64decode(data, validate=True), _MAX_UNPACKED)
    except zlib.error:
        raise ValueError("not compressed") from None
    if not unpacking.eof:
        raise ValueError("cut off, or too long")
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise TypeError("no object")
    return fields


def _encode(ledger: Ledger) -> dict[str, Any]:
    header = ledger.header
    accepted, room_left = _fitting(ledger.accepted)
    return {
        "format": FORMAT,
        "header": {
            "projectId": header.project_id,
            "address": header.address,
            "grade": header.grade.value,
            "keyId": header.key_id,
        },
        "epoch": ledger.epoch,
        "seq": ledger.seq,
        "baselinedAt": _encode_time(ledger.baselined_at),
        "scope": [str(scope) for scope in ledger.scopes],
        "belief": accepted,
        "debts": _encode_all_pending(ledger.pending),
        "claims": [
            {"folder": str(import_event.folder), "heardAt": _encode_time(import_event.received_at)}
            for import_event in ledger.unmatched_events
        ],
        "credits": [
            {"scope": str(import_change.scope), "until": _encode_time(import_change.until)}
            for import_change in ledger.unmatched_changes
        ],
        "parked": _encode_recently_removed(ledger.recently_removed, room_left),
        "rollouts": [_encode_rollout(rollout) for rollout in ledger.rollouts],
        "unlisted": [_encode_unlisted(unlisted) for unlisted in ledger.unlisted],
        "restartAt": ledger.restart_at,
        "resumeAt": ledger.resume_at,
        "tokens": [
            {"secret": name, "token": token} for name, token in sorted(ledger.content_fingerprints.items())
        ],
    }


def is_stored_as(ledger: Ledger | None, other: Ledger | None) -> bool:
    """Whether two ledgers are equal once they are stored, where large folders are compacted."""
    if ledger is None or other is None:
        return ledger is other
    return ledger == other or encode(ledger) == encode(other)


def _fitting(accepted: Mapping[Partition, AcceptedState]) -> tuple[list[dict[str, Any]], int]:
    """The accepted state, encoded and compacted (largest first) as far as needed; and the length left."""
    entries = {partition: _encode_accepted(partition, held) for partition, held in accepted.items()}
    size = {partition: len(json.dumps(entry)) for partition, entry in entries.items()}
    room_left = _MAX_STATE_LENGTH - sum(size.values())
    for partition in sorted(size, key=lambda partition: (-size[partition], entries[partition]["part"])):
        if room_left >= 0:
            break
        entries[partition] = _encode_accepted(
            partition,
            replace(
                accepted[partition], state=accepted[partition].state.compacted(), removed_ids=frozenset()
            ),
        )
        room_left += size[partition] - len(json.dumps(entries[partition]))
    return sorted(entries.values(), key=lambda entry: str(entry["part"])), room_left


def _encode_recently_removed(
    recently_removed: Mapping[Partition, RecentlyRemoved], room: int
) -> list[dict[str, Any]]:
    """None if they do not fit: they only avoid a restart when a stale read follows a change of the spec."""
    entries = [
        _encode_accepted(partition, left.accepted) | {"leftAt": _encode_time(left.left_at)}
        for partition, left in sorted(recently_removed.items(), key=lambda item: str(item[0]))
    ]
    return entries if len(json.dumps(entries)) <= room else []


def decode(raw: object) -> Ledger:
    """The inverse of `encode`.

    Raises:
        UnreadableLedgerError: the value is not what `encode` writes.
    """
    try:
        return _decode(raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        # The error may quote the ledger, which is foreign text here: only its type is repeated.
        raise UnreadableLedgerError(f"status.ledger is malformed ({type(error).__name__})") from None


def readable_ledger(status: Mapping[str, Any]) -> Ledger | None:
    """The ledger in a stored status; None if there is none, or none that can be read."""
    raw = status.get("ledger")
    try:
        return decode(raw) if raw else None
    except UnreadableLedgerError:
        return None


def _decode(raw: Any) -> Ledger:  # noqa: ANN401 - any JSON; a missing key raises
    if raw["format"] not in _SUPPORTED:
        raise UnreadableLedgerError("status.ledger has an unsupported format version")
    if "data" in raw:
        raw = _unpacked(raw["data"]) | {name: raw[name] for name in _READABLE if name in raw}
    return Ledger(
        header=_decode_header(**raw["header"]),
        epoch=str(raw["epoch"]),
        seq=int(raw["seq"]),
        baselined_at=_decode_time(raw["baselinedAt"]),
        scopes=tuple(map(Scope.parse, raw["scope"])),
        accepted={Partition.parse(entry["part"]): _decode_accepted(entry) for entry in raw["belief"]},
        pending=tuple(map(_decode_pending, raw.get("debts", ()))),
        unmatched_events=tuple(
            UnmatchedImportEvent(Folder.parse(import_event["folder"]), _decode_time(import_event["heardAt"]))
            for import_event in raw.get("claims", ())
        ),
        unmatched_changes=tuple(
            UnmatchedImportChange(Scope.parse(import_change["scope"]), _decode_time(import_change["until"]))
            for import_change in raw.get("credits", ())
        ),
        recently_removed={
            Partition.parse(entry["part"]): RecentlyRemoved(
                _decode_accepted(entry), _decode_time(entry["leftAt"])
            )
            for entry in raw.get("parked", ())
        },
        rollouts=tuple(map(_decode_rollout, raw.get("rollouts", ()))),
        unlisted=tuple(map(_decode_unlisted, raw.get("unlisted", ()))),
        restart_at=str(raw.get("restartAt", "")),
        resume_at=str(raw.get("resumeAt", "")),
        content_fingerprints={str(entry["secret"]): str(entry["token"]) for entry in raw.get("tokens", ())},
    )


def _decode_header(projectId: str, address: str, grade: str, keyId: str = "") -> Header:  # noqa: N803 - as stored
    return Header(str(projectId), str(address), Grade(grade), str(keyId))


def _encode_accepted(partition: Partition, held: AcceptedState) -> dict[str, Any]:
    return {
        "part": str(partition),
        "body": held.state.encode(),
        "acceptedAt": _encode_time(held.accepted_at),
        "gone": sorted(held.removed_ids),
    }


def _decode_accepted(raw: Mapping[str, Any]) -> AcceptedState:
    removed_ids = frozenset(map(str, raw.get("gone", ())))
    return AcceptedState(PartitionState.decode(raw["body"]), _decode_time(raw["acceptedAt"]), removed_ids)


def _encode_all_pending(all_pending: tuple[PendingRestart, ...]) -> list[dict[str, Any]]:
    """All pending restarts; of many, the changes are compacted, so that no workload is left out."""
    encoded = [_encode_pending(pending, MAX_CHANGES) for pending in all_pending]
    for limit in (10, 1):
        if len(json.dumps(encoded)) <= _MAX_PENDING_LENGTH:
            break
        encoded = [_encode_pending(pending, limit) for pending in all_pending]
    return encoded


def _encode_pending(pending: PendingRestart, limit: int) -> dict[str, Any]:
    changes = pending.changes if len(pending.changes) <= limit else compacted(pending.changes, limit)
    return {
        "uid": pending.uid,
        "kind": pending.kind,
        "name": pending.name,
        "seq": pending.seq,
        "since": _encode_time(pending.since),
        "changes": [str(change) for change in changes],
        "requested": pending.is_requested,
        "late": pending.unconfirmed is not None,
        "early": pending.unconfirmed is Unconfirmed.PROVIDER_SILENT,
    } | _encode_later_fields(pending)


def _encode_later_fields(pending: PendingRestart) -> dict[str, Any]:
    """What earlier versions did not store, where it differs from its default."""
    moment = pending.not_covered_until
    fields = {"notCoveredUntil": moment and _encode_time(moment), "reverts": pending.reverts}
    return {name: value for name, value in fields.items() if value}


def _decode_pending(raw: Mapping[str, Any]) -> PendingRestart:
    return PendingRestart(
        uid=str(raw["uid"]),
        kind=str(raw["kind"]),
        name=str(raw["name"]),
        seq=int(raw["seq"]),
        since=_decode_time(raw["since"]),
        changes=tuple(map(Change.parse, raw["changes"])),
        is_requested=raw.get("requested") is True,
        unconfirmed=_decode_unconfirmed(raw),
        not_covered_until=_decode_time(raw["notCoveredUntil"]) if "notCoveredUntil" in raw else None,
        reverts=int(raw.get("reverts", 0)),
    )


def _decode_unconfirmed(raw: Mapping[str, Any]) -> Unconfirmed | None:
    if raw.get("late") is not True:
        return None
    return Unconfirmed.PROVIDER_SILENT if raw.get("early") is True else Unconfirmed.PROVIDER_TIMED_OUT


def _encode_unlisted(unlisted: UnlistedKind) -> dict[str, Any]:
    return {
        "kind": unlisted.kind,
        "since": _encode_time(unlisted.since),
        "changes": [str(change) for change in compacted(unlisted.changes)],
        "requested": unlisted.is_requested,
    }


def _decode_unlisted(raw: Mapping[str, Any]) -> UnlistedKind:
    changes = tuple(map(Change.parse, raw["changes"]))
    return UnlistedKind(
        str(raw["kind"]), _decode_time(raw["since"]), changes, is_requested=raw.get("requested") is True
    )


def _encode_rollout(rollout: Rollout) -> dict[str, Any]:
    return {
        "uid": rollout.uid,
        "kind": rollout.kind,
        "name": rollout.name,
        "seq": rollout.seq,
        "begunAt": _encode_time(rollout.begun_at),
        "wave": rollout.wave,
        "failed": rollout.has_failed,
        **_encode_progress(rollout),
    }


def _encode_progress(rollout: Rollout) -> dict[str, Any]:
    """What earlier versions did not store, where it differs from its default."""
    progressed_at = rollout.progressed_at and _encode_time(rollout.progressed_at)
    fields = {
        "progressedAt": progressed_at,
        "mark": rollout.mark and list(rollout.mark),
        "unavailable": rollout.unavailable,
        "wasFailed": rollout.was_failed,
        "held": rollout.is_held,
        "changes": [str(change) for change in compacted(rollout.changes, _MAX_ROLLOUT_CHANGES)],
        "requested": rollout.is_requested,
        "reverts": rollout.reverts,
        "revertedAt": rollout.reverted_at and _encode_time(rollout.reverted_at),
    }
    return {name: value for name, value in fields.items() if value}


def _decode_rollout(raw: Mapping[str, Any]) -> Rollout:
    return Rollout(
        uid=str(raw["uid"]),
        kind=str(raw["kind"]),
        name=str(raw["name"]),
        seq=int(raw["seq"]),
        begun_at=_decode_time(raw["begunAt"]),
        wave=int(raw["wave"]),
        has_failed=raw["failed"] is True,
        progressed_at=_decode_time(raw["progressedAt"]) if "progressedAt" in raw else None,
        mark=_decode_mark(*raw["mark"]) if "mark" in raw else None,
        unavailable=int(raw.get("unavailable", 0)),
        was_failed=raw.get("wasFailed") is True,
        is_held=raw.get("held") is True,
        changes=tuple(map(Change.parse, raw.get("changes", ()))),
        is_requested=raw.get("requested") is True,
        reverts=int(raw.get("reverts", 0)),
        reverted_at=_decode_time(raw["revertedAt"]) if "revertedAt" in raw else None,
    )


def _decode_mark(replaced: int, available: int) -> tuple[int, int]:
    return int(replaced), int(available)


def _encode_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: the assessment of reads compares times finer than seconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _decode_time(text: str) -> datetime:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time has no time zone")
    return parse_time(text)
