"""Reports on one subscription: conditions and counters in its status, Kubernetes Events, logs."""

import asyncio
import logging

from infisical_events.api.resources import API_VERSION, KIND
from infisical_events.api.statuses import ConditionType
from infisical_events.core.status.kube_events import InvolvedObject, KubeEvent
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import escaped
from infisical_events.core.workloads.workloads import Workload
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.limits.fair_scheduling import RateLimit, reserve
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.subscription_context import SubscriptionContext

log = logging.getLogger(__name__)

_EVENTS = RateLimit(step=12.0, burst=5)
"""Of Kubernetes Events about the subscription itself: at most 10 in any minute, whatever Infisical says."""

_WORKLOAD_EVENTS = RateLimit(step=6.0, burst=200)
"""Of those about workloads: enough for a restart of 100, which other limits bound."""


class EventBudget:
    """How many Kubernetes Events one subscription may still write; it survives new specs."""

    def __init__(self) -> None:
        self._limits = {True: _EVENTS, False: _WORKLOAD_EVENTS}

    def take(self, now: float, *, is_own: bool) -> bool:
        """Whether one more may be written, about the subscription itself or about a workload."""
        limit, wait = reserve(self._limits[is_own], now)
        if not wait:
            self._limits[is_own] = limit
        return not wait


class Reporter:
    """The only way to the status of one subscription.

    The verbs that change nothing but the status are those of StatusBuilder, where they are documented.
    """

    def __init__(
        self, context: SubscriptionContext, status: StatusBuilder, event_budget: EventBudget | None = None
    ) -> None:
        self._context = context
        self._status = status
        self._event_budget = event_budget or EventBudget()
        self._is_cut = False
        self.key = context.key
        self.extra = context.key.log_fields()
        self.update_condition = status.set_condition
        self.mark_starting = status.mark_starting
        self.mark_inactive = status.mark_inactive
        self.mark_no_secrets = status.mark_no_secrets
        self.mark_connected = status.mark_connected
        self.mark_disconnected = status.mark_disconnected
        self.count_event = status.count_event
        self.count_resync = status.count_resync
        self.record_observation = status.record_observation
        self.record_action = status.record_action
        self.record_dry_run = status.record_dry_run
        self.record_rollout_end = status.record_rollout_end
        self.record_round = status.record_round
        self.record_workloads = status.record_workloads
        self.record_missed = status.record_missed
        self.record_handled = status.record_handled

    @property
    def last_handled_reconcile_at(self) -> str | None:
        """The newest value of the annotation `reconcile-at` that was handled; None before the first."""
        return self._status.render().last_handled_reconcile_at

    def has_reason(self, reason: Reason) -> bool:
        """Whether a condition has this reason now."""
        return any(condition.reason == reason for condition in self._status.conditions)

    async def set_condition(
        self, kind: ConditionType, reason: Reason, message: str, *, ok: bool | None
    ) -> None:
        """Set a condition; a new status or reason is logged, and a Warning when it is bad."""
        if not self.update_condition(kind, ok=ok, reason=reason, message=message):
            return
        # Ready itself is set only when the user wants no restarts.
        is_bad = kind is not ConditionType.READY and ok is (kind is ConditionType.STALLED)
        fields = self._context.key.log_fields(condition=kind.value, reason=reason.value, detail=message)
        log.log(logging.WARNING if is_bad else logging.INFO, "condition changed", extra=fields)
        if is_bad:
            await self.emit_event(reason, message, is_warning=True)

    async def mark_authenticated(self) -> None:
        """A token was accepted: a token that was made by hand proves nothing before."""
        message = "The machine identity is logged in."
        await self.set_condition(ConditionType.AUTHENTICATED, Reason.LOGGED_IN, message, ok=True)

    def record_skip(self, reason: Reason, message: str) -> None:
        """Say why a change or an event led to no restart."""
        self._status.record_skip(reason, message)
        log.info("skipped", extra=self._context.key.log_fields(reason=reason.value, detail=message))

    async def emit_event(self, reason: Reason, note: str, *, is_warning: bool = False) -> None:
        """Write a Kubernetes Event on the subscription; a failure is logged."""
        about = InvolvedObject(API_VERSION, KIND, self.key.namespace, self.key.name, self.key.uid)
        await self._emit(KubeEvent(about, reason, escaped(note), is_warning))

    async def emit_workload_event(
        self,
        workload: Workload,
        reason: Reason,
        note: str,
        *,
        is_warning: bool = False,
        is_once: bool = False,
    ) -> None:
        """Write a Kubernetes Event on a workload, or leave one that is there; a failure is logged."""
        kind = workload.kind
        about = InvolvedObject(kind.api_version, kind.kind, self.key.namespace, workload.name, workload.uid)
        await self._emit(KubeEvent(about, reason, escaped(note), is_warning, is_once))

    async def _emit(self, event: KubeEvent) -> None:
        """Kubernetes Events are best effort: no restart waits for one, and a flood is cut."""
        if not self._may_emit(is_own=event.about.uid == self.key.uid):
            return
        try:
            await self._context.cluster.emit_event(event)
        except KubernetesError as error:
            fields = self._context.key.log_fields(reason=event.reason, error=str(error))
            log.warning("failed to write Kubernetes Event", extra=fields)

    def _may_emit(self, *, is_own: bool) -> bool:
        is_cut = not self._event_budget.take(asyncio.get_running_loop().time(), is_own=is_own)
        if is_cut and not self._is_cut:
            log.warning("too many Kubernetes Events, leaving some out", extra=self.extra)
        self._is_cut = is_cut
        return not is_cut
