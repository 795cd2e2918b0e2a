"""What the operator answers, as it is written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.api.statuses import Status, parse_time, rfc3339
from support import reports

zones = st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))


@given(st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1), timezones=zones))  # noqa: DTZ001 - bounds
def test_a_time_is_written_as_kubernetes_writes_it(moment: datetime) -> None:
    """In UTC and in whole seconds, never later than it was."""
    written = datetime.strptime(rfc3339(moment), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

    assert timedelta(0) <= moment - written < timedelta(seconds=1)


@pytest.mark.parametrize("status", [Status(), reports.STATUS], ids=["empty", "full"])
def test_a_status_survives_storage(status: Status) -> None:
    """What one process wrote the next one reads."""
    assert Status.model_validate(status.as_patch()) == status


def test_what_is_absent_is_written_as_null() -> None:
    """A merge patch leaves alone what it does not name: what is over has to be said."""
    patch = Status().as_patch()

    assert (patch["lastAction"], patch["lastSkip"], patch["stream"]["connectedSince"]) == (None, None, None)
    assert patch["conditions"] == []


def test_the_status_of_another_version_is_understood() -> None:
    """Fields that this version does not know are left aside, those it misses are as at the beginning."""
    assert Status.model_validate({"futureField": 1, "counters": {"restarts": 2}}).counters.restarts == 2


def test_the_ledger_is_none_of_a_reports_business() -> None:
    """A status patch never has the ledger."""
    assert "ledger" not in reports.STATUS.as_patch()


def test_the_kinds_of_workloads() -> None:
    """Four kinds can be restarted; what runs once has its Secrets made fresh."""
    assert [(kind.api_version, kind.kind) for kind in WORKLOAD_KINDS] == [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "CronJob"),
        ("batch/v1", "Job"),
        ("argoproj.io/v1alpha1", "Rollout"),
    ]


@pytest.mark.parametrize(
    "text", ["", "x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2201-01-01T00:00:00Z"]
)
def test_what_is_no_time_or_too_far_away_is_no_time(text: str) -> None:
    """Sums with such a time could not be represented."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@pytest.mark.parametrize("text", ["2026-01-01T12:00:00", "2026-01-01T12:00:00Z", "2026-01-01T14:00:00+02:00"])
def test_a_time_is_in_utc(text: str) -> None:
    """Also one without a time zone."""
    assert parse_time(text) == datetime(2026, 1, 1, 12, tzinfo=UTC)
