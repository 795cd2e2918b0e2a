"""What is believed about Infisical and what is owed to each workload: the memory in `status.ledger`.

It is written by compare-and-swap before anything is done for it, so that a crash at any line, a
retry, a duplicate event or a second replica finds what it needs. `docs/ledger.md` tells the protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infisical_events.api.specs import EventType
from infisical_events.core.changes import ANY_KEY, Change
from infisical_events.core.folders import Folder
from infisical_events.core.judging import Belief
from infisical_events.core.observations import Body, Part
from infisical_events.core.scopes import Scope

FORMAT = 1
"""The version of this encoding; another one is not read but replaced by a fresh baseline."""


_SKEW = timedelta(seconds=10)
"""By how much the clocks of two machines may differ without anybody having to mind."""


class UnreadableLedgerError(ValueError):
    """The stored ledger was edited by hand, cut off or written by another format version."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the belief is about; when it differs, the belief is worth nothing."""

    project_id: str
    address: str
    grade: str


@dataclass(frozen=True, slots=True)
class Debt:
    """What one workload (by uid) is owed: a restart for `changes`, seen first at `since`."""

    uid: str
    kind: str
    name: str
    seq: int
    since: datetime
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """An import mutation that was heard and not seen yet."""

    folder: Folder
    heard_at: datetime

    @property
    def change(self) -> Change:
        """What is owed when it is never seen: anything in that folder may have changed."""
        return Change(Scope(self.folder), ANY_KEY, frozenset({EventType.IMPORT_MUTATION}))


@dataclass(frozen=True, slots=True)
class Credit:
    """An import mutation that was seen before it was heard: the event to come is paid for."""

    scope: Scope
    until: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole memory of one subscription.

    `epoch` is random, one per baseline: a recreated subscription must not meet its namesake's
    stamps. `seq` rises with each write that adds debts.
    """

    header: Header
    epoch: str
    seq: int
    baselined_at: datetime
    scopes: tuple[Scope, ...]
    belief: Mapping[Part, Belief]
    debts: tuple[Debt, ...] = ()
    claims: tuple[Claim, ...] = ()
    credits: tuple[Credit, ...] = ()

    def believed(self, part: Part) -> Belief:
        """What is believed of a part; of one that was never seen, that it was not there."""
        absent = Belief(Body.of({}), self.baselined_at)
        return self.belief.get(part, absent)


def clamped(ledger: Ledger, now: datetime) -> Ledger:
    """The ledger without moments that are yet to come: a clock was ahead, or somebody edited them.

    They would hide changes until time caught up. A debt's `since` stays: it is never before the
    workload's newest restart, and would otherwise count as covered by it.
    """
    moments = [ledger.baselined_at, *(held.accepted_at for held in ledger.belief.values())]
    moments += [claim.heard_at for claim in ledger.claims]
    if max(moments) <= now + _SKEW:
        return ledger
    return replace(
        ledger,
        baselined_at=min(ledger.baselined_at, now),
        belief={
            part: replace(held, accepted_at=min(held.accepted_at, now))
            for part, held in ledger.belief.items()
        },
        claims=tuple(replace(claim, heard_at=min(claim.heard_at, now)) for claim in ledger.claims),
        credits=(),
    )


def encode(ledger: Ledger) -> dict[str, Any]:
    """As JSON for `status.ledger`: lists instead of maps, since a merge patch never removes map keys."""
    header = ledger.header
    return {
        "format": FORMAT,
        "header": {
            "projectId": header.project_id,
            "address": header.address,
            "grade": header.grade,
        },
        "epoch": ledger.epoch,
        "seq": ledger.seq,
        "baselinedAt": _encode_time(ledger.baselined_at),
        "scope": [str(scope) for scope in ledger.scopes],
        "belief": [
            {
                "part": str(part),
                "body": belief.body.encode(),
                "acceptedAt": _encode_time(belief.accepted_at),
                "gone": sorted(belief.gone),
            }
            for part, belief in sorted(ledger.belief.items(), key=lambda item: str(item[0]))
        ],
        "debts": [_encode_debt(debt) for debt in ledger.debts],
        "claims": [
            {"folder": str(claim.folder), "heardAt": _encode_time(claim.heard_at)} for claim in ledger.claims
        ],
        "credits": [
            {"scope": str(credit.scope), "until": _encode_time(credit.until)} for credit in ledger.credits
        ],
    }


def decode(raw: object) -> Ledger:
    """The inverse of `encode`.

    Raises:
        UnreadableLedgerError: for anything that has not the shape which `encode` of this version gives.
    """
    try:
        return _decode(raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        # The cause may quote the ledger, which is foreign text by now: only its kind is told.
        raise UnreadableLedgerError(f"status.ledger is malformed ({type(error).__name__})") from None


def _decode(raw: Any) -> Ledger:  # noqa: ANN401 - whatever is stored; every miss raises
    if raw["format"] != FORMAT:
        raise UnreadableLedgerError("status.ledger has another format version")
    header = raw["header"]
    return Ledger(
        header=Header(header["projectId"], header["address"], header["grade"]),
        epoch=str(raw["epoch"]),
        seq=int(raw["seq"]),
        baselined_at=_decode_time(raw["baselinedAt"]),
        scopes=tuple(map(Scope.parse, raw["scope"])),
        belief={
            Part.parse(entry["part"]): Belief(
                Body.decode(entry["body"]),
                _decode_time(entry["acceptedAt"]),
                frozenset(map(str, entry.get("gone", ()))),
            )
            for entry in raw["belief"]
        },
        debts=tuple(map(_decode_debt, raw.get("debts", ()))),
        claims=tuple(
            Claim(Folder.parse(claim["folder"]), _decode_time(claim["heardAt"]))
            for claim in raw.get("claims", ())
        ),
        credits=tuple(
            Credit(Scope.parse(credit["scope"]), _decode_time(credit["until"]))
            for credit in raw.get("credits", ())
        ),
    )


def _encode_debt(debt: Debt) -> dict[str, Any]:
    return {
        "uid": debt.uid,
        "kind": debt.kind,
        "name": debt.name,
        "seq": debt.seq,
        "since": _encode_time(debt.since),
        "changes": [str(change) for change in debt.changes],
    }


def _decode_debt(raw: Mapping[str, Any]) -> Debt:
    return Debt(
        uid=str(raw["uid"]),
        kind=str(raw["kind"]),
        name=str(raw["name"]),
        seq=int(raw["seq"]),
        since=_decode_time(raw["since"]),
        changes=tuple(map(Change.parse, raw["changes"])),
    )


def _encode_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: `Judging` compares moments finer than seconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _decode_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)
