"""Checks the annotations of each workload once after it appears or changes, and reports each mistake once.

One replica does it: the one that holds the first shard. It keeps a number for each workload with an
annotation of this operator, and nothing for any other. An Event that still exists is not repeated, so a
restart of the operator repeats nothing either.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.api.specs import InvalidSpecError, parse_spec
from infisical_events.core.ledger.codec import readable_ledger
from infisical_events.core.status.kube_events import InvolvedObject, KubeEvent
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import escaped, object_name, sentence
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.core.workloads.annotation_checks import (
    AnnotatedWorkload,
    WatchedSecrets,
    WorkloadEvent,
    annotation_mistakes,
    missing_subscriptions,
    placement_mistakes,
    unmatched_names,
    watched_secrets,
)
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError
from infisical_events.runtime.inspection.workload_watcher import WorkloadWatcher
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler
from infisical_events.runtime.ports import Cluster, WorkloadWatch
from infisical_events.runtime.tasks import race

_DELAY = 15.0
"""Seconds from the appearance of a workload to its check: its subscription may be created just after it."""
_MAX_CHECKS = 3
"""Checks of a workload whose subscriptions have read nothing yet."""
_POLL = 1.0
"""Seconds between two looks at what is due, and at who holds the first shard."""
_MAX_REMEMBERED = 50_000
"""Workloads with annotations of this operator whose state is remembered."""
_MAX_MISTAKES = 8
"""Events for one workload."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _DueCheck:
    """A workload that is checked at a time of the loop's clock, for the n-th time."""

    at: float
    found: AnnotatedWorkload
    number: int = 1


@dataclass(frozen=True, slots=True)
class _Mistake:
    reason: Reason
    text: str


@dataclass(slots=True)
class _Namespace:
    """What is known of one namespace while its workloads are checked."""

    name: str
    keys: dict[str, SubscriptionKey]
    watched: dict[str, WatchedSecrets | None] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class AnnotationInspector:
    """Inspects the workloads of these namespaces, or of all if there are none, while `is_active`."""

    cluster: Cluster
    watch: WorkloadWatch
    namespaces: tuple[str, ...]
    is_active: Callable[[], bool]
    scheduler: CooperativeScheduler = field(default_factory=CooperativeScheduler)
    remembered: dict[str, int] = field(default_factory=dict)
    """By the uid of a workload, a hash of what users wrote on it for this operator."""
    due: dict[str, _DueCheck] = field(default_factory=dict)
    """By the uid of a workload, the check to come; the earliest one first."""

    async def run(self) -> None:
        """Inspect until cancelled."""
        while True:
            if self.is_active():
                await race(self._check_while_active(), *(watcher.run() for watcher in self._watchers()))
            self.remembered.clear()
            self.due.clear()
            await asyncio.sleep(_POLL)

    def _watchers(self) -> Iterator[WorkloadWatcher]:
        for kind, namespace in itertools.product(WORKLOAD_KINDS, self.namespaces or ("",)):
            yield WorkloadWatcher(watch=self.watch, kind=kind, namespace=namespace, on_event=self.notice)

    def notice(self, event: WorkloadEvent) -> None:
        """Plan a check of a workload that appeared, or on which users wrote something else for us."""
        if event.found is None:
            return
        uid, texts = event.found.workload.uid, event.found.own_texts
        if event.is_deleted or not texts:
            self.remembered.pop(uid, None)
            self.due.pop(uid, None)
            return
        mark = hash(texts)
        if self.remembered.pop(uid, None) != mark:
            self._plan(_DueCheck(asyncio.get_running_loop().time() + _DELAY, event.found))
        self.remembered[uid] = mark
        if len(self.remembered) > _MAX_REMEMBERED:
            del self.remembered[next(iter(self.remembered))]

    def _plan(self, check: _DueCheck) -> None:
        uid = check.found.workload.uid
        self.due.pop(uid, None)
        self.due[uid] = check

    async def _check_while_active(self) -> None:
        while self.is_active():
            await self._check_due()
            await asyncio.sleep(_POLL)

    async def _check_due(self) -> None:
        """Check what is due, namespace by namespace, so that each one is read once."""
        checks = sorted(self._pop_due(), key=lambda check: check.found.namespace)
        namespace: _Namespace | None = None
        for check in checks:
            try:
                if namespace is None or namespace.name != check.found.namespace:
                    namespace = await self._read_namespace(check.found.namespace)
                await self._check(check, namespace)
            except KubernetesError as error:
                self._log(check.found, "annotations not checked, retrying", str(error))
                self._plan_again(check, check.number)

    def _pop_due(self) -> Iterator[_DueCheck]:
        now = asyncio.get_running_loop().time()
        while self.due and (uid := next(iter(self.due))) and self.due[uid].at <= now:
            yield self.due.pop(uid)

    def _plan_again(self, check: _DueCheck, number: int) -> None:
        self._plan(_DueCheck(asyncio.get_running_loop().time() + _DELAY, check.found, number))

    async def _read_namespace(self, name: str) -> _Namespace:
        try:
            subscriptions = await self.cluster.list_subscriptions((name,))
        except NotFoundError:  # the CRD is not installed
            subscriptions = ()
        return _Namespace(name, {one.key.name: one.key for one in subscriptions})

    async def _check(self, check: _DueCheck, namespace: _Namespace) -> None:
        found = check.found
        mistakes = [
            *_mistakes(Reason.INVALID_ANNOTATION, annotation_mistakes(found.workload)),
            *_mistakes(Reason.INVALID_ANNOTATION, placement_mistakes(found)),
            *_mistakes(Reason.SUBSCRIPTION_NOT_FOUND, missing_subscriptions(found, namespace.keys)),
        ]
        watched = await self._watched(found, namespace)
        unmatched = await self.scheduler.run(namespace.name, unmatched_names(found.workload, watched))
        mistakes += _mistakes(Reason.NO_MATCHING_SECRET, unmatched)
        if check.number < _MAX_CHECKS and not all(each.is_observed for each in watched):
            self._plan_again(check, check.number + 1)
        for mistake in mistakes[:_MAX_MISTAKES]:
            await self._report(found, mistake)

    async def _watched(self, found: AnnotatedWorkload, namespace: _Namespace) -> list[WatchedSecrets]:
        """What the subscriptions of a workload watch, as far as it filters that."""
        if not found.workload.has_filters:
            return []
        keys = [key for name, key in namespace.keys.items() if found.workload.is_subscribed_to(name)]
        for key in keys:
            if key.uid not in namespace.watched:
                namespace.watched[key.uid] = await self._read_watched(key)
        return [watched for key in keys if (watched := namespace.watched[key.uid]) is not None]

    async def _read_watched(self, key: SubscriptionKey) -> WatchedSecrets | None:
        """What a subscription watches; None if its spec is invalid or it is gone."""
        try:
            return _watched_of(key.name, await self.cluster.get(key))
        except (NotFoundError, InvalidSpecError, ValueError):
            return None

    async def _report(self, found: AnnotatedWorkload, mistake: _Mistake) -> None:
        kind, workload = found.workload.kind, found.workload
        about = InvolvedObject(kind.api_version, kind.kind, found.namespace, workload.name, workload.uid)
        note = escaped(sentence(mistake.text))
        self._log(found, "mistake in the annotations of a workload", note)
        event = KubeEvent(about, mistake.reason, note, is_warning=True, is_once=True)
        try:
            await self.cluster.emit_event(event)
        except KubernetesError as error:
            self._log(found, "failed to write Kubernetes Event", str(error))

    def _log(self, found: AnnotatedWorkload, message: str, detail: str) -> None:
        name = object_name(found.workload.kind.kind, found.workload.name)
        fields = {"namespace": found.namespace, "workload": name, "detail": detail}
        log.warning(message, extra=fields)


def _mistakes(reason: Reason, texts: Iterable[str]) -> Iterator[_Mistake]:
    return (_Mistake(reason, text) for text in texts)


def _watched_of(name: str, stored: StoredSubscription) -> WatchedSecrets:
    return watched_secrets(name, parse_spec(stored.spec), readable_ledger(stored.status))
