"""Mutants of the operator: each a design that looks simpler and loses or repeats restarts.

A mutation is a context in which the product code behaves that way. The product has no switch for it.
"""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from infisical_events.api.specs import Action
from infisical_events.core.ledger import acceptance, observation_modes, transitions
from infisical_events.core.ledger.acceptance import AcceptedState, Assessment
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts import planner, restart_records
from infisical_events.core.restarts.planner import Deferred, Resolved, RestartNow, RestartPolicy
from infisical_events.core.restarts.restart_records import RestartCause
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workloads import WorkloadList
from infisical_events.runtime.reconcile import missing_scope_resolver, reconciler, snapshot_reader
from infisical_events.runtime.restarts import restart_controller, workload_patcher
from infisical_events.runtime.status import subscription_store
from simulation.cluster_model import ClusterModel
from simulation.infisical_model import SessionModel
from support.virtual_time import virtual_now

Mutation = Callable[[], AbstractContextManager[Any]]

MUTATIONS: dict[str, Mutation] = {}


def _mutation(name: str) -> Callable[[Mutation], Mutation]:
    def register(make: Mutation) -> Mutation:
        MUTATIONS[name] = make
        return make

    return register


def checked(broken: list[str]) -> list[str]:
    """The broken invariants of a run with a mutation.

    Raises:
        AssertionError: the mutation itself crashed, for example on a name that the operator no longer has: it
            would count as found without doing what it says.
    """
    for text in broken:
        if text.startswith("defect:") and any(error in text for error in ("TypeError:", "AttributeError:")):
            raise AssertionError(f"the mutation crashes: {text}")
    return broken


@_mutation("no assessment of reads")
def _no_assessment() -> AbstractContextManager[Any]:
    def assess(_part: Any, current: AcceptedState, seen: Any, *_: Any) -> Assessment:  # noqa: ANN401 - as assessed
        return Assessment.UNCHANGED if current.state == seen else Assessment.ACCEPTED

    return mock.patch.object(transitions, "assess", assess)


@_mutation("versions are assessed and existence is not")
def _versions_only() -> AbstractContextManager[Any]:
    def assess(_part: Any, current: AcceptedState, seen: Any, *_: Any) -> Assessment:  # noqa: ANN401 - as assessed
        if current.state == seen:
            return Assessment.UNCHANGED
        is_older = any(step < 0 for step in acceptance._version_steps(current.state, seen))
        return Assessment.SUSPECT if is_older else Assessment.ACCEPTED

    return mock.patch.object(transitions, "assess", assess)


@_mutation("what left is not remembered")
def _nothing_gone() -> AbstractContextManager[Any]:
    return mock.patch.object(AcceptedState, "succeeded_by", lambda _, body, at: AcceptedState(body, at))


@_mutation("equal reads refresh the moment of acceptance")
def _refreshing() -> AbstractContextManager[Any]:
    real = transitions.apply_snapshot

    def apply_snapshot(ledger: Ledger, snapshot: Any, *rest: Any) -> Any:  # noqa: ANN401 - as applied
        fresh = {part: replace(held, accepted_at=snapshot.finished) for part, held in ledger.accepted.items()}
        return real(replace(ledger, accepted=fresh), snapshot, *rest)

    return mock.patch.object(transitions, "apply_snapshot", apply_snapshot)


@_mutation("the accepted state is held back until the workloads are done")
@contextmanager
def _held_back() -> Iterator[None]:
    planned_on: list[Ledger] = []
    apply_snapshot, add_pending = observation_modes.apply_snapshots, reconciler.add_pending

    def applying(ledger: Ledger, *rest: Any) -> Any:  # noqa: ANN401 - as applied
        planned_on[:] = [ledger]
        return apply_snapshot(ledger, *rest)

    def adding_pending(ledger: Ledger, *rest: Any) -> Ledger:  # noqa: ANN401 - as added
        updated = add_pending(ledger, *rest)
        return updated if updated is ledger else replace(updated, accepted=planned_on[0].accepted)

    with (
        mock.patch.object(observation_modes, "apply_snapshots", applying),
        mock.patch.object(reconciler, "add_pending", adding_pending),
    ):
        yield


@_mutation("a digest of the changes as revision")
@contextmanager
def _digest() -> Iterator[None]:
    def digest(pending: Any) -> str:  # noqa: ANN401 - a pending restart
        return "-".join(sorted(map(str, pending.changes))).replace(" ", "_")

    def patch(workload: Any, cause: Any, now: Any) -> Any:  # noqa: ANN401 - as patched
        with mock.patch.object(restart_records, "revision_of", return_value=digest(cause.pending)):
            return restart_records.restart_patch(workload, cause, now)

    real = planner._planned_action

    def step(pending: Any, workload: Any, terms: Any) -> Any:  # noqa: ANN401 - as planned
        if workload and restart_records.restart_record_of(workload).revisions.get(
            terms.subscription
        ) == digest(pending):
            return Resolved(pending, Reason.ALREADY_RESTARTED, workload)
        return real(pending, workload, terms)

    with (
        mock.patch.object(workload_patcher, "restart_patch", patch),
        mock.patch.object(planner, "_planned_action", step),
    ):
        yield


@_mutation("workloads are listed from a cache")
@contextmanager
def _cached_list() -> Iterator[None]:
    real, cache = ClusterModel.list_workloads, dict[int, list[Any]]()

    async def listed(self: ClusterModel, namespace: str) -> Any:  # noqa: ANN401 - as listed
        seen = cache.setdefault(id(self), [])
        seen.append(await real(self, namespace))
        return seen[max(0, len(seen) - 1 - random.randint(0, 2))]  # noqa: S311 - a simulation

    with mock.patch.object(ClusterModel, "list_workloads", listed):
        yield


@_mutation("the subscription is read from a cache")
@contextmanager
def _cached_get() -> Iterator[None]:
    real, cache = ClusterModel.get, dict[str, list[Any]]()

    async def get(self: ClusterModel, key: Any) -> Any:  # noqa: ANN401 - as read
        seen = cache.setdefault(f"{id(self)} {key.uid}", [])
        seen.append(await real(self, key))
        old = seen[max(0, len(seen) - 2)]
        return replace(seen[-1], status=old.status)

    with mock.patch.object(ClusterModel, "get", get):
        yield


@_mutation("no epoch")
def _no_epoch() -> AbstractContextManager[Any]:
    return mock.patch.object(reconciler.secrets, "token_urlsafe", return_value="always")


@_mutation("a widened scope is read as creates")
def _no_baseline_of_scope() -> AbstractContextManager[Any]:
    real = transitions._assess_all

    def assess_all(ledger: Ledger, snapshot: Any, *rest: Any) -> Any:  # noqa: ANN401 - as assessed
        return real(replace(ledger, scopes=snapshot.scopes), snapshot, *rest)

    return mock.patch.object(transitions, "_assess_all", assess_all)


@_mutation("no last look at the scopes before an edit")
def _no_last_read() -> AbstractContextManager[Any]:
    async def none(*_: object) -> tuple[()]:
        return ()

    return mock.patch.object(snapshot_reader.SnapshotReader, "_old_scopes", none)


@_mutation("a new baseline on every edit")
@contextmanager
def _baseline_on_edit() -> Iterator[None]:
    real = subscription_store.ledger_of

    def ledger_of(stored: Any) -> Ledger | None:  # noqa: ANN401 - as stored
        is_edited = stored.status.get("observedGeneration") != stored.generation
        return None if is_edited else real(stored)

    with mock.patch.object(subscription_store, "ledger_of", ledger_of):
        yield


@_mutation("unmatched events are not stored")
@contextmanager
def _unmatched_in_memory() -> Iterator[None]:
    real = subscription_store.encode
    with mock.patch.object(
        subscription_store, "encode", lambda ledger: real(replace(ledger, unmatched_events=()))
    ):
        yield


@_mutation("a merged pending restart keeps its old number")
def _old_seq() -> AbstractContextManager[Any]:
    real = reconciler.add_pending

    def add_pending(ledger: Ledger, *rest: Any) -> Ledger:  # noqa: ANN401 - as added
        before = {pending.uid: pending.seq for pending in ledger.pending}
        updated = real(ledger, *rest)
        all_pending = tuple(
            replace(pending, seq=before.get(pending.uid, pending.seq)) for pending in updated.pending
        )
        return replace(updated, pending=all_pending)

    return mock.patch.object(reconciler, "add_pending", add_pending)


@_mutation("acting before it is written down")
@contextmanager
def _restart_first() -> Iterator[None]:
    real = subscription_store.SubscriptionStore.write_ledger

    async def write(self: Any, ledger: Ledger, *, planned_on: Ledger | None) -> None:  # noqa: ANN401 - a record
        new = [
            pending for pending in ledger.pending if planned_on is None or pending not in planned_on.pending
        ]
        workloads = await self._cluster.list_workloads(self.key.namespace) if new else WorkloadList()
        rules = RestartPolicy(action=Action.RESTART)
        for step in planner.plan(ledger, self.key.name, workloads, rules, virtual_now()):
            if isinstance(step, RestartNow) and step.pending in new:
                cause = RestartCause(step.pending, self.key.name, ledger.epoch)
                body = restart_records.restart_patch(step.workload, cause, step.pending.since)
                await self._cluster.patch_workload(self.key.namespace, step.workload, body)
        await real(self, ledger, planned_on=planned_on)

    with mock.patch.object(subscription_store.SubscriptionStore, "write_ledger", write):
        yield


@_mutation("pending restarts only in memory")
@contextmanager
def _pending_in_memory() -> Iterator[None]:
    real = subscription_store.encode
    with mock.patch.object(subscription_store, "encode", lambda ledger: real(replace(ledger, pending=()))):
        yield


@_mutation("restart without a resourceVersion")
@contextmanager
def _patch_blindly() -> Iterator[None]:
    real = workload_patcher.restart_patch

    def patch(*arguments: Any) -> Any:  # noqa: ANN401 - as patched
        body = copy.deepcopy(real(*arguments))
        del body["metadata"]["resourceVersion"]
        del body["metadata"]["uid"]
        return body

    with mock.patch.object(workload_patcher, "restart_patch", patch):
        yield


@_mutation("status without compare-and-swap")
@contextmanager
def _blind_status() -> Iterator[None]:
    real = ClusterModel.write_status

    async def write(self: ClusterModel, key: Any, _version: str, status: Any) -> Any:  # noqa: ANN401 - as written
        now = self._subscriptions[key.namespace, key.name]["metadata"]["resourceVersion"]
        return await real(self, key, now, status)

    with mock.patch.object(ClusterModel, "write_status", write):
        yield


@_mutation("pending restarts of a left scope are kept")
def _keep_left() -> AbstractContextManager[Any]:
    real = transitions._rescoped
    return mock.patch.object(
        transitions,
        "_rescoped",
        lambda ledger, *rest: replace(real(ledger, *rest), pending=ledger.pending),
    )


@_mutation("covered by a different restart instead of a later one")
@contextmanager
def _different_covers() -> Iterator[None]:
    real = planner._planned_action

    def step(pending: Any, workload: Any, *rest: Any) -> Any:  # noqa: ANN401 - as planned
        planned = real(pending, workload, *rest)
        if isinstance(planned, RestartNow | Deferred) and workload:
            restarted = restart_records.restart_record_of(workload).time
            if restarted is not None and restarted != pending.since:
                return Resolved(pending, Reason.COVERED_BY_OTHER_SUBSCRIPTION)
        return planned

    with mock.patch.object(planner, "_planned_action", step):
        yield


@_mutation("a restart goes through although its workload was held meanwhile")
@contextmanager
def _pause_race() -> Iterator[None]:
    """A workload that is held between the list and the PATCH is restarted all the same."""
    real = workload_patcher.restart_patch

    def patch(*arguments: Any) -> Any:  # noqa: ANN401 - as patched
        body = copy.deepcopy(real(*arguments))
        del body["metadata"]["resourceVersion"]
        return body

    with mock.patch.object(workload_patcher, "restart_patch", patch):
        yield


@_mutation("an unmade restart counts as made when another is merged")
def _merge_forgets() -> AbstractContextManager[Any]:
    return mock.patch.object(restart_records.RestartRecord, "has_revision", return_value=True)


@_mutation("a 304 is taken for unchanged")
@contextmanager
def _not_modified() -> Iterator[None]:
    """A state that was received before is not assessed again, although it was never accepted."""
    real, received = transitions.assess, dict[str, Any]()

    def assess(part: Any, current: AcceptedState, seen: Any, *rest: Any) -> Assessment:  # noqa: ANN401 - as assessed
        is_not_modified = received.get(str(part)) == seen
        received[str(part)] = seen
        return Assessment.UNCHANGED if is_not_modified else real(part, current, seen, *rest)

    with mock.patch.object(transitions, "assess", assess):
        yield


@_mutation("workloads are listed before the look")
@contextmanager
def _list_first() -> Iterator[None]:
    real = reconciler.Reconciler.reconcile

    class Listed:
        """A cluster whose workloads were listed a while ago."""

        def __init__(self, cluster: Any, workloads: Any) -> None:  # noqa: ANN401 - of the port
            self._cluster, self._workloads = cluster, workloads

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the port
            return getattr(self._cluster, name)

        async def list_workloads(self, _: str) -> Any:  # noqa: ANN401 - of the port
            return self._workloads

    async def reconcile(self: Any, *received: Any, **how: Any) -> Any:  # noqa: ANN401 - as observed
        lister = self.lister
        workloads = await lister.cluster.list_workloads(self.context.key.namespace)
        self.lister = replace(lister, cluster=Listed(lister.cluster, workloads))
        try:
            return await real(self, *received, **how)
        finally:
            self.lister = lister

    with mock.patch.object(reconciler.Reconciler, "reconcile", reconcile):
        yield


@_mutation("pending restarts are kept by the workload's name")
@contextmanager
def _by_name() -> Iterator[None]:
    real = restart_controller.plan

    def plan(ledger: Ledger, subscription: str, listed: Any, *rest: Any) -> Any:  # noqa: ANN401 - as planned
        named = {(workload.kind.kind, workload.name): workload for workload in listed.workloads}
        heirs = {
            pending.uid: replace(named[pending.kind, pending.name], uid=pending.uid)
            for pending in ledger.pending
            if (pending.kind, pending.name) in named
        }
        steps = real(ledger, subscription, WorkloadList(tuple(heirs.values())), *rest)
        return tuple(
            replace(step, workload=named[step.pending.kind, step.pending.name])
            if isinstance(step, RestartNow)
            else step
            for step in steps
        )

    with mock.patch.object(restart_controller, "plan", plan):
        yield


@_mutation("a newer pending restart is cleared with an older one")
@contextmanager
def _clear_newer() -> Iterator[None]:
    """A finished restart is removed from the stored ledger whatever its number is by now."""
    real = subscription_store.SubscriptionStore.write_ledger

    async def write(self: Any, ledger: Ledger, *, planned_on: Ledger | None) -> None:  # noqa: ANN401 - a record
        kept = {pending.uid for pending in ledger.pending}
        done = {pending.uid for pending in planned_on.pending} - kept if planned_on else set()
        if not done:
            await real(self, ledger, planned_on=planned_on)
            return
        async with self._lock:
            stored = await self._cluster.get(self.key)
            self._version, self._generation = stored.resource_version, stored.generation
            current = subscription_store.ledger_of(stored)
            if current is not None:
                all_pending = tuple(pending for pending in current.pending if pending.uid not in done)
                await self._write(replace(current, pending=all_pending, rollouts=ledger.rollouts))

    with mock.patch.object(subscription_store.SubscriptionStore, "write_ledger", write):
        yield


@_mutation("no coverage by another subscription's restart")
@contextmanager
def _uncovered() -> Iterator[None]:
    real = planner._planned_action

    def step(pending: Any, workload: Any, terms: Any) -> Any:  # noqa: ANN401 - as planned
        planned = real(pending, workload, terms)
        is_covered = isinstance(planned, Resolved) and planned.reason is Reason.COVERED_BY_OTHER_SUBSCRIPTION
        return RestartNow(workload, pending, terms.rules.action) if is_covered else planned

    with mock.patch.object(planner, "_planned_action", step):
        yield


@_mutation("a pending restart that was made is merged into the next one")
@contextmanager
def _merge_done() -> Iterator[None]:
    """Only in the merge of pending restarts: the planner still knows that the restart was made."""
    real = reconciler.add_pending

    def add_pending(*arguments: Any) -> Ledger:  # noqa: ANN401 - as added
        with mock.patch.object(restart_records.RestartRecord, "has_revision", return_value=False):
            return real(*arguments)

    with mock.patch.object(reconciler, "add_pending", add_pending):
        yield


@_mutation("nothing is looked for again")
@contextmanager
def _no_second_read() -> Iterator[None]:
    real = transitions.apply_snapshot

    def apply_snapshot(*arguments: Any) -> Any:  # noqa: ANN401 - as applied
        return replace(real(*arguments), unshown_events=(), read_again_at=None)

    with (
        mock.patch.object(transitions, "apply_snapshot", apply_snapshot),
        mock.patch.object(acceptance, "MAX_READ_LAG", acceptance.MAX_READ_LAG * 100),
    ):
        yield


@_mutation("an import mutation seen first is not set off")
def _no_unmatched_changes() -> AbstractContextManager[Any]:
    real = transitions.apply_snapshot
    return mock.patch.object(
        transitions,
        "apply_snapshot",
        lambda ledger, *rest: real(replace(ledger, unmatched_changes=()), *rest),
    )


@_mutation("a missing folder is empty")
def _missing_is_empty() -> AbstractContextManager[Any]:
    async def resolve(_: Any, _ledger: Any, snapshot: Any, _received: Any) -> Any:  # noqa: ANN401 - as resolved
        return missing_scope_resolver.ResolvedSnapshot(snapshot)

    async def is_gone(*_: object) -> bool:
        return True

    resolver = missing_scope_resolver.MissingScopeResolver
    stack = ExitStack()
    stack.enter_context(mock.patch.object(resolver, "resolve", resolve))
    stack.enter_context(mock.patch.object(SessionModel, "is_gone", is_gone))
    return stack


@_mutation("an odd response is a lost permission")
def _odd_is_denied() -> AbstractContextManager[Any]:
    return mock.patch.object(snapshot_reader, "_may_be_on_purpose", return_value=True)
