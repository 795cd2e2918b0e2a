"""Mutants of the restart order: sync, verify, restart once, track the rollout. As in `mutants`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from infisical_events.api.specs import OnFailure, OnTimeout, Order
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts import decisions, planner, restart_records
from infisical_events.core.restarts.planner import Deferred, Resolved, RestartNow
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync import sync_state, workload_sync_state
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import PodContent
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.sync.workload_sync_state import ProviderState
from infisical_events.runtime.limits import restart_budget
from infisical_events.runtime.restarts import restart_controller, workload_patcher
from infisical_events.runtime.status import subscription_store
from infisical_events.runtime.sync import managed_secret_writer
from simulation.cluster_model import SERVED
from simulation.mutants import Mutation

RESTART_MUTATIONS: dict[str, Mutation] = {}


def _mutation(name: str) -> Any:  # noqa: ANN401 - a decorator of mutations
    def register(make: Mutation) -> Mutation:
        RESTART_MUTATIONS[name] = make
        return make

    return register


def _evaluating(change: Any) -> AbstractContextManager[Any]:  # noqa: ANN401 - from one state to another
    real = workload_sync_state.evaluate
    return mock.patch.object(workload_sync_state, "evaluate", lambda context, now: change(real(context, now)))


@_mutation("restarting before the source has synced")
def _unsynced() -> AbstractContextManager[Any]:
    return _evaluating(lambda state: SyncState.CHANGED if state is SyncState.WAITING else state)


@_mutation("content of a source that never answers has every change")
def _guess_is_proof() -> AbstractContextManager[Any]:
    return mock.patch.object(SecretProvider, "is_acknowledging", property(lambda _: True))


@_mutation("what a source had acknowledged before it was asked counts")
def _old_acknowledgement() -> AbstractContextManager[Any]:
    real = sync_state._has_synced

    def has_synced(context: Any, request: Any, *rest: Any, **how: Any) -> bool:  # noqa: ANN401 - as assessed
        sends_event = context.provider.acknowledged is not None
        return sends_event or real(context, request, *rest, **how)

    return mock.patch.object(sync_state, "_has_synced", has_synced)


@_mutation("content that the pods have is restarted for all the same")
def _never_same() -> AbstractContextManager[Any]:
    return mock.patch.object(PodContent, "has_changed", return_value=True)


@_mutation("a Secret is written from a read that was not assessed")
def _unassessed() -> AbstractContextManager[Any]:
    return mock.patch.object(managed_secret_writer, "matches_accepted", return_value=True)


@_mutation("a Secret is written once and not kept")
@contextmanager
def _written_once() -> Iterator[None]:
    real = managed_secret_writer.ManagedSecretWriter.write

    async def keep(self: Any, managed: Any, ledger: Ledger) -> Any:  # noqa: ANN401 - a keeper
        known = self.results.get(managed.name)
        return known if known and known.secret else await real(self, managed, ledger)

    with mock.patch.object(managed_secret_writer.ManagedSecretWriter, "write", keep):
        yield


@_mutation("the cooldown is only in memory")
@contextmanager
def _cooldown_in_memory() -> Iterator[None]:
    """Each process knows only the restarts that it has made itself."""
    patch, step, cooled = workload_patcher.restart_patch, planner._planned_action, planner._cooldown_end
    made, asked = dict[tuple[int, str], Any](), list[str]()

    def patching(workload: Any, cause: Any, now: Any) -> Any:  # noqa: ANN401 - as patched
        made[SERVED.get(), workload.uid] = now
        return patch(workload, cause, now)

    def stepping(pending: Any, *rest: Any) -> Any:  # noqa: ANN401 - as planned
        asked[:] = [pending.uid]
        return step(pending, *rest)

    def cooling(_: Any, terms: Any) -> Any:  # noqa: ANN401 - as planned
        return cooled(made.get((SERVED.get(), asked[0])), terms)

    with (
        mock.patch.object(workload_patcher, "restart_patch", patching),
        mock.patch.object(planner, "_planned_action", stepping),
        mock.patch.object(planner, "_cooldown_end", cooling),
    ):
        yield


def _admitting(change: Any) -> AbstractContextManager[Any]:  # noqa: ANN401 - from rules to others
    real = restart_controller.admit
    return mock.patch.object(
        restart_controller, "admit", lambda due, rollouts, rules: real(due, rollouts, change(rules))
    )


@_mutation("one more rolls out than maxConcurrent")
def _one_more() -> AbstractContextManager[Any]:
    return _admitting(
        lambda rules: replaced(rules, max_concurrent=rules.max_concurrent and rules.max_concurrent + 1)
    )


@_mutation("a wave begins before the earlier one is done")
def _early_wave() -> AbstractContextManager[Any]:
    return _admitting(lambda rules: replaced(rules, order=Order.PARALLEL))


@_mutation("a failed rollout halts nobody")
def _no_halt() -> AbstractContextManager[Any]:
    return _admitting(lambda rules: replaced(rules, on_failure=OnFailure.CONTINUE))


def replaced(rules: Any, **fields: Any) -> Any:  # noqa: ANN401 - rules of a spec
    """Other rules of rollouts."""
    return rules.model_copy(update=fields)


@_mutation("rollouts are followed in memory only")
def _rollouts_in_memory() -> AbstractContextManager[Any]:
    real = subscription_store.encode
    return mock.patch.object(subscription_store, "encode", lambda ledger: real(replace(ledger, rollouts=())))


@_mutation("a Skip clears the pending restart")
@contextmanager
def _skip_clears() -> Iterator[None]:
    real = decisions._wait_for_sync

    def wait(*facts: Any) -> Any:  # noqa: ANN401 - as decided
        found = real(*facts)
        if found is None or found.reason is not Reason.RESYNC_TIMED_OUT:
            return found
        return decisions.Resolve(pending=found.pending, workload=found.workload, reason=found.reason)

    with mock.patch.object(decisions, "_wait_for_sync", wait):
        yield


@_mutation("Skip restarts as Restart does")
@contextmanager
def _skip_restarts() -> Iterator[None]:
    real = decisions._wait_for_sync

    def wait(gathered: Any, policy: Any, *facts: Any) -> Any:  # noqa: ANN401 - as decided
        return real(gathered, replace(policy, on_timeout=OnTimeout.RESTART), *facts)

    with mock.patch.object(decisions, "_wait_for_sync", wait):
        yield


@_mutation("one fresh source is enough for all")
@contextmanager
def _first_source() -> Iterator[None]:
    real = workload_sync_state.combine

    def combined(answers: list[ProviderState], *rest: Any) -> Any:  # noqa: ANN401 - as combined
        changed = [answer for answer in answers if answer.state is SyncState.CHANGED]
        return real(changed or answers, *rest)

    with mock.patch.object(workload_sync_state, "combine", combined):
        yield


@_mutation("the budget is never spent")
def _no_budget() -> AbstractContextManager[Any]:
    return mock.patch.object(restart_budget.RestartBudget, "try_acquire", return_value=True)


@_mutation("covered by a restart that came before the Secrets were fresh")
@contextmanager
def _covered_unfresh() -> Iterator[None]:
    real = planner._planned_action

    def step(pending: Any, workload: Any, terms: Any) -> Any:  # noqa: ANN401 - as planned
        planned = real(pending, workload, terms)
        restarted = restart_records.restart_record_of(workload).time if workload else None
        if isinstance(planned, RestartNow | Deferred) and restarted is not None and restarted > pending.since:
            return Resolved(pending, Reason.COVERED_BY_OTHER_SUBSCRIPTION, workload)
        return planned

    with mock.patch.object(planner, "_planned_action", step):
        yield


@_mutation("any rollout of another client covers")
@contextmanager
def _any_rollout() -> Iterator[None]:
    with mock.patch.object(decisions, "_is_newer", return_value=True):
        yield
