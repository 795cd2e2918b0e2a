"""Mutants of what the field does to the operator: each simpler, and wrong for one kind of faults."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

from infisical_events.core.restarts import decisions, reverted_restarts
from infisical_events.core.restarts.restart_records import RestartRecord
from infisical_events.core.snapshots.snapshots import SecretVersion
from infisical_events.core.sync import workload_sync_state
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.server_wait import NO_SERVER_WAIT, ServerWait
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.workloads import workloads
from infisical_events.core.workloads.other_reloaders import OtherReloader
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from infisical_events.runtime.reconcile import missing_scope_resolver, reconciler
from infisical_events.runtime.restarts import restart_controller
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.sync import drift_corrector, secret_cache, sync_coordinator, sync_request_log
from simulation.mutants import Mutation

FIELD_MUTATIONS: dict[str, Mutation] = {}

Patch = AbstractContextManager[Any]


def _mutation(name: str) -> Any:  # noqa: ANN401 - a decorator of mutations
    def register(make: Mutation) -> Mutation:
        FIELD_MUTATIONS[name] = make
        return make

    return register


def _unchanged(ledger: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - a ledger
    return ledger


async def _none(*_: Any) -> tuple[()]:  # noqa: ANN401 - of any method
    return ()


@_mutation("a restart that was made is done")
def _done_by_mark() -> Patch:
    return mock.patch.object(
        reverted_restarts.RevertedRestart, "is_done", new_callable=mock.PropertyMock, return_value=True
    )


@_mutation("a restart that is taken back is made again for ever")
def _fight() -> Patch:
    def retry_at(_: Any, rollout: Any) -> Any:  # noqa: ANN401 - of a reverted restart
        return rollout.reverted_at and rollout.reverted_at + timedelta(seconds=10)

    return mock.patch.object(reverted_restarts.RevertedRestart, "retry_at", retry_at)


@_mutation("a watched restart that is taken back has unknown pods")
@contextmanager
def _watch_knows_nothing() -> Iterator[None]:
    real = sync_coordinator.pod_content_of

    def content(state: Any, pending: Any, ledger: Any) -> Any:  # noqa: ANN401 - as gathered
        return real(state, replace(pending, unconfirmed=None), ledger)

    with mock.patch.object(sync_coordinator, "pod_content_of", content):
        yield


@_mutation("a kind that cannot be listed has no workloads")
def _unlisted_is_empty() -> Patch:
    return mock.patch.object(reconciler, "record_unlisted", _unchanged)


@_mutation("complete is told beside a pending restart")
def _told_complete() -> Patch:
    return mock.patch.object(StatusBuilder, "mark_found", return_value=0)


@_mutation("pods that are not available are a rollout of others")
@contextmanager
def _unavailable_rolls() -> Iterator[None]:
    real = decisions._with_other_rollout

    def with_other(gathered: Any, secrets: Any, state: Any, *rest: Any) -> Any:  # noqa: ANN401 - as decided
        is_unavailable = state.progress is RolloutProgress.UNAVAILABLE
        seen = replace(state, progress=RolloutProgress.UNDER_WAY) if is_unavailable else state
        return real(gathered, secrets, seen, *rest)

    with mock.patch.object(decisions, "_with_other_rollout", with_other):
        yield


@_mutation("a mark of another tool is its deed")
def _mark_is_deed() -> Patch:
    def other(state: Any, _: Any) -> OtherReloader:  # noqa: ANN401 - a workload
        mark = next(key for key in state.workload.annotations if "reloader.stakater.com" in key)
        return OtherReloader(mark, ())

    return mock.patch.object(decisions, "other_reloader", other)


@_mutation("nobody writes a Secret whose provider is not found")
def _unlisted_nobody() -> Patch:
    return mock.patch.object(secret_cache.SecretCache, "unlisted", _none)


@_mutation("a removed sync request is made again each time")
def _ask_for_ever() -> Patch:
    return mock.patch.object(sync_request_log.SyncRequestLog, "is_refused", return_value=False)


@_mutation("the wait that a server demands is the time of a source")
def _wait_counts() -> Patch:
    return mock.patch.object(ServerWait, "continued", return_value=NO_SERVER_WAIT)


@_mutation("a generator is asked")
def _ask_generator() -> Patch:
    return mock.patch.object(
        SecretProvider, "uninvolved_reason", new_callable=mock.PropertyMock, return_value=""
    )


@_mutation("a renamed environment is empty")
def _renamed_is_empty() -> Patch:
    async def resolve(_: Any, _ledger: Any, snapshot: Any, _received: Any) -> Any:  # noqa: ANN401 - as resolved
        return missing_scope_resolver.ResolvedSnapshot(snapshot)

    return mock.patch.object(missing_scope_resolver.MissingScopeResolver, "resolve", resolve)


@_mutation("who starts between the change and the sync is fresh")
def _newcomers_are_fresh() -> Patch:
    return mock.patch.object(restart_controller, "add_late_workloads", _unchanged)


@_mutation("another version is another value")
def _version_is_content() -> Patch:
    return mock.patch.object(SecretVersion, "has_same_value", return_value=False)


@_mutation("only true and false are booleans")
def _strict_booleans() -> Patch:
    strict = {"true": True, "false": False}
    return mock.patch.object(workloads, "_SWITCH_WORDS", strict)


@_mutation("the Secrets of another subscription are nobody's")
def _no_siblings() -> Patch:
    return mock.patch.object(sync_coordinator.SyncRound, "_of_siblings", _none)


@_mutation("own Secrets are not looked at again")
def _no_drift() -> Patch:
    return mock.patch.object(drift_corrector.DriftCorrector, "correct_all", _none)


@_mutation("a rejected Secret restarts its workloads")
@contextmanager
def _rejected_restarts() -> Iterator[None]:
    real = workload_sync_state._state_of_managed

    def state_of(*facts: Any) -> SyncState:  # noqa: ANN401 - as evaluated
        found = real(*facts)
        return SyncState.CHANGED if found is SyncState.REJECTED else found

    with mock.patch.object(workload_sync_state, "_state_of_managed", state_of):
        yield


@_mutation("the time of a restart record is true")
def _future_counts() -> Patch:
    return mock.patch.object(RestartRecord, "time_as_of", lambda record, _: record.time)


@_mutation("a new baseline compares nothing")
def _blind_baseline() -> Patch:
    return mock.patch.object(reconciler, "watch_after_baseline", _unchanged)
