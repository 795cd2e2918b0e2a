"""The records that a holder writes."""

from dataclasses import replace
from datetime import UTC, datetime

from infisical_events.core.sharding.leases import Lease, released, renewed, taken

NOW = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
TOLD = "2030-01-02T03:04:05.000678Z"
STORED = Lease(name="l", holder="b", duration=15, transitions=4, uid="u", version="7")


def test_taken() -> None:
    """Another holder is a transition; a Lease that is new, or already ours, makes none."""
    assert taken(STORED, "a", 15, NOW) == replace(
        STORED, holder="a", acquired=TOLD, renewed=TOLD, transitions=5
    )
    assert taken(STORED, "b", 15, NOW).transitions == 4
    assert taken(Lease(name="l"), "a", 15, NOW).transitions == 0


def test_renewed() -> None:
    """A renewal moves its time and nothing else."""
    assert renewed(STORED, NOW) == replace(STORED, renewed=TOLD)
    assert renewed(STORED, NOW).record != STORED.record


def test_released() -> None:
    """A released Lease has no holder, and keeps its count of transitions."""
    lease = released(STORED, NOW)
    assert (lease.holder, lease.transitions, lease.version) == ("", 4, "7")
