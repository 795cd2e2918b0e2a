"""Mutants of what the operator says while something waits: each keeps one thing to itself."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from infisical_events.core.restarts import decisions
from infisical_events.core.restarts.decisions import other_reloader_of
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
from infisical_events.runtime.restarts.restart_report import RestartReporter
from infisical_events.runtime.restarts.retry_schedule import RetrySchedule
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter
from simulation.mutants import Mutation

WAIT_MUTATIONS: dict[str, Mutation] = {}

Patch = AbstractContextManager[Any]


def _mutation(name: str) -> Any:  # noqa: ANN401 - a decorator of mutations
    def register(make: Mutation) -> Mutation:
        WAIT_MUTATIONS[name] = make
        return make

    return register


async def _silent(*_: Any) -> None:  # noqa: ANN401 - of any method
    """Says nothing."""


@_mutation("a failed list of workloads is not said")
def _list_is_not_said() -> Patch:
    return mock.patch.object(ReconcileReporter, "report_cluster_failure", _silent)


@_mutation("a Secret that is not written is not said")
@contextmanager
def _secret_is_not_said() -> Iterator[None]:
    with (
        mock.patch.object(ManagedSecretWriter, "_report_problem", _silent),
        mock.patch.object(ManagedSecretWriter, "_update_condition", return_value=None),
    ):
        yield


@_mutation("the API server is not quoted")
def _not_quoted() -> Patch:
    real = RestartReporter.mark_failed

    def mark_failed(reporter: RestartReporter, error: Any) -> None:  # noqa: ANN401 - an error
        real(reporter, type(error)("try again later"))

    return mock.patch.object(RestartReporter, "mark_failed", mark_failed)


@_mutation("a restart that was taken back waits until something else is due")
@contextmanager
def _taken_back_waits() -> Iterator[None]:
    real = RetrySchedule.pause_after

    def pause_after(schedule: RetrySchedule, outcomes: Any, ledger: Any, now: Any) -> float | None:  # noqa: ANN401 - as scheduled
        decided = {(each.pending.uid, each.pending.seq) for each in outcomes}
        known = tuple(each for each in ledger.pending if (each.uid, each.seq) in decided)
        return real(schedule, outcomes, replace(ledger, pending=known), now)

    with mock.patch.object(RetrySchedule, "pause_after", pause_after):
        yield


@_mutation("another tool is all that is waited for")
@contextmanager
def _other_tool_is_all() -> Iterator[None]:
    real = decisions._wait_for_sync

    def wait(gathered: Any, policy: Any, state: Any, sync: Any, now: Any) -> Any:  # noqa: ANN401 - as decided
        deferred, other = real(gathered, policy, state, sync, now), other_reloader_of(gathered, sync)
        return replace(deferred, note=str(other)) if deferred and other else deferred

    with mock.patch.object(decisions, "_wait_for_sync", wait):
        yield
