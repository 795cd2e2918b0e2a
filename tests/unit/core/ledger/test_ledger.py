"""The stored form of the accepted state and the pending restarts."""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.specs import Grade
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.ledger.codec import (
    FORMAT,
    UnreadableLedgerError,
    decode,
    encode,
    is_stored_as,
    retired_fields,
)
from infisical_events.core.ledger.ledger import Header, Ledger, RecentlyRemoved, Rollout, UnmatchedImportEvent
from infisical_events.core.snapshots.changes import diff
from infisical_events.core.snapshots.snapshots import PartitionState, SecretVersion, short_id
from support import reports
from support.builders import (
    CREATE,
    DELETE,
    IMPORT,
    UPDATE,
    a_change,
    a_folder,
    a_ledger,
    a_partition,
    a_partition_state,
    a_pending_restart,
    an_accepted_state,
    at,
)
from support.stored_ledgers import READABLE, opened, sealed
from support.strategies import json_values, ledgers, texts

CANARY = "canary-3f9c"
STORED = opened(encode(reports.LEDGER))
OWN = a_partition("/a")
LEDGERS = Path(__file__).parents[3] / "ledgers"


def places(value: object, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value in a piece of JSON."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    if isinstance(value, list):
        inner = list(enumerate(value))
    return [way, *(place for step, item in inner for place in places(item, (*way, step)))]


def with_value(stored: Any, way: Sequence[str | int], value: object) -> Any:  # noqa: ANN401 - JSON
    """A copy of a piece of JSON with another value in one place."""
    if not way:
        return value
    first, *rest = way
    copy = stored.copy()
    copy[first] = with_value(stored[first], rest, value)
    return copy


@given(ledgers)
def test_a_ledger_survives_storage(ledger: Ledger) -> None:
    """Every ledger is read back as it was, through JSON, whatever folders and keys are called."""
    stored = json.loads(json.dumps(encode(ledger), allow_nan=False))

    assert decode(stored) == decode(opened(stored) | {"format": 3}) == ledger
    assert encode(decode(stored)) == stored


def test_a_ledger_stores_lists() -> None:
    """A merge patch never removes keys of a map, but replaces lists as a whole."""
    stored = encode(a_ledger())

    assert [name for name, value in stored.items() if isinstance(value, dict)] == []
    stored = opened(stored)
    assert {name for name, value in stored.items() if isinstance(value, dict)} == {"header"}
    assert [stored[name] for name in ("belief", "debts", "claims", "credits")] == [[], [], [], []]


def test_what_is_pending_is_readable() -> None:
    """The rest is one field of text; fields of an earlier format beside it are to be removed."""
    stored = encode(reports.LEDGER)

    assert stored.keys() == {*READABLE, "data"}
    assert retired_fields(stored) == retired_fields(written(3)) == retired_fields(None) == ()
    assert {*retired_fields(stored | STORED)} == STORED.keys() - {*READABLE}


def test_a_ledger_whose_compressed_field_was_dropped() -> None:
    """Under an earlier CRD the fields of the former format are left: the accepted state is kept."""
    stored = {name: value for name, value in encode(reports.LEDGER).items() if name != "data"}

    assert decode(written(3) | stored).accepted == decode(written(3)).accepted
    with pytest.raises(UnreadableLedgerError):
        decode(stored)


@pytest.mark.parametrize(
    "data",
    ["", "!", CANARY, "e30=", *(base64.b64encode(zlib.compress(b)).decode() for b in (b"[]", b"{", b"\xff"))],
)
def test_a_compressed_field_that_is_none_is_refused(data: str) -> None:
    """Whatever stands there, it leads to a new baseline and to no other error."""
    with pytest.raises(UnreadableLedgerError):
        decode(encode(reports.LEDGER) | {"data": data})


def test_a_compressed_field_takes_no_memory_without_bound() -> None:
    """A megabyte of zeros is a kilobyte; a gigabyte is refused before it is there."""
    data = base64.b64encode(zlib.compress(b"{" + b" " * (9 << 20) + b"}")).decode()
    with pytest.raises(UnreadableLedgerError):
        decode(encode(reports.LEDGER) | {"data": data})


def test_moments_are_stored_finer_than_seconds() -> None:
    """Moments are stored in microseconds in UTC, because they decide the order."""
    ledger = a_ledger(baselined_at=at(0.000001))

    assert opened(encode(ledger))["baselinedAt"] == "2026-01-02T03:04:05.000001Z"


LATER_LISTS = ("unlisted", "debts", "claims", "credits", "gone", "parked", "rollouts", "tokens")
LATER_TEXTS = ("keyId", "restartAt", "resumeAt")


@given(json_values)
def test_what_is_no_ledger_is_unreadable(raw: object) -> None:
    """No JSON is read as a ledger by chance, and none raises anything else."""
    with pytest.raises(UnreadableLedgerError):
        decode(raw)


@given(
    st.sampled_from(places(STORED)),
    json_values | st.sampled_from(["", "1e999", "[1e999,{}]", "[[[", float("inf")]),
)
def test_a_damaged_ledger_is_read_or_unreadable(way: tuple[str | int, ...], value: object) -> None:
    """Whatever stands in whatever place: it is a ledger which can be stored again, or is refused."""
    try:
        damaged = with_value(STORED, way, value)
        ledger = decode(sealed(damaged) if isinstance(damaged, dict) else damaged)
    except UnreadableLedgerError:
        return

    assert decode(encode(ledger)) == ledger


FLAGS = ("requested", "late", "early")
OPTIONAL = {
    "debts": {"notCoveredUntil", "reverts"},
    "rollouts": {
        *("progressedAt", "mark", "unavailable", "wasFailed", "held"),
        *("changes", "requested", "reverts", "revertedAt"),
    },
}
"""Fields that are stored only where they differ from their defaults."""


@pytest.mark.parametrize("way", [place for place in places(STORED) if place and isinstance(place[-1], str)])
def test_an_incomplete_ledger(way: tuple[str, ...]) -> None:
    """A missing field is refused; what an earlier version did not write has its default."""
    *above, last = way
    parent: Any = STORED
    for step in above:
        parent = parent[step]
    damaged = with_value(STORED, above, {name: value for name, value in parent.items() if name != last})

    if above and last in OPTIONAL.get(above[0], ()):
        assert opened(encode(decode(sealed(damaged)))) == damaged
    elif last in {*LATER_LISTS, *LATER_TEXTS, *FLAGS}:
        absent = dict.fromkeys(FLAGS, False) | dict.fromkeys(LATER_TEXTS, "")
        assert opened(encode(decode(sealed(damaged)))) == with_value(STORED, way, absent.get(last, []))
    else:
        with pytest.raises(UnreadableLedgerError):
            decode(sealed(damaged))


@pytest.mark.parametrize(
    "damage",
    [
        {"format": FORMAT + 1},
        {"format": str(FORMAT)},
        {"seq": CANARY},
        {"seq": "9" * 5000},
        {"seq": 1e999},
        {"baselinedAt": CANARY},
        {"baselinedAt": "2026-01-02T03:04:05"},
        {"baselinedAt": "9999-12-31T23:59:59-01:00"},
        {"scope": [CANARY]},
        {"belief": [{"part": CANARY, "body": "[0,{}]", "acceptedAt": "2026-01-02T03:04:05Z"}]},
        {"belief": [{"part": "prod:/a", "body": CANARY, "acceptedAt": "2026-01-02T03:04:05Z"}]},
        {"belief": [{"part": "prod:/a", "body": "[" * 100_000, "acceptedAt": "2026-01-02T03:04:05Z"}]},
    ],
)
def test_the_error_of_a_ledger_does_not_quote_it(damage: dict[str, object]) -> None:
    """An edited ledger may contain anything: the error names only the kind of the mistake."""
    with pytest.raises(UnreadableLedgerError) as refusal:
        decode(sealed(STORED | damage))

    assert str(refusal.value).startswith("status.ledger ")
    assert CANARY not in str(refusal.value)
    assert refusal.value.__cause__ is None


@given(texts)
def test_an_unknown_partition_was_absent(path: str) -> None:
    """A partition without an accepted state counts as absent at the baseline."""
    known = an_accepted_state(a_partition_state(A=1), seconds=7)
    ledger = a_ledger({a_partition("/a"): known})

    assert ledger.accepted_for(a_partition("/a")) == known
    assert ledger.accepted_for(a_partition(f"/b/{path}")) == an_accepted_state()


def test_a_claim_is_owed_as_anything_in_its_folder() -> None:
    """An import mutation that never shows may be of any key."""
    assert UnmatchedImportEvent(a_folder("/a"), at(0)).change == a_change("*", IMPORT)


# -- how much is stored -----------------------------------------------------------------------------


def a_large_body(keys: int) -> PartitionState:
    """Keys as long as people name them."""
    return PartitionState.of(
        {f"SERVICE_{n:06d}_DATABASE_URL": SecretVersion(short_id(str(n)), 1) for n in range(keys)}
    )


@pytest.mark.parametrize(("keys", "is_whole"), [(10_000, True), (40_000, False)])
def test_a_ledger_always_fits(keys: int, is_whole: bool) -> None:  # noqa: FBT001 - a row of a table
    """10,000 keys are stored one by one; of more, the largest folder only by one digest."""
    small, large = a_partition("/small"), a_partition("/large")
    ledger = a_ledger(
        {small: an_accepted_state(a_partition_state(A=1)), large: an_accepted_state(a_large_body(keys))}
    )

    stored = encode(ledger)
    read = decode(json.loads(json.dumps(stored)))

    assert len(json.dumps(stored)) < 1_000_000
    assert bool(read.accepted[large].state.fingerprint) is not is_whole
    assert read.accepted[large].state.agrees(a_large_body(keys))
    assert not read.accepted[large].state.agrees(a_large_body(keys - 1))
    assert read.accepted[small].state == a_partition_state(A=1)
    assert is_stored_as(ledger, read)


def test_a_change_of_a_compacted_folder_is_of_any_key() -> None:
    """A compacted state has no keys, so its change matches every workload of the folder."""
    (change,) = diff(OWN, a_partition_state(A=1, B=1).compacted(), a_partition_state(A=1, B=2))

    assert (change.key, change.types) == ("*", {CREATE, UPDATE, DELETE})
    assert diff(OWN, a_partition_state(A=1).compacted(), a_partition_state(A=1)) == ()


def test_all_of_many_pending_restarts_are_stored() -> None:
    """1,000 pending restarts with 50 keys each are all stored, with less detailed changes."""
    changes = tuple(a_change(f"SERVICE_{n:06d}_DATABASE_URL") for n in range(50))
    all_pending = [a_pending_restart(f"web-{n}", 1, *changes) for n in range(1000)]
    ledger = a_ledger({}, *all_pending)

    stored = encode(ledger)
    read = decode(stored)

    assert len(json.dumps(stored)) < 400_000
    assert [pending.uid for pending in read.pending] == [pending.uid for pending in all_pending]
    assert read.pending[0].changes == (replace(changes[0], key="*"),)
    assert is_stored_as(ledger, read)


def test_what_is_parked_gives_way() -> None:
    """It only spares a restart when an edit and a stale read meet: it is left out where it does not fit."""
    recently_removed = {a_partition("/left"): RecentlyRemoved(an_accepted_state(a_large_body(10_000)), at(1))}

    alone = encode(a_ledger(recently_removed=recently_removed))
    beside = encode(
        a_ledger(
            {a_partition("/a"): an_accepted_state(a_large_body(10_000))}, recently_removed=recently_removed
        )
    )

    assert (len(opened(alone)["parked"]), len(opened(beside)["parked"])) == (1, 0)


# -- earlier formats ----------------------------------------------------------------------------------

FORMAT_1 = {
    "format": 1,
    "header": {"projectId": "7f4d1c2b", "address": "https://a.example", "grade": "Versions"},
    "epoch": "k3v9",
    "seq": 7,
    "baselinedAt": "2026-01-02T03:04:05.678901Z",
    "scope": ["prod:/payments/**"],
    "belief": [
        {
            "part": "prod:/payments",
            "body": '[0,{"DB_PASSWORD":["zJ1",3]}]',
            "acceptedAt": "2026-01-02T03:04:05.678901Z",
            "gone": ["yI0"],
        }
    ],
    "debts": [
        {
            "uid": "1b4e28ba",
            "kind": "Deployment",
            "name": "payments",
            "seq": 7,
            "since": "2026-01-02T03:04:05.678901Z",
            "changes": ["secret:update prod:/payments DB_PASSWORD"],
        }
    ],
    "claims": [{"folder": "prod:/payments", "heardAt": "2026-01-02T03:04:05.678901Z"}],
    "credits": [{"scope": "prod:/payments/**", "until": "2026-01-02T03:04:05.678901Z"}],
}


def test_the_first_format_is_read() -> None:
    """An upgrade keeps the accepted state, pending restarts and unmatched import events."""
    ledger = decode(FORMAT_1)

    assert ledger.accepted_for(a_partition("/payments")) == AcceptedState(
        PartitionState.of({"DB_PASSWORD": SecretVersion("zJ1", 3)}), reports.PRECISE, frozenset({"yI0"})
    )
    assert [(pending.name, pending.seq) for pending in ledger.pending] == [("payments", 7)]
    assert (len(ledger.unmatched_events), len(ledger.unmatched_changes), ledger.epoch) == (1, 1, "k3v9")
    assert (ledger.header.grade, ledger.header.key_id) == (Grade.VERSIONS, "")
    assert encode(ledger)["format"] == FORMAT


def written(number: int) -> Any:  # noqa: ANN401 - JSON
    """A stored ledger of this format, with field names as its operator version wrote them."""
    return json.loads((LEDGERS / f"format-{number}.json").read_text())["full"]


def test_the_second_format_is_read() -> None:
    """An upgrade also keeps digests of values, compacted folders and recently removed partitions."""
    ledger, state = (
        decode(written(2)),
        PartitionState.of({"KEY": SecretVersion("id1", 3, "dig1"), "OTHER": SecretVersion("id2", 1)}),
    )

    assert ledger.header == Header("p", "https://i.example", Grade.VALUES, "key-1")
    assert ledger.accepted_for(a_partition("/a")) == AcceptedState(state, at(0), frozenset({"id0"}))
    assert ledger.accepted_for(a_partition("/a/big")).state == state.compacted()
    assert ledger.recently_removed == {
        a_partition("/left"): RecentlyRemoved(AcceptedState(state, at(2)), at(4))
    }
    (pending,) = ledger.pending
    assert (pending.uid, pending.seq, pending.since, pending.is_requested, pending.unconfirmed) == (
        "uid-2",
        7,
        at(5),
        False,
        None,
    )
    assert (
        len(ledger.unmatched_events),
        len(ledger.unmatched_changes),
        ledger.rollouts,
        ledger.content_fingerprints,
    ) == (1, 1, (), {})
    assert encode(ledger)["format"] == FORMAT


def test_the_third_format_before_unconfirmed_restarts_is_read() -> None:
    """Rollouts, content fingerprints and user requests are kept; no restart is unconfirmed."""
    ledger = decode(written(3))

    assert ledger.rollouts == (Rollout("uid-7", "StatefulSet", "db", 6, at(9), wave=2, has_failed=True),)
    assert (ledger.restart_at, ledger.resume_at, ledger.content_fingerprints) == (
        "monday",
        "tuesday",
        {"env": "t1"},
    )
    assert [(pending.is_requested, pending.unconfirmed) for pending in ledger.pending] == [(True, None)]


def test_the_fourth_format_is_read() -> None:
    """What is compressed is read as it was written, by this version and by every later one."""
    assert decode(written(4)) == reports.LEDGER


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_ledger_of_an_earlier_format_is_written_whole(number: int) -> None:
    """Written again and read again it is equal: a second upgrade loses nothing either."""
    ledger = decode(written(number))

    assert decode(json.loads(json.dumps(encode(ledger)))) == ledger
