"""Telling people: conditions become Kubernetes Events when they turn, skips become sentences."""

import logging

from infisical_events.api.resources import API_VERSION, KIND
from infisical_events.api.statuses import ConditionType
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.kube_events import InvolvedObject, KubeEvent
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import escaped
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.status.status_builder import StatusBuilder

log = logging.getLogger(__name__)


class Reporter:
    """Speaks for one subscription: on its status, in Kubernetes Events and in the log."""

    def __init__(self, cluster: Cluster, key: SubscriptionKey, status: StatusBuilder) -> None:
        self._cluster = cluster
        self.key = key
        self.status = status
        self.extra = {"subscription": str(key)}

    async def set_condition(
        self, kind: ConditionType, reason: Reason, message: str, *, ok: bool | None
    ) -> None:
        """Set a condition; when its status or reason is news, say so once."""
        if not self.status.set_condition(kind, ok=ok, reason=reason, message=message):
            return
        # Ready is found by itself only when the user wants nothing to be done.
        is_bad = kind is not ConditionType.READY and ok is (kind is ConditionType.STALLED)
        level = logging.WARNING if is_bad else logging.INFO
        log.log(level, "%s: %s: %s", kind, reason, message, extra=self.extra)
        if is_bad:
            await self.emit_event(reason, message, is_warning=True)

    async def mark_authenticated(self) -> None:
        """A token was accepted: one that was made by hand proves nothing by being there."""
        message = "The machine identity is logged in."
        await self.set_condition(ConditionType.AUTHENTICATED, Reason.LOGGED_IN, message, ok=True)

    def record_skip(self, reason: Reason, message: str) -> None:
        """Say why something that came led to nothing."""
        self.status.record_skip(reason, message)
        log.info("skipped: %s: %s", reason, message, extra=self.extra)

    async def emit_event(self, reason: Reason, note: str, *, is_warning: bool = False) -> None:
        """A Kubernetes Event on the subscription."""
        about = InvolvedObject(API_VERSION, KIND, self.key.namespace, self.key.name, self.key.uid)
        await self._record(KubeEvent(about, reason, escaped(note), is_warning))

    async def emit_workload_event(
        self, workload: Workload, reason: Reason, note: str, *, is_warning: bool = False
    ) -> None:
        """A Kubernetes Event on a workload."""
        kind = workload.kind
        about = InvolvedObject(kind.api_version, kind.kind, self.key.namespace, workload.name, workload.uid)
        await self._record(KubeEvent(about, reason, escaped(note), is_warning))

    async def _record(self, notice: KubeEvent) -> None:
        """Events are a courtesy: one that cannot be written holds nothing up."""
        try:
            await self._cluster.emit_event(notice)
        except KubernetesError as error:
            log.warning("no Kubernetes Event written: %s", error, extra=self.extra)
