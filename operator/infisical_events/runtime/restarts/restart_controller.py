"""One round of restarts: plan, gather, decide, admit, apply, write down.

Reading and deciding do not alternate. `gatherer` reads everything, `core.restarts.decisions` decides from it
alone, and the patches follow; only sync requests come in between, after which the same facts are decided on
once more. A pending restart leaves the ledger only when its restart was made, was found, or is not necessary
any more; its rollout takes its place in the same compare-and-swap.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from infisical_events.api.specs import Mode
from infisical_events.api.specs import Rollout as RolloutSpec
from infisical_events.core.ledger.ledger import Ledger, Rollout, without_future_times
from infisical_events.core.restarts.admission import admit, candidates
from infisical_events.core.restarts.decision_kinds import Defer, RequestSync, Restart, RestartDecision
from infisical_events.core.restarts.decisions import decide, decided_by_plan, found_rollouts, rollout_of
from infisical_events.core.restarts.late_workloads import NewList, SubscribedWorkloads, add_late_workloads
from infisical_events.core.restarts.outcomes import RestartOutcome, next_ledger
from infisical_events.core.restarts.planner import PlannedAction, RestartPolicy, plan
from infisical_events.core.restarts.rollouts import RolloutUpdate
from infisical_events.core.restarts.workload_statuses import WorkloadRound
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workloads import WorkloadList
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.restarts.gatherer import GatheredRound, Gatherer, WorkloadLister
from infisical_events.runtime.restarts.restart_report import RestartReporter
from infisical_events.runtime.restarts.retry_schedule import RetrySchedule
from infisical_events.runtime.restarts.rollout_tracker import RolloutTracker
from infisical_events.runtime.restarts.workload_patcher import WorkloadPatcher
from infisical_events.runtime.status.subscription_store import SubscriptionStore

_LIST_AGAIN = 60.0
"""Seconds until a kind that could not be listed is listed again while nothing is pending."""


@dataclass(kw_only=True, slots=True)
class RestartController:
    """The pending restarts and rollouts of one subscription."""

    store: SubscriptionStore
    lister: WorkloadLister
    gatherer: Gatherer
    patcher: WorkloadPatcher
    tracker: RolloutTracker
    reporter: RestartReporter
    budget: RestartBudget
    clock: Clock
    policy: RestartPolicy
    rollout: RolloutSpec
    mode: Mode = Mode.ENFORCE
    retries: RetrySchedule = field(default_factory=RetrySchedule)
    _subscribed: SubscribedWorkloads = field(default_factory=SubscribedWorkloads, init=False)

    async def run_round(self, listed: WorkloadList | None = None) -> float | None:
        """Make the restarts that are due; return the seconds until the next round, None when none is left.

        `listed` are the workloads if they were listed after the ledger was written: a patch under an old
        resourceVersion conflicts. Without them the subscription may be deleted, so its object is read first.

        Raises:
            KubernetesError, LedgerConflictError, SpecChangedError, SubscriptionDeletedError: nothing was
                written down; restarts that were made are found again by their records.
        """
        ledger = self.store.ledger
        if ledger is None:
            self.reporter.mark_complete()
            return None
        self.reporter.epoch = ledger.epoch
        try:
            return await self._run_round(ledger, listed)
        except KubernetesError as error:
            self.reporter.mark_failed(error)
            raise
        finally:  # also when nothing could be done
            self.reporter.count_pending(self.store.ledger or ledger)

    async def _run_round(self, stored: Ledger, listed: WorkloadList | None) -> float | None:
        if stored.is_idle:
            return await self._idle()
        if listed is None:
            await self.store.verify_stored()
        ledger, outcomes = without_future_times(stored, self.clock()), list[RestartOutcome]()
        updates = await self.tracker.follow(ledger) if ledger.rollouts else []
        if ledger.pending or ledger.unlisted:
            listed = listed or await self.lister.list()
            stored, ledger = await self._with_late_workloads(stored, ledger, listed)
            outcomes = await self._execute(ledger, updates, listed)
        written = next_ledger(ledger, updates, outcomes, self.clock())
        completed = WorkloadRound(tuple(outcomes), tuple(updates), ledger.restart_at, self.clock())
        self.reporter.record_round(completed, listed)
        return await self._finish(stored, written, updates, outcomes)

    async def _idle(self) -> float | None:
        """Nothing is pending; a kind that could not be listed is listed again."""
        if self.lister.failures:
            await self.lister.list()
        self._mark_complete()
        return _LIST_AGAIN if self.lister.failures else None

    def _mark_complete(self) -> None:
        if self.lister.failures:
            self.reporter.mark_not_listed(self.lister.failures)
        else:
            self.reporter.mark_complete()

    async def _with_late_workloads(
        self, stored: Ledger, ledger: Ledger, listed: WorkloadList
    ) -> tuple[Ledger, Ledger]:
        """The stored ledger, and the one to work on: pending restarts are stored before they are made."""
        name, action = self.store.key.name, self.policy.action
        new = NewList(subscription=name, action=action, before=self._subscribed, listed=listed)
        late = add_late_workloads(ledger, new, self.clock())
        self._subscribed = self._subscribed.updated(listed, name)
        if late == ledger:
            return stored, ledger
        await self.store.write_ledger(late, planned_on=stored)
        return late, late

    async def _execute(
        self, ledger: Ledger, updates: list[RolloutUpdate], listed: WorkloadList
    ) -> list[RestartOutcome]:
        """One outcome per pending restart."""
        actions = plan(ledger, self.store.key.name, listed, self.policy, self.clock())
        if self.mode is Mode.DRY_RUN:
            return [RestartOutcome(Defer(pending=each.pending, reason=Reason.DRY_RUN)) for each in actions]
        decisions = await self._decide(actions, ledger)
        rolling = [update.rollout for update in updates if update.is_kept]
        rolling += found_rollouts(decisions, self.clock())
        self._set_rolling(rolling)
        refusals = admit(candidates(decisions), rolling, self.rollout)
        return await self._apply(decisions, refusals, ledger.epoch)

    async def _decide(self, actions: tuple[PlannedAction, ...], ledger: Ledger) -> list[RestartDecision]:
        gathered = await self.gatherer.gather(actions, ledger)
        decisions = self._decided(actions, gathered)
        contexts = {
            context.provider.uid: context
            for decision in decisions
            if isinstance(decision, RequestSync)
            for context in decision.contexts
        }
        if not contexts or gathered.sync_round is None:
            return decisions
        requests = {uid: await gathered.sync_round.request_sync(context) for uid, context in contexts.items()}
        requested = {uid: replace(each, requests=requests) for uid, each in gathered.workloads.items()}
        return self._decided(actions, replace(gathered, workloads=requested))

    def _decided(self, actions: tuple[PlannedAction, ...], gathered: GatheredRound) -> list[RestartDecision]:
        now = self.clock()
        return [
            decided_by_plan(action) or decide(gathered.workloads[action.pending.uid], self.policy, now)
            for action in actions
        ]

    async def _apply(
        self, decisions: list[RestartDecision], refusals: dict[str, Reason | None], epoch: str
    ) -> list[RestartOutcome]:
        """Restarts come last, in the order in which they were admitted."""
        restarts = {each.pending.uid: each for each in decisions if isinstance(each, Restart)}
        others = [
            await self.patcher.record(decision) for decision in decisions if not isinstance(decision, Restart)
        ]
        made = [
            await self.patcher.restart(restarts[uid], epoch, refusal)
            for uid, refusal in refusals.items()
            if uid in restarts
        ]
        return others + made

    async def _finish(
        self, stored: Ledger, written: Ledger, updates: list[RolloutUpdate], outcomes: list[RestartOutcome]
    ) -> float | None:
        """Report the round and write it down."""
        maybe = [rollout_of(each.decision, self.clock()) for each in outcomes if each.is_unanswered]
        self._set_rolling((*written.rollouts, *maybe))
        if written.is_idle:
            self._mark_complete()
        await self.reporter.report(outcomes, updates, self.lister.failures if written.unlisted else {})
        if written != stored:
            await self.store.write_ledger(written, planned_on=stored)
        self.reporter.forget_done(written)
        return self.retries.pause_after(outcomes, written, self.clock())

    def _set_rolling(self, rollouts: Iterable[Rollout]) -> None:
        rolling = frozenset(rollout.uid for rollout in rollouts if rollout.is_rolling)
        self.budget.set_rolling(self.store.key, rolling)
