"""When one subscription is reconciled next: the state of the reconcile loop as a value.

All moments are seconds of the event loop's clock. The loop reads clocks and draws jitter; the functions here
only compute. Three things have a schedule: the read of Infisical, the round of pending restarts, and the
check of the Secrets that the operator itself writes.
"""

import math
from dataclasses import dataclass, replace

FIRST_RETRY = 0.25
"""Seconds before a change with an event is read for again when it did not show; doubles each time."""

_MAX_DOUBLINGS = 5

SHORTEST_PAUSE = 1.0
"""Seconds between reads that fail, however many triggers there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletedRead:
    """What a read that succeeded leaves to the schedule.

    Attributes:
        next_full_in: Seconds until the next full read, after a read of everything; None after a partial one.
        has_unshown_events: Whether the change of a received event did not show yet.
        has_open_import_events: Whether an import event is not matched to a change yet.
        decidable_in: Seconds until a suspect read can be decided; None without one.
    """

    next_full_in: float | None
    has_unshown_events: bool = False
    has_open_import_events: bool = False
    decidable_in: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileSchedule:
    """When to read and when to work on pending restarts; the first of both is at once.

    Attributes:
        read_at: When to read without a trigger.
        full_read_at: From when on a read is one of everything.
        held_until: Before this moment no trigger leads to a read.
        restart_round_at: When to work on pending restarts.
        secret_check_at: When to check the Secrets that the subscription writes; never without any.
        retries: Reads in a row without a new trigger.
    """

    read_at: float = 0.0
    full_read_at: float = 0.0
    held_until: float = 0.0
    restart_round_at: float = 0.0
    secret_check_at: float = math.inf
    retries: int = 0

    @property
    def wake_at(self) -> float:
        """When something is due without a trigger."""
        return min(self.read_at, self.restart_round_at, self.secret_check_at)

    def is_read_due(self, now: float, *, is_triggered: bool) -> bool:
        """Whether to read now."""
        return now >= (self.held_until if is_triggered else self.read_at)

    def is_secret_check_due(self, now: float) -> bool:
        """Whether to check the written Secrets now."""
        return now >= self.secret_check_at

    def is_full_read_due(self, now: float) -> bool:
        """Whether a read that begins now is one of everything."""
        return now >= self.full_read_at

    def begun(self, now: float, *, is_triggered: bool, is_full: bool) -> "ReconcileSchedule":
        """A read begins; `is_full` is that its trigger calls for everything."""
        return replace(
            self,
            retries=0 if is_triggered else self.retries + 1,
            full_read_at=now if is_full else self.full_read_at,
        )

    def completed(self, now: float, read: CompletedRead) -> "ReconcileSchedule":
        """A read succeeded: the next one is full when that is due, and earlier for what did not show yet."""
        full_at = self.full_read_at if read.next_full_in is None else now + read.next_full_in
        retry_in = FIRST_RETRY * 2 ** min(self.retries, _MAX_DOUBLINGS)
        if read.has_open_import_events:
            full_at = min(full_at, now + retry_in)
        if read.decidable_in is not None:
            full_at = min(full_at, now + max(0.0, read.decidable_in) + FIRST_RETRY)
        pause = full_at - now
        if read.has_unshown_events:
            pause = min(retry_in, pause)
        return replace(self, full_read_at=full_at, read_at=now + pause)

    def failed(
        self, now: float, pause: float, *, is_user_error: bool, retry_after: float
    ) -> "ReconcileSchedule":
        """Infisical could not be read: again after `pause` seconds, not before `retry_after`.

        A trigger is no reason to read earlier than the server or the user needs. Else it is one: a stream
        that was opened again shows that the server is back.
        """
        hold = max(pause if is_user_error else SHORTEST_PAUSE, retry_after)
        return replace(self, held_until=now + hold, read_at=now + pause)

    def not_stored(self, now: float, pause: float) -> "ReconcileSchedule":
        """What was read could not be stored: again after `pause` seconds, or upon a trigger."""
        return replace(self, read_at=now + pause)

    def restart_round_done(self, begun_at: float, pause: float) -> "ReconcileSchedule":
        """Pending restarts were worked on: again `pause` seconds after the begin of that."""
        return replace(self, restart_round_at=begun_at + pause)

    def secrets_checked(self, now: float, pause: float) -> "ReconcileSchedule":
        """The written Secrets are as they should be: check them again after `pause` seconds."""
        return replace(self, secret_check_at=now + pause)
