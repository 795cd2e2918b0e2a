"""Lists the workloads of one subscription's namespace, and reports the kinds that cannot be listed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workloads import WorkloadList
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.status.reporter import Reporter

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class WorkloadLister:
    """Lists for one subscription.

    Attributes:
        failures: The API server's message for each kind that could not be listed the last time.
    """

    cluster: Cluster
    reporter: Reporter
    failures: Mapping[str, str] = field(default_factory=dict)

    async def list(self) -> WorkloadList:
        """The metadata of all workloads of the namespace, without a cache; raises KubernetesError.

        A kind that cannot be listed is reported once for each message.
        """
        listed = await self.cluster.list_workloads(self.reporter.key.namespace)
        news = {kind: why for kind, why in listed.failures.items() if self.failures.get(kind) != why}
        self.failures = listed.failures
        for kind, why in news.items():
            log.warning("workloads not listed", extra=self.reporter.key.log_fields(kind=kind, error=why))
            message = (
                f"Cannot list workloads of kind {kind}: {why}. Changes for them stay pending until then."
            )
            await self.reporter.emit_event(Reason.WORKLOADS_NOT_LISTED, message, is_warning=True)
        return listed
