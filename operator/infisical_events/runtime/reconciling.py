"""One pass: observe, diff, plan, write down, act, report.

The order is the protocol: what is owed is stored before anything is done for it, and workloads are
listed after the observation. `core.passes` and `core.planning` decide; here it is carried out.
"""

import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.api.specs import Spec
from infisical_events.api.statuses import ConditionType, WorkloadResult
from infisical_events.core.changes import Change, folded
from infisical_events.core.judging import Heard
from infisical_events.core.ledgers import Header, Ledger
from infisical_events.core.matching import select, selectors_of
from infisical_events.core.observations import Observation, Part
from infisical_events.core.passes import absorb_all, baseline, doubtful_losses, untold
from infisical_events.core.planning import Restart, Selected, Step, clear, owe, plan
from infisical_events.core.reasons import Reason
from infisical_events.core.receipts import restart_patch
from infisical_events.core.scopes import scopes_of
from infisical_events.core.workloads import Workload, narrowing_of
from infisical_events.infisical.errors import InfisicalError
from infisical_events.kube.errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.backoffs import Backoff
from infisical_events.runtime.clocks import Clock
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster, Infisical
from infisical_events.runtime.records import Record
from infisical_events.runtime.reporting import Reporter

log = logging.getLogger(__name__)

_EPOCH_BYTES = 6
_HELD_PAUSE = 15.0
"""Seconds between looks at a workload that its owner holds."""

_ACTED = {Reason.RESTARTED, Reason.RESTART_FAILED}

_KEEPING = {Reason.RESTART_FAILED, Reason.PAUSED}
"""Results after which the debt stays."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look leaves to be done.

    Events whose change did not show yet, the moment at which a suspect read can be decided, whether an
    import mutation was heard that is still to be looked for, and the workloads if they were listed.
    """

    unshown: tuple[Heard, ...] = ()
    look_again: datetime | None = None
    is_claimed: bool = False
    workloads: tuple[Workload, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of one step; `trouble` is the API server's own sentence."""

    step: Step
    result: Reason
    trouble: str = ""
    is_conflict: bool = False
    is_unanswered: bool = False

    @property
    def told(self) -> Reason:
        """The result for people: a restart whose answer was lost is found by its receipt."""
        return Reason.RESTARTED if self.result is Reason.ALREADY_RESTARTED else self.result


@dataclass(kw_only=True, slots=True)
class Reconciler:
    """The passes of one subscription under one spec."""

    spec: Spec
    address: str
    infisical: Infisical
    cluster: Cluster
    record: Record
    reporter: Reporter
    metrics: Metrics
    clock: Clock
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))
    conflicts: Backoff = field(default_factory=lambda: Backoff(first=0.05, longest=5.0))
    told: dict[str, tuple[int, Reason]] = field(default_factory=dict)
    """By the workload's uid: the debt (its seq) and what was told of it last."""
    unanswered: set[tuple[str, int]] = field(default_factory=set)
    """Debts (uid and seq) whose restart had no answer once: the next time that is news."""

    async def observe(self, heard: tuple[Heard, ...]) -> Outcome:
        """Look, take in what changed, and store what is owed for it.

        Raises:
            InfisicalError: the state could not be read; nothing happened.
            KubernetesError, LedgerMovedError, SupersededError, GoneError: nothing was stored.
        """
        await self.infisical.login()
        await self.reporter.find(
            ConditionType.AUTHENTICATED, Reason.LOGGED_IN, "The machine identity is logged in.", ok=True
        )
        header = Header(await self.infisical.project_id(), self.address, self.spec.observe)
        ledger = self.record.ledger
        if ledger is None or ledger.header != header:
            await self._baseline(header, planned_on=ledger)
            return Outcome()
        last_look = await self._last_look(ledger)
        observation = await self.infisical.observe(scopes_of(self.spec))
        observation = observation.doubting(await self._hidden(ledger, observation, heard))
        return await self._take_in(ledger, (*last_look, observation), heard)

    async def settle(self, listed: tuple[Workload, ...] | None = None) -> float | None:
        """Do what is owed; return after how many seconds to try again, None when nothing is left.

        `listed` are workloads that were listed a moment ago: a patch under an old version conflicts.

        Raises:
            KubernetesError, LedgerMovedError, SupersededError, GoneError: what was done is found again by
                its receipts.
        """
        ledger = self.record.ledger
        if ledger is None or not ledger.debts:
            return None
        workloads = listed or await self.cluster.list_workloads(self.record.key.namespace)
        done = [await self._carry_out(step, ledger) for step in plan(ledger, self.record.key.name, workloads)]
        for entry in done:
            self.metrics.dealt(self.record.key, entry.result)
        await self._tell([entry for entry in done if self._is_news(entry)])
        cleared = clear(ledger, (entry.step.debt for entry in done if entry.result not in _KEEPING))
        if cleared is not ledger:
            await self.record.write_ledger(cleared, planned_on=ledger)
        owed = {debt.uid for debt in cleared.debts}
        self.told = {uid: told for uid, told in self.told.items() if uid in owed}
        self.unanswered = {(uid, seq) for uid, seq in self.unanswered if uid in owed}
        return self._pause_after(done, is_owed=bool(owed))

    def _pause_after(self, done: list[_Done], *, is_owed: bool) -> float | None:
        failed = [entry for entry in done if entry.result is Reason.RESTART_FAILED]
        if failed and all(entry.is_conflict for entry in failed):
            return self.conflicts.pause()  # a rollout under way moves its workload's version all the time
        if failed:
            return self.backoff.pause()
        self.backoff.reset()
        self.conflicts.reset()
        return _HELD_PAUSE if is_owed else None

    def _is_news(self, entry: _Done) -> bool:
        """Tries of one debt repeat themselves; a conflict, or one lost answer, is no result yet."""
        debt, result = entry.step.debt, entry.told
        attempt = (debt.uid, debt.seq)
        is_undecided = entry.is_conflict or (entry.is_unanswered and attempt not in self.unanswered)
        if entry.is_unanswered:
            self.unanswered.add(attempt)
        if is_undecided or self.told.get(debt.uid) == (debt.seq, result):
            return False
        self.told[debt.uid] = (debt.seq, result)
        return True

    async def _tell(self, news: list[_Done]) -> None:
        restarts = [(entry.step.debt, entry.told) for entry in news if entry.told in _ACTED]
        if restarts:
            changes = folded(change for debt, _ in restarts for change in debt.changes)
            told = [WorkloadResult(kind=d.kind, name=d.name, result=result) for d, result in restarts]
            self.reporter.board.acted(changes, told, _summary(told))
        for entry in news:
            await self._tell_of(entry)

    async def _tell_of(self, entry: _Done) -> None:
        debt, why = entry.step.debt, _named(entry.step.debt.changes)
        name = f"{debt.kind} {debt.name}"
        if entry.told not in _ACTED:
            self.reporter.skip(entry.result, f"{name}: {why}.")
            return
        if entry.result is Reason.RESTART_FAILED:
            note = f"{name} could not be restarted: {entry.trouble}"
            await self.reporter.notify(Reason.RESTART_FAILED, note, is_warning=True)
            return
        log.info("restarted %s: %s", name, why, extra=self.reporter.extra)
        await self.reporter.notify(Reason.RESTARTED, f"{name} restarted: {why}.")
        if isinstance(entry.step, Restart):
            note = f"Restarted by subscription {self.record.key.name}: {why}."
            await self.reporter.notify_workload(entry.step.workload, Reason.RESTARTED, note)

    async def _hidden(
        self, ledger: Ledger, observation: Observation, heard: tuple[Heard, ...]
    ) -> tuple[Part, ...]:
        """The parts that seem to have lost most of their secrets, and have not.

        Raises:
            InfisicalError: the identity may not describe them any more.
        """
        doubtful = doubtful_losses(ledger, observation, heard)
        return tuple(
            [part for part, key in doubtful.items() if not await self.infisical.is_gone(part.folder, key)]
        )

    async def _last_look(self, ledger: Ledger) -> tuple[Observation, ...]:
        """After a changed spec, the old scopes once more; what cannot be read any more is let go."""
        if ledger.scopes == scopes_of(self.spec):
            return ()
        try:
            return (await self.infisical.observe(ledger.scopes),)
        except InfisicalError as error:
            log.warning("no last look at the old scopes: %s", error, extra=self.reporter.extra)
            return ()

    async def _baseline(self, header: Header, *, planned_on: Ledger | None) -> None:
        observation = await self.infisical.observe(scopes_of(self.spec))
        if self.record.unreadable:
            note = f"{self.record.unreadable}: a new baseline is made, changes since the last look are lost."
            await self.reporter.notify(Reason.LEDGER_UNREADABLE, note, is_warning=True)
        epoch = secrets.token_urlsafe(_EPOCH_BYTES).replace("-", "x")
        await self._store(baseline(header, epoch, observation), planned_on)
        await self._found(observation)
        note = f"{observation.key_count} keys recorded as they stand; changes from now on count."
        log.info("baseline: %s", note, extra=self.reporter.extra)
        await self.reporter.notify(Reason.BASELINE_RECORDED, note)

    async def _take_in(
        self, ledger: Ledger, observations: tuple[Observation, ...], heard: tuple[Heard, ...]
    ) -> Outcome:
        absorbed = absorb_all(ledger, observations, heard, self.clock())
        selectors = selectors_of(self.spec)
        selection = select(selectors, absorbed.changes)
        claims = tuple(c for c in absorbed.claims if select(selectors, (c.change,)).selected)
        owed, workloads = absorbed.ledger, None
        if selected := Selected(selection.selected, claims):
            workloads = await self.cluster.list_workloads(self.record.key.namespace)
            owed = owe(owed, self.record.key.name, selected, workloads, self.clock())
            self._explain(selected, workloads, is_owed=owed is not absorbed.ledger)
        elif selection.refusal is not None:
            found = _named(absorbed.changes)
            self.reporter.skip(selection.refusal, f"{found} was found and not selected by spec.events.")
        if owed != ledger:
            await self._store(owed, ledger)
        if missed := untold(selection.selected, heard):
            note = f"No event had told of {_named(missed)}: found by looking."
            log.info("missed: %s", note, extra=self.reporter.extra)
            await self.reporter.notify(Reason.MISSED_CHANGES_FOUND, note)
        await self._found(observations[-1])
        self._explain_unseen(heard, absorbed.unshown, absorbed.changes)
        return Outcome(absorbed.unshown, absorbed.look_again, bool(owed.claims), workloads)

    async def _store(self, ledger: Ledger, planned_on: Ledger | None) -> None:
        """Write down what is known; what cannot be is said, since nothing is acted on before."""
        try:
            await self.record.write_ledger(ledger, planned_on=planned_on)
        except KubernetesError as error:
            message = f"What was seen cannot be stored, so nothing is restarted for it: {error}."
            await self.reporter.find(ConditionType.OBSERVED, Reason.LEDGER_NOT_STORED, message, ok=False)
            raise

    async def _carry_out(self, step: Step, ledger: Ledger) -> _Done:
        if not isinstance(step, Restart):
            return _Done(step, step.reason)
        key = self.record.key
        patch = restart_patch(step.workload, step.debt, key.name, ledger.epoch, self.clock())
        try:
            await self.cluster.patch_workload(key.namespace, step.workload, patch)
        except ConflictError:  # it was edited since it was listed: listed and planned anew
            return _Done(step, Reason.RESTART_FAILED, is_conflict=True)
        except UnknownOutcomeError as error:  # done or not: its receipt will tell
            return _Done(step, Reason.RESTART_FAILED, str(error), is_unanswered=True)
        except KubernetesError as error:
            return _Done(step, Reason.RESTART_FAILED, str(error))
        return _Done(step, Reason.RESTARTED)

    async def _found(self, observation: Observation) -> None:
        scopes = ", ".join(map(str, observation.scopes))
        message = f"{observation.key_count} keys are watched in {scopes}."
        await self.reporter.find(ConditionType.OBSERVED, Reason.UP_TO_DATE, message, ok=True)

    def _explain(self, selected: Selected, workloads: tuple[Workload, ...], *, is_owed: bool) -> None:
        for workload in workloads:
            for mistake in narrowing_of(workload).mistakes:
                name = f"{workload.kind.kind} {workload.name}"
                log.warning("%s: %s", name, mistake, extra=self.reporter.extra)
        if not is_owed:
            told = _named((*selected.changes, *(claim.change for claim in selected.claims)))
            self.reporter.skip(
                Reason.NO_WORKLOAD_CONCERNED,
                f"{told}: no Deployment, StatefulSet or DaemonSet of this namespace is annotated "
                'events.infisical.com/auto-reload: "true" (or names this subscription) and concerned by it.',
            )

    def _explain_unseen(
        self, heard: tuple[Heard, ...], unshown: tuple[Heard, ...], changes: tuple[Change, ...]
    ) -> None:
        """An event whose change never showed was accounted for before, or has been undone."""
        given_up = [entry for entry in heard if entry not in unshown and entry.event.keys]
        if given_up and not changes:
            self.reporter.skip(
                Reason.NO_CHANGE_FOUND,
                f"{given_up[-1].event.type} in {given_up[-1].event.folder} was heard, and the state shows "
                "no change since the last restart for it.",
            )


def _named(changes: tuple[Change, ...]) -> str:
    """`secret:update prod:/a KEY` for the first few changes."""
    shown = "; ".join(map(str, changes[:3]))
    return shown if len(changes) <= 3 else f"{shown} and {len(changes) - 3} more"  # noqa: PLR2004


def _summary(results: list[WorkloadResult]) -> str:
    done = sum(result.result == Reason.RESTARTED for result in results)
    return f"{done} of {len(results)} workloads restarted."
