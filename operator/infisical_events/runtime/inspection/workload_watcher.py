"""Watches one kind of workload for `annotation_inspector`, until cancelled."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.workloads.annotation_checks import WorkloadEvent
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError, NotFoundError
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.ports import WorkloadWatch

_PAUSE = 1.0
"""Seconds between two watches: the API server may end each of them at once."""
_UNSERVED_PAUSE = 30.0
"""Seconds until a kind whose CRD is not installed is tried again."""
_FORBIDDEN_PAUSE = 300.0
"""Seconds until a watch without the right to it is tried again."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class WorkloadWatcher:
    """Watches the workloads of one kind, in one namespace or in all of them if it is empty."""

    watch: WorkloadWatch
    kind: WorkloadKind
    namespace: str
    on_event: Callable[[WorkloadEvent], None]
    version: str = ""
    """Where the next watch begins; empty to begin with all existing workloads."""
    is_forbidden: bool = False
    """Whether it was logged that the right to watch is missing."""
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, longest=30.0))

    async def run(self) -> None:
        """Watch, and watch again after each end and each failure."""
        while True:
            pause = await self._watch_once()
            await asyncio.sleep(pause)

    async def _watch_once(self) -> float:
        """Watch until the watch ends; return the seconds until the next one."""
        try:
            async with aclosing(self.watch(self.kind, self.namespace, self.version)) as events:
                async for event in events:
                    self.version = event.version or self.version
                    self.on_event(event)
        except NotFoundError:
            return self._begin_anew(_UNSERVED_PAUSE)
        except ForbiddenError as error:
            if not self.is_forbidden:
                self._log("cannot watch workloads (rbac.watchWorkloads): mistakes are reported late", error)
            self.is_forbidden = True
            return self._begin_anew(_FORBIDDEN_PAUSE)
        except KubernetesError as error:
            self._log("watch of workloads ended; restarting it", error)
            return self._begin_anew(self.backoff.pause(at_least=_PAUSE))
        self.backoff.reset()
        return _PAUSE

    def _begin_anew(self, pause: float) -> float:
        """The version may have expired: the next watch begins with all existing workloads."""
        self.version = ""
        return pause

    def _log(self, message: str, error: KubernetesError) -> None:
        fields = {"kind": self.kind.kind, "namespace": self.namespace or "all", "error": str(error)}
        log.warning(message, extra=fields)
