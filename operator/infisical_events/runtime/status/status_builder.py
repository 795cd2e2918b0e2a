"""The status of one subscription, collected in memory.

Tasks report to it through the Reporter, and the SubscriptionStore writes it. What survives a restart of the
operator is taken over from the stored status first.
"""

import asyncio
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from infisical_events.api.statuses import (
    Acted,
    Condition,
    ConditionStatus,
    ConditionType,
    LastSkip,
    ObservationStatus,
    Status,
    WorkloadResult,
    parse_status,
)
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts import workload_statuses
from infisical_events.core.restarts.restart_records import described_changes
from infisical_events.core.restarts.workload_statuses import WorkloadRound, WorkloadStatuses
from infisical_events.core.snapshots.changes import Change, summarize
from infisical_events.core.status.conditions import ConditionUpdate, ready, with_condition, without
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import escaped, object_name, preview
from infisical_events.core.workloads.rollout_progress import OBSTACLES
from infisical_events.core.workloads.workloads import WorkloadList
from infisical_events.runtime.clock import Clock

_OBSERVED_NEWS = timedelta(minutes=10)
"""How old the time of the last read may be in the status: every read would be a write otherwise."""

_SAME_CONNECTION = timedelta(minutes=1)
"""How long a restart of the operator may interrupt a stream without a new time of connection, which would be
a write for each subscription."""

_UNFINISHED = {Reason.RESTARTED, *OBSTACLES}
"""Results of a workload that has pods of the old template left."""

_MOST_HISTORY = 10
_MOST_WORKLOADS = 50
_MAX_NAMED = 5


class StatusBuilder:
    """The status of one generation of one subscription."""

    def __init__(self, stored: dict[str, Any], generation: int, clock: Clock) -> None:
        self._clock = clock
        self._generation = generation
        self._status = parse_status(stored).model_copy(update={"observed_generation": generation})
        self._blind_since: datetime | None = clock()
        self._observed = self._status.observation
        self._workloads = workload_statuses.restored(self._status.workloads, self._status.workload_count)
        self._has_connected = False
        self.changed = asyncio.Event()
        self.urgent = asyncio.Event()

    def render(self) -> Status:
        """The status as of now."""
        blind = self._status.stream.blind_seconds + self._blind_seconds()
        update: dict[str, Any] = {"blind_seconds": blind}
        if not (self._has_connected or self._is_streaming()):
            update["connected_since"] = None
        stream = self._status.stream.model_copy(update=update)
        return self._status.model_copy(update={"stream": stream, "observation": self._observed})

    def _is_streaming(self) -> bool:
        """Whether the stream is open, or was open before this process began and is not known to be closed."""
        return _status_of(self._status, ConditionType.STREAMING) is ConditionStatus.TRUE

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions as of now."""
        return self._status.conditions

    def set_condition(self, kind: ConditionType, *, ok: bool | None, reason: Reason, message: str) -> bool:
        """Set a condition (`ok=None` is Unknown) and Ready; return whether its status or reason is new."""
        words = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}
        before = {condition.type: condition for condition in self._status.conditions}
        finding = ConditionUpdate(kind, words[ok], reason, escaped(message))
        now = self._clock()
        conditions = with_condition(self._status.conditions, finding, self._generation, now)
        if kind is not ConditionType.READY:
            conditions = with_condition(conditions, ready(conditions), self._generation, now)
        self._put(conditions=conditions)
        old = before.get(kind)
        return old is None or (old.status, old.reason) != (finding.status, finding.reason)

    def mark_found(self, ledger: Ledger) -> int:
        """Take back that all restarts are complete, if the ledger has some that are not; return how many."""
        kind, waiting = ConditionType.RESTARTS_COMPLETE, [each.kind for each in ledger.unlisted]
        reason = Reason.WORKLOADS_NOT_LISTED if waiting else Reason.PENDING
        pending = [object_name(p.kind, p.name) for p in ledger.pending if not p.is_confirmation_only]
        waiting += pending
        reverted = [object_name(r.kind, r.name) for r in ledger.rollouts if r.reverted_at]
        is_told = _status_of(self._status, kind) is ConditionStatus.TRUE
        if waiting and is_told:
            message = f"Restarts are pending: {preview(waiting, _MAX_NAMED)}."
            self.set_condition(kind, ok=False, reason=reason, message=message)
        elif reverted and is_told:
            message = f"Restarts were taken back: {preview(reverted, _MAX_NAMED)}."
            self.set_condition(kind, ok=False, reason=Reason.RESTART_REVERTED, message=message)
        return len(pending)

    def mark_inactive(self, why: ConditionType) -> None:
        """The spec is not served, as condition `why` is about to say: drop all others but Ready."""
        kept = {ConditionType.READY, why}  # a condition Suspended is set anew
        self._put(conditions=tuple(c for c in self._status.conditions if c.type in kept))

    def mark_no_secrets(self) -> None:
        """The spec has no Secrets to write: there is nothing to say of them."""
        self._put(conditions=without(self._status.conditions, ConditionType.SECRETS_SYNCED))

    def mark_starting(self, project: str) -> None:
        """The spec is served: not stalled or suspended any more; conditions without a result are Unknown."""
        kept = without(self._status.conditions, ConditionType.STALLED)
        self._put(conditions=without(kept, ConditionType.SUSPENDED), project=project)
        message = "No result yet."
        for kind in (ConditionType.AUTHENTICATED, ConditionType.STREAMING, ConditionType.OBSERVED):
            if all(condition.type is not kind for condition in self._status.conditions):
                self.set_condition(kind, ok=None, reason=Reason.STARTING, message=message)

    def mark_connected(self) -> None:
        """The stream is open: the time without a stream ends."""
        stream, now = self._status.stream, self._clock()
        begun = None if self._has_connected else self._blind_since
        is_same = self._is_streaming() and begun is not None and now - begun < _SAME_CONNECTION
        update = {
            "connected_since": (stream.connected_since if is_same else None) or now,
            "blind_seconds": stream.blind_seconds + self._blind_seconds(),
            "reconnects": stream.reconnects + self._has_connected,
        }
        is_news = update["connected_since"] != stream.connected_since
        self._blind_since = None
        self._has_connected = True
        self._put(stream=stream.model_copy(update=update), is_news=is_news)

    def mark_disconnected(self) -> None:
        """The stream ended: the time without a stream begins."""
        if self._blind_since is None:
            self._blind_since = self._clock()
            self._put(stream=self._status.stream.model_copy(update={"connected_since": None}))

    def count_event(self, *, is_matched: bool) -> None:
        """An event was received."""
        counters = self._status.counters
        update = {
            "events_received": counters.events_received + 1,
            "events_matched": counters.events_matched + is_matched,
        }
        stream = self._status.stream.model_copy(update={"last_event_time": self._clock()})
        self._put(counters=counters.model_copy(update=update), stream=stream)

    def record_observation(self, grade: str, keys: int) -> None:
        """Infisical was read; the time alone is written with other news, or after 10 minutes."""
        before, now = self._status.observation, self._clock()
        after = self._observed = ObservationStatus(grade=grade, last_observed_time=now, keys=keys)
        is_recent = before.last_observed_time and now - before.last_observed_time < _OBSERVED_NEWS
        if is_recent and (before.grade, before.keys) == (grade, keys):
            return
        self._put(observation=after)

    def record_skip(self, reason: Reason, message: str) -> None:
        """An event or a change led to no restart: say why."""
        self._put(last_skip=LastSkip(time=self._clock(), reason=reason, message=escaped(message)))

    def record_action(
        self, changes: tuple[Change, ...], results: Iterable[WorkloadResult], message: str
    ) -> None:
        """Workloads were restarted, or failed to, for these changes."""
        now, done = self._clock(), tuple(results)
        restarts = sum(result.result != Reason.RESTART_FAILED for result in done)
        reason = Reason.RESTARTED if restarts else Reason.RESTART_FAILED
        action = self._action(changes, reason, done, message)
        self._supersede(done)
        counters = self._status.counters
        counters = counters.model_copy(update={"restarts": counters.restarts + restarts})
        self._remember(action, counters=counters, **({"last_restart_time": now} if restarts else {}))

    def _supersede(self, done: tuple[WorkloadResult, ...]) -> None:
        """Workloads are restarted again: the end of their rollouts before is not known any more."""
        names = {(each.kind, each.name) for each in done if each.result != Reason.RESTART_FAILED}
        now = self._clock()
        self._put(history=tuple(_superseded(action, names, now) for action in self._status.history))

    def record_dry_run(
        self, changes: tuple[Change, ...], results: Iterable[WorkloadResult], message: str
    ) -> None:
        """Workloads would have been restarted for these changes."""
        done = tuple(results)
        skip = LastSkip(time=self._clock(), reason=Reason.WOULD_RESTART, message=summarize(changes))
        names = [(result.kind, result.name) for result in done]
        self._put_workloads(workload_statuses.with_skips(self._workloads, names, skip))
        self._remember(self._action(changes, Reason.WOULD_RESTART, done, message))

    def count_resync(self) -> None:
        """The Secrets of a workload were synced, and no restart was needed."""
        counters = self._status.counters
        self._put(counters=counters.model_copy(update={"resyncs": counters.resyncs + 1}))

    def record_rollout_end(self, kind: str, name: str, result: Reason) -> None:
        """A rollout ended: the newest action that began it shows that."""
        history = list(self._status.history)
        for place, action in enumerate(history):
            if any((each.kind, each.name) == (kind, name) for each in action.workloads):
                history[place] = _with_end(action, kind, name, result, self._clock())
                break
        last = self._status.last_action
        if last is not None:
            last = _with_end(last, kind, name, result, self._clock())
        self._put(history=tuple(history), last_action=last)

    def record_round(self, completed: WorkloadRound) -> None:
        """Rollouts moved, and pending restarts were decided."""
        self._put_workloads(workload_statuses.after_round(self._workloads, completed))

    def record_workloads(self, listed: WorkloadList, subscription: str) -> None:
        """The workloads were listed; that alone is no reason to write the status."""
        now = self._clock()
        found = workload_statuses.with_listed(self._workloads, listed, subscription, now)
        self._put_workloads(found, is_news=False)

    def record_missed(self, changes: Iterable[Change]) -> None:
        """No event had told of these changes."""
        self._put_workloads(workload_statuses.without_event(self._workloads, changes))

    def _put_workloads(self, workloads: WorkloadStatuses, *, is_news: bool = True) -> None:
        self._workloads = workloads
        self._put(workloads=workloads.shown, workload_count=workloads.count, is_news=is_news)

    def record_handled(self, **values: str) -> None:
        """A user's request, by the value of its annotation, was handled."""
        self._put(**dict[str, Any](values))

    def _remember(self, action: Acted, **update: Any) -> None:  # noqa: ANN401 - fields of Status
        history = (_bounded(action), *self._status.history)[:_MOST_HISTORY]
        self._put(last_action=action, history=history, **update)

    def _action(
        self, changes: tuple[Change, ...], reason: Reason, done: tuple[WorkloadResult, ...], message: str
    ) -> Acted:
        described = described_changes(changes)
        return Acted(
            time=self._clock(),
            reason=reason,
            message=escaped(message),
            event=described["event"],
            environment_slug=described["environmentSlug"],
            secret_path=described["secretPath"],
            keys=tuple(described["keys"]),
            workloads=done,
        )

    def _blind_seconds(self) -> int:
        if self._blind_since is None:
            return 0
        return max(0, round((self._clock() - self._blind_since).total_seconds()))

    def _put(self, *, is_news: bool = True, **update: Any) -> None:  # noqa: ANN401 - fields of Status
        was_ready = _status_of(self._status, ConditionType.READY)
        status = self._status.model_copy(update=update)
        if status == self._status:
            return
        self._status = status
        if not is_news:  # it is written with the next news
            return
        self.changed.set()
        if _status_of(status, ConditionType.READY) != was_ready:
            self.urgent.set()


def _bounded(action: Acted) -> Acted:
    """With the first of many workloads only: the history has ten actions."""
    return action.model_copy(update={"workloads": action.workloads[:_MOST_WORKLOADS]})


def _with_end(action: Acted, kind: str, name: str, result: Reason, now: datetime) -> Acted:
    """The same action with the rollout of a workload ended; the last one completes the action.

    A good end corrects an earlier failure.
    """
    end = Reason.ROLLED_OUT if result is Reason.ROLLOUT_RESUMED else result
    correctable = {*_UNFINISHED, Reason.ROLLOUT_FAILED} if end is Reason.ROLLED_OUT else _UNFINISHED
    mine = [
        (each.kind, each.name) == (kind, name) and each.result in correctable for each in action.workloads
    ]
    return _with_result(action, mine, end, now)


def _superseded(action: Acted, names: Collection[tuple[str, str]], now: datetime) -> Acted:
    """The same action with the unfinished rollouts of these workloads replaced by newer ones."""
    mine = [(each.kind, each.name) in names and each.result in _UNFINISHED for each in action.workloads]
    return _with_result(action, mine, Reason.ROLLOUT_SUPERSEDED, now)


def _with_result(action: Acted, mine: list[bool], result: Reason, now: datetime) -> Acted:
    """The same action with another result for some of its workloads; the last one completes the action."""
    if not any(mine):
        return action
    workloads = tuple(
        each.model_copy(update={"result": result}) if is_mine else each
        for each, is_mine in zip(action.workloads, mine, strict=True)
    )
    is_over = all(each.result != Reason.RESTARTED for each in workloads)
    return action.model_copy(update={"workloads": workloads, "completed_time": now if is_over else None})


def _status_of(status: Status, kind: ConditionType) -> ConditionStatus | None:
    return next((c.status for c in status.conditions if c.type is kind), None)
