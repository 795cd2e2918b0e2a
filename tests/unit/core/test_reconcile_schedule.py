"""The schedule of the reconcile loop, as plain values."""

import pytest

from infisical_events.core.reconcile_schedule import CompletedRead, ReconcileSchedule

NOW = 1_000.0
INTERVAL = 300.0
FULL = CompletedRead(next_full_in=INTERVAL)
PARTIAL = CompletedRead(next_full_in=None)


def test_first_read_is_at_once_and_full() -> None:
    """Without a trigger the first read and the first round of restarts are due at any moment."""
    schedule = ReconcileSchedule()
    assert schedule.wake_at == 0.0
    assert schedule.is_read_due(0.0, is_triggered=False)
    assert schedule.is_full_read_due(0.0)


@pytest.mark.parametrize(
    ("read_at", "restart_round_at", "wake_at"), [(5.0, 9.0, 5.0), (9.0, 5.0, 5.0), (5.0, 5.0, 5.0)]
)
def test_wakes_for_what_is_due_first(read_at: float, restart_round_at: float, wake_at: float) -> None:
    """The loop wakes for the read or for the round of restarts, whichever is earlier."""
    assert ReconcileSchedule(read_at=read_at, restart_round_at=restart_round_at).wake_at == wake_at


def test_due_without_a_trigger() -> None:
    """Without a trigger a read is due from its moment on, and no hold changes that."""
    schedule = ReconcileSchedule(read_at=NOW, held_until=NOW + 50.0)
    assert not schedule.is_read_due(NOW - 0.1, is_triggered=False)
    assert schedule.is_read_due(NOW, is_triggered=False)


def test_due_with_a_trigger() -> None:
    """With a trigger a read is due unless triggers are held."""
    schedule = ReconcileSchedule(read_at=NOW + 100.0, held_until=NOW)
    assert not schedule.is_read_due(NOW - 0.1, is_triggered=True)
    assert schedule.is_read_due(NOW, is_triggered=True)


def test_begun_upon_a_full_trigger() -> None:
    """A trigger without events makes the read a full one."""
    schedule = ReconcileSchedule(full_read_at=NOW + 100.0)
    assert not schedule.begun(NOW, is_triggered=True, is_full=False).is_full_read_due(NOW)
    assert schedule.begun(NOW, is_triggered=True, is_full=True).is_full_read_due(NOW)


def test_retries_are_counted_until_a_trigger() -> None:
    """Reads without a new trigger count as retries; a trigger begins the count again."""
    schedule = ReconcileSchedule().begun(NOW, is_triggered=False, is_full=False)
    schedule = schedule.begun(NOW, is_triggered=False, is_full=False)
    assert schedule.retries == 2
    assert schedule.begun(NOW, is_triggered=True, is_full=False).retries == 0


def test_full_read_completed() -> None:
    """After a full read the next read is a full one, after the interval."""
    schedule = ReconcileSchedule().completed(NOW, FULL)
    assert (schedule.read_at, schedule.full_read_at) == (NOW + INTERVAL, NOW + INTERVAL)


def test_partial_read_completed() -> None:
    """A partial read does not postpone the full one."""
    schedule = ReconcileSchedule(full_read_at=NOW + 20.0).completed(NOW, PARTIAL)
    assert (schedule.read_at, schedule.full_read_at) == (NOW + 20.0, NOW + 20.0)


def test_partial_read_completed_while_a_full_one_is_due() -> None:
    """A full read that is overdue is due at once."""
    schedule = ReconcileSchedule(full_read_at=NOW - 20.0).completed(NOW, PARTIAL)
    assert schedule.is_read_due(NOW, is_triggered=False)
    assert schedule.is_full_read_due(NOW)


@pytest.mark.parametrize(
    ("retries", "pause"), [(0, 0.25), (1, 0.5), (2, 1.0), (5, 8.0), (6, 8.0), (1000, 8.0)]
)
def test_unshown_events_are_read_for_again(retries: int, pause: float) -> None:
    """The pause before the next try doubles up to eight seconds; the full read is not moved by it."""
    read = CompletedRead(next_full_in=INTERVAL, has_unshown_events=True)
    schedule = ReconcileSchedule(retries=retries).completed(NOW, read)
    assert (schedule.read_at, schedule.full_read_at) == (NOW + pause, NOW + INTERVAL)


def test_unshown_events_do_not_postpone_a_full_read() -> None:
    """A full read that is due before the next try is not later for it."""
    read = CompletedRead(next_full_in=None, has_unshown_events=True)
    schedule = ReconcileSchedule(retries=5, full_read_at=NOW + 1.0).completed(NOW, read)
    assert schedule.read_at == NOW + 1.0


def test_open_import_events_bring_the_full_read_forward() -> None:
    """Imports are seen by a full read only, so that is the one that is tried again."""
    read = CompletedRead(next_full_in=INTERVAL, has_open_import_events=True)
    schedule = ReconcileSchedule(retries=1).completed(NOW, read)
    assert (schedule.read_at, schedule.full_read_at) == (NOW + 0.5, NOW + 0.5)


@pytest.mark.parametrize(
    ("decidable_in", "full_in"), [(60.0, 60.25), (-5.0, 0.25), (0.0, 0.25), (1_000.0, INTERVAL)]
)
def test_suspect_read_is_decided_by_a_full_read(decidable_in: float, full_in: float) -> None:
    """The full read comes just after the moment of decision, and never later than the interval."""
    read = CompletedRead(next_full_in=INTERVAL, decidable_in=decidable_in)
    schedule = ReconcileSchedule().completed(NOW, read)
    assert (schedule.read_at, schedule.full_read_at) == (NOW + full_in, NOW + full_in)


@pytest.mark.parametrize(
    ("is_user_error", "retry_after", "held"),
    [(False, 0.0, 1.0), (True, 0.0, 30.0), (False, 50.0, 50.0), (True, 50.0, 50.0)],
)
def test_failed_read(held: float, retry_after: float, *, is_user_error: bool) -> None:
    """Triggers are held for a second, for the pause where only a user can help, or as the server asks."""
    before = ReconcileSchedule(full_read_at=NOW - 5.0)
    schedule = before.failed(NOW, 30.0, is_user_error=is_user_error, retry_after=retry_after)
    assert (schedule.read_at, schedule.held_until) == (NOW + 30.0, NOW + held)
    assert schedule.is_full_read_due(NOW)


def test_read_that_is_not_stored() -> None:
    """What could not be stored is read again after the pause, and upon a trigger at once."""
    schedule = ReconcileSchedule(full_read_at=NOW - 5.0).not_stored(NOW, 30.0)
    assert (schedule.read_at, schedule.held_until) == (NOW + 30.0, 0.0)
    assert schedule.is_full_read_due(NOW)


def test_restart_round() -> None:
    """The next round of restarts is after the pause, and the reads stay as they are."""
    schedule = ReconcileSchedule(read_at=NOW + 300.0).restart_round_done(NOW, 15.0)
    assert (schedule.wake_at, schedule.read_at) == (NOW + 15.0, NOW + 300.0)


def test_written_secrets_are_checked_only_where_there_are_some() -> None:
    """Without any, nothing is due for them; with some, the schedule has the time of the next check."""
    schedule = ReconcileSchedule(read_at=300.0, restart_round_at=300.0)

    assert (schedule.is_secret_check_due(1e9), schedule.wake_at) == (False, 300.0)
    checked = schedule.secrets_checked(10.0, 30.0)
    assert (checked.is_secret_check_due(39.9), checked.is_secret_check_due(40.0), checked.wake_at) == (
        False,
        True,
        40.0,
    )
