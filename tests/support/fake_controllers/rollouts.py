"""Argo Rollouts: Rollout (argoproj.io/v1alpha1), as far as the status shows it, without pods.

A new `restartAt` that is not in the future restarts the pods without a new template; it is done when
`restartedAt` is equal. `observedGeneration` is a string. Options: `delay` is how long a restart or a new
template takes; one that is failing ends as Degraded, without `restartedAt`, before the next attempt.
"""

import asyncio
import calendar
import time

from support.fake_controllers import objects
from support.fake_controllers.controller import Controller
from support.fake_controllers.options import FetchError, Outcome
from support.fake_controllers.resources import ROLLOUT, Object

MANAGER = "rollouts-controller"
HEALTHY, PROGRESSING, PAUSED, DEGRADED = "Healthy", "Progressing", "Paused", "Degraded"

_MESSAGES = {
    PROGRESSING: "updated replicas are still becoming available",
    PAUSED: "manually paused",
    DEGRADED: "ProgressDeadlineExceeded: the rollout has timed out progressing",
}


class Rollouts(Controller):
    """The fake controller of the Rollouts of one namespace."""

    resource = ROLLOUT

    def is_trigger(self, before: Object | None, now: Object) -> bool:
        """A new object or a new generation."""
        return before is None or before["metadata"]["generation"] != now["metadata"]["generation"]

    def pause(self) -> float:
        """It reacts at once."""
        return 0.0

    async def reconcile(self, thing: Object, *, by_itself: bool) -> Outcome:  # noqa: ARG002 - no matter to it
        """Start what is due, wait as long as pods take, and complete it."""
        if thing["spec"].get("paused"):
            await self._tell(thing, PAUSED)
            return Outcome.NOT_DUE
        if not _is_new(thing) and not self._needs_restart(thing):
            await self._tell(thing, thing.get("status", {}).get("phase", HEALTHY))
            return Outcome.WAITING if _restart_at(thing) else Outcome.NOT_DUE
        await self._tell(thing, PROGRESSING)
        await asyncio.sleep(self.options.pause())
        try:
            self.fail_if_due()
        except FetchError:
            await self._tell(thing, DEGRADED)
            return Outcome.FAILED
        restarted = {"restartedAt": thing["spec"]["restartAt"]} if self._needs_restart(thing) else {}
        pod_hash = _pod_hash(thing)
        await self._tell(thing, HEALTHY, {"currentPodHash": pod_hash, "stableRS": pod_hash, **restarted})
        return Outcome.SYNCED

    def _needs_restart(self, thing: Object) -> bool:
        at = _restart_at(thing)
        return at is not None and time.time() + self.options.skew >= at

    async def _tell(self, thing: Object, phase: str, status: Object | None = None) -> None:
        count = thing["spec"].get("replicas", 1)
        ready = count if phase in {HEALTHY, PAUSED} else max(count - 1, 0)
        status = {
            "observedGeneration": str(thing["metadata"]["generation"]),
            "phase": phase,
            "message": _MESSAGES.get(phase),
            "replicas": count,
            "HPAReplicas": count,
            "updatedReplicas": 0 if _is_new(thing) and phase != HEALTHY else count,
            "readyReplicas": ready,
            "availableReplicas": ready,
            **(status or {}),
        }
        path = f"{self.resource.path(self.namespace, thing['metadata']['name'])}/status"
        await self.api.patch(path, {"status": status}, MANAGER)


def _is_new(thing: Object) -> bool:
    """Whether its template is not rolled out yet."""
    return bool(thing.get("status", {}).get("currentPodHash") != _pod_hash(thing))


def _pod_hash(thing: Object) -> str:
    return objects.digest(thing["spec"].get("template", {}))[:10]


def _restart_at(thing: Object) -> float | None:
    """Return when a restart is due, in seconds since 1970; None if none is."""
    at = thing["spec"].get("restartAt")
    if at is None or at == thing.get("status", {}).get("restartedAt"):
        return None
    return calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ"))
