"""The life cycle of one subscription: load it, serve its spec until that changes, retry after failures.

The only broad `except` of the program is here: an unexpected error of one subscription is logged, reported in
its status and retried with backoff, while all other subscriptions go on.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from infisical_events.api.statuses import ConditionType
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.validation.serving_spec import (
    NotServable,
    ServingSpec,
    serving_spec_of,
    too_many_subscriptions,
)
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.status.reporter import EventBudget
from infisical_events.runtime.status.subscription_store import (
    LedgerConflictError,
    SpecChangedError,
    SubscriptionDeletedError,
)
from infisical_events.runtime.subscription.assembly import LoadedSubscription, loaded_from, read_stored, serve
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_events.runtime.tasks import race
from infisical_events.runtime.triggers import PendingUserRequests

_EDIT_PAUSE = 0.2
"""Seconds between two specs: edits in a loop must not become logins in a loop."""

_UNTRACKED = 10.0
"""Seconds of a pause after which rollouts do not count any more: nothing tracks them, and so their end."""

_HEALTHY = 60.0
"""Seconds of serving after which earlier failures are forgotten."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class SubscriptionRunner:
    """The task of one subscription; its owner sets `spec_changed` and puts `user_requests`."""

    dependencies: Dependencies
    key: SubscriptionKey
    spec_changed: asyncio.Event = field(default_factory=asyncio.Event)
    user_requests: PendingUserRequests = field(default_factory=PendingUserRequests)
    event_budget: EventBudget = field(default_factory=EventBudget)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when Infisical was read for the first time, or when that failed or is not to be done."""

    async def run(self) -> None:
        """Serve until the object is deleted or the task is cancelled."""
        try:
            await self._run()
        finally:
            self._forget_rollouts()

    async def _run(self) -> None:
        backoff = Backoff(first=1.0, longest=60.0)
        now = asyncio.get_running_loop().time
        begun, defect, fields = now(), None, self.key.log_fields()
        while True:
            try:
                await (self._serve_stored() if defect is None else self._report_defect(defect))
            except SubscriptionDeletedError:
                return
            except SpecChangedError:
                begun, defect = now(), None
                await asyncio.sleep(_EDIT_PAUSE)
                continue
            except (KubernetesError, LedgerConflictError) as error:
                log.warning("subscription not served, retrying", extra=fields | {"error": str(error)})
            except Exception as error:
                log.exception("unhandled error while reconciling", extra=fields)
                if defect is None:
                    defect = error
                    continue  # reported before the pause
            self.started.set()
            if now() - begun > _HEALTHY:
                backoff.reset()
            pause = backoff.pause()
            if pause > _UNTRACKED:
                self._forget_rollouts()
            await asyncio.sleep(pause)
            begun, defect = now(), None

    async def _serve_stored(self) -> None:
        self.spec_changed.clear()
        stored = await read_stored(self.dependencies, self.key)
        loaded = loaded_from(stored, self.dependencies, self.key, self.event_budget)
        self.user_requests.put(UserRequests.of(stored.annotations))
        serving = serving_spec_of(stored.spec, self.dependencies.default_address, self.dependencies.egress)
        del stored  # this task may go on for months
        if isinstance(serving, NotServable):
            await self._mark_inactive(loaded, serving)
            conditions = loaded.status.conditions
            self.dependencies.metrics.watch_conditions(self.key, lambda: conditions)
            del loaded
            await self._wait_for_new_spec()
        else:
            await race(self._wait_for_new_spec(), self._run_in_slot(loaded, serving))

    async def _run_in_slot(self, loaded: LoadedSubscription, serving: ServingSpec) -> None:
        """Serve as soon as the namespace has a free slot, and report when it has none."""
        limits = self.dependencies.namespace_slots
        slots = limits.for_namespace(self.key.namespace)
        if slots.locked():
            await self._mark_inactive(loaded, too_many_subscriptions(limits.most))
        async with slots:
            loaded.reporter.mark_starting(serving.project)
            await serve(loaded, serving, self.dependencies, self.user_requests, self.started)

    def _forget_rollouts(self) -> None:
        """Let the rollouts of the subscription count no more: no task tracks them until it is served again.

        Between two specs they count: they go on, and the next task tracks them at once.
        """
        self.dependencies.budget.set_rolling(self.key, frozenset())

    async def _mark_inactive(self, loaded: LoadedSubscription, cause: NotServable) -> None:
        self._forget_rollouts()
        loaded.reporter.mark_inactive(cause.condition)
        # Reads that stop must not raise an alert of their own: the conditions say why they do.
        self.dependencies.metrics.forget_activity(self.key)
        if cause.reason is Reason.SUSPENDED:
            loaded.reporter.update_condition(
                ConditionType.SUSPENDED, ok=True, reason=cause.reason, message=cause.message
            )
        await loaded.reporter.set_condition(cause.condition, cause.reason, cause.message, ok=cause.is_true)
        await loaded.store.write_status()
        self.started.set()

    async def _report_defect(self, defect: Exception) -> None:
        """Report an unexpected error in the status and the metrics; its text is only in the log."""
        self.dependencies.metrics.count_reconcile(self.key, Reason.INTERNAL_ERROR)
        stored = await read_stored(self.dependencies, self.key)
        loaded = loaded_from(stored, self.dependencies, self.key, self.event_budget)
        message = (
            f"Internal error ({type(defect).__name__}); retrying with backoff. See the operator log for the "
            "stack trace and please report it."
        )
        is_new = loaded.reporter.update_condition(
            ConditionType.READY, ok=False, reason=Reason.INTERNAL_ERROR, message=message
        )
        await loaded.store.write_status()
        if is_new:
            await loaded.reporter.emit_event(Reason.INTERNAL_ERROR, message, is_warning=True)

    async def _wait_for_new_spec(self) -> None:
        await self.spec_changed.wait()
        raise SpecChangedError
