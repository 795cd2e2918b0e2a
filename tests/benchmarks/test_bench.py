"""The table and the counts of `make bench`: pure functions of numbers, which no time of a run decides."""

import json
import os
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.__main__ import numbers, parts_of
from benchmarks.api_calls import AuditLog, counted
from benchmarks.figures import Figure, quantile, table
from benchmarks.process_usage import cpu_seconds, resident_mib

USER = "system:serviceaccount:bench:infisical-events"


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("no bound", 5), None),
        (Figure("at the bound", 5, most=5), True),
        (Figure("beyond the bound", 5.1, most=5), False),
        (Figure("near the floor", 20, floor=5, most_ratio=4), True),
        (Figure("far from the floor", 21, floor=5, most_ratio=4), False),
        (Figure("good value, bad ratio", 21, floor=5, most=30, most_ratio=4), False),
        (Figure("no floor to compare with", 21, most_ratio=4), False),
    ],
)
def test_a_figure_holds_within_all_its_bounds(figure: Figure, holds: bool | None) -> None:  # noqa: FBT001 - an expectation
    """Both the value and its ratio to the floor may have a bound."""
    assert figure.holds is holds


def test_the_table_shows_value_floor_ratio_and_bounds() -> None:
    """One row has all of a figure, with its units."""
    shown = table([Figure("event to patch p50", 42.94, "ms", 5.9, most_ratio=4), Figure("API calls", 14)])

    head, first, second = (line.split() for line in shown.splitlines())
    assert head == ["figure", "value", "floor", "ratio", "bound", "verdict"]
    assert first[-8:] == ["42.9", "ms", "5.9", "ms", "7.3x", "<=", "4x", "BROKEN"]
    assert second == ["API", "calls", "14"]


def test_quantiles_are_values_that_were_measured() -> None:
    """They are taken from the sorted values; of no values it is 0."""
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile(range(100), 0.99) == 99
    assert quantile([], 0.5) == 0


def an_entry(verb: str, resource: str, second: int, user: str = USER, subresource: str = "") -> str:
    """A line of an audit log, as far as it is used."""
    times = {"requestReceivedTimestamp": f"2026-01-01T00:00:{second:02}.000000Z"}
    thing = {"resource": resource} | ({"subresource": subresource} if subresource else {})
    return json.dumps(
        times
        | {"stageTimestamp": f"2026-01-01T00:00:{second:02}.250000Z"}
        | {"verb": verb, "objectRef": thing, "user": {"username": user}}
    )


def test_calls_are_those_of_the_operator_in_their_order(tmp_path: Path) -> None:
    """Other users, watches and Leases are left out, and each call is read once, when its line is complete."""
    file = tmp_path / "audit.log"
    lines = [
        an_entry("patch", "infisicaleventsubscriptions", 2, subresource="status"),
        an_entry("get", "secrets", 1),
        an_entry("get", "secrets", 1, user="admin"),
        an_entry("watch", "deployments", 1),
        an_entry("update", "leases", 1),
    ]
    file.write_text("\n".join(lines) + "\n" + lines[1][:20])
    log = AuditLog(file, USER)
    calls = log.new_calls()

    assert [call.name for call in calls] == ["get secrets", "patch infisicaleventsubscriptions/status"]
    assert [call.ended - call.begun for call in calls] == [0.25, 0.25]
    assert log.new_calls() == ()

    file.write_text(file.read_text() + lines[1][20:] + "\n")
    assert counted(log.new_calls()) == {"get secrets": 1}


def test_usage_is_that_of_the_process() -> None:
    """A running process has used processor time and memory."""
    assert cpu_seconds(os.getpid()) > 0
    assert resident_mib(os.getpid()) > 1


def test_sizes_are_numbers() -> None:
    """They are separated by spaces or commas."""
    assert numbers("1, 100 300,1000") == (1, 100, 300, 1000)


def test_each_part_has_a_name() -> None:
    """These are the names that ONLY takes."""
    assert set(parts_of(Namespace())) == {"latency", "scale", "keys", "fan-out"}
