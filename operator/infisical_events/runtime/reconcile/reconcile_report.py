"""What a look has found, told to people: what is watched, and why nothing is done about a change."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.api.statuses import ConditionType, WorkloadResult
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.event_correlation import without_event
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.observation_modes import ReadResult
from infisical_events.core.restarts.affected_workloads import MatchedChanges
from infisical_events.core.restarts.workloads import Workload, workload_filter_of
from infisical_events.core.snapshots.changes import Change, compacted, summarize
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.subscription_store import SubscriptionStore

_KINDS = " or ".join((", ".join(kind.kind for kind in WORKLOAD_KINDS[:-1]), WORKLOAD_KINDS[-1].kind))

log = logging.getLogger(__name__)

_MOST_MISTAKEN = 10
"""Workloads whose annotations are told of after one look: the restarts wait for it."""

_DAMAGE_NEWS = timedelta(minutes=15)
"""How long a condition says that the ledger could not be read."""


@dataclass(kw_only=True, slots=True)
class ReconcileReporter:
    """Tells for the looks of one subscription."""

    record: SubscriptionStore
    reporter: Reporter
    metrics: Metrics
    clock: Clock
    mistakes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What was told of each workload's annotations, by its uid."""

    def passed(self, result: str) -> None:
        """Count a look by how it ended: `ok`, or the reason why not."""
        self.metrics.count_reconcile(self.record.key, result)

    async def missed(self, selected: Sequence[Change], received: tuple[ReceivedEvent, ...]) -> None:
        """What no event had told of."""
        missed = without_event(selected, received)
        if missed:
            note = f"No event had told of {len(missed)} changes: found by looking: {summarize(missed)}."
            log.info("missed: %s", note, extra=self.reporter.extra)
            await self.reporter.emit_event(Reason.MISSED_CHANGES_FOUND, note)

    async def sight(self, read_result: ReadResult, unreadable: str = "") -> None:
        """Say what is watched and by which means."""
        status, scopes = self.reporter.status, ", ".join(map(str, read_result.scopes))
        keys = read_result.snapshots[-1].key_count if read_result.snapshots else 0
        status.record_observation(read_result.header.grade, keys)
        self.metrics.set_observed(self.record.key, read_result.header.grade, keys, self.clock())
        if not unreadable and self._is_new_after_damage():
            return
        reason, message = Reason.UP_TO_DATE, f"{keys} keys are watched in {scopes}."
        if read_result.is_events_only:
            reason = Reason.EVENTS_ONLY
            message = f"Changes in {scopes} are known by events alone: what happens without a stream is lost."
        if unreadable:
            reason = Reason.LEDGER_UNREADABLE
            message = f"{unreadable}: a new baseline was made. Restart by hand what may have missed a change."
        await self.reporter.set_condition(ConditionType.OBSERVED, reason, message, ok=True)

    def _is_new_after_damage(self) -> bool:
        """Whether people should still read that the ledger was begun anew, and not only in an Event."""
        ledger, conditions = self.record.ledger, self.reporter.status.conditions
        is_told = any(condition.reason == Reason.LEDGER_UNREADABLE for condition in conditions)
        return is_told and ledger is not None and self.clock() < ledger.baselined_at + _DAMAGE_NEWS

    def nobody(self, selected: MatchedChanges) -> None:
        """The changes concern no workload."""
        told = summarize(
            (*selected.changes, *(import_event.change for import_event in selected.import_events))
        )
        self.reporter.record_skip(
            Reason.NO_MATCHING_WORKLOAD,
            f"{told}: no {_KINDS} of this namespace is annotated "
            'events.infisical.com/auto-reload: "true" (or names this subscription) and concerned by it.',
        )

    async def mistaken(self, workloads: Iterable[Workload]) -> None:
        """Annotations that narrow nothing since they make no sense: told to their owner, once each."""
        found = {
            workload.uid: (workload, mistakes)
            for workload in workloads
            if workload.is_subscribed_to(self.record.key.name)
            and (mistakes := workload_filter_of(workload).mistakes)
        }
        news = [told for uid, told in found.items() if self.mistakes.get(uid) != told[1]]
        for workload, mistakes in news[:_MOST_MISTAKEN]:
            note = f"Not understood, so it counts as not there: {'; '.join(mistakes)}."
            log.warning("%s %s: %s", workload.kind.kind, workload.name, note, extra=self.reporter.extra)
            await self.reporter.emit_workload_event(
                workload, Reason.INVALID_ANNOTATION, note, is_warning=True
            )
            self.mistakes[workload.uid] = mistakes
        self.mistakes = {uid: told for uid, told in self.mistakes.items() if uid in found}

    def unseen(
        self,
        received: tuple[ReceivedEvent, ...],
        unshown: tuple[ReceivedEvent, ...],
        changes: tuple[Change, ...],
    ) -> None:
        """An event whose change never showed was accounted for before, or has been undone."""
        given_up = [entry for entry in received if entry not in unshown and entry.event.keys]
        if given_up and not changes:
            self.reporter.record_skip(
                Reason.NO_CHANGE_FOUND,
                f"{given_up[-1].event.type} in {given_up[-1].event.folder} was heard, and the state shows "
                "no change since the last restart for it.",
            )

    def would(self, owed: Ledger) -> None:
        """What a dry run leaves undone."""
        all_pending = [pending for pending in owed.pending if pending.seq == owed.seq]
        if not all_pending:
            return
        changes = compacted(change for pending in all_pending for change in pending.changes)
        results = [
            WorkloadResult(kind=pending.kind, name=pending.name, result=Reason.WOULD_RESTART)
            for pending in all_pending
        ]
        message = f"{len(all_pending)} workloads would be restarted: spec.mode is DryRun."
        self.reporter.status.record_dry_run(changes, results, message)
        names = ", ".join(f"{pending.kind} {pending.name}" for pending in all_pending)
        log.info("would restart %s: %s", names, summarize(changes), extra=self.reporter.extra)
