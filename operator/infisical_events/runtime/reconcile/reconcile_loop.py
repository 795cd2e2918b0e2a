"""When to look and when to act: the timing of the passes of one subscription."""

import asyncio
import logging
import random

from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.backoff import Backoff, is_user_error
from infisical_events.runtime.reconcile.reconciler import Reconciler, ReconcileResult
from infisical_events.runtime.restarts.restart_controller import RestartController
from infisical_events.runtime.status.subscription_store import LedgerConflictError
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter
from infisical_events.runtime.triggers import TriggerQueue

_FIRST_LOOK_AGAIN = 0.25
"""Seconds before a change that was heard and not seen is looked for again; doubles each time."""
_MOST_DOUBLINGS = 5

_SHORTEST_PAUSE = 1.0
"""Seconds between looks that fail, however many wakes there are."""

log = logging.getLogger(__name__)


class ReconcileLoop:
    """Passes upon wakes, upon the interval, and for what an earlier pass left open."""

    def __init__(
        self,
        reconciler: Reconciler,
        restart_controller: RestartController,
        triggers: TriggerQueue,
        interval: float,
        secret_writer: ManagedSecretWriter | None = None,
    ) -> None:
        self._reconciler = reconciler
        self._restart_controller = restart_controller
        self._wakes = triggers
        self._interval = interval
        self._secret_writer = secret_writer
        self._backoff = Backoff(first=1.0, longest=60.0)
        self._looks = 0
        self._look_at = 0.0
        self._whole_at = 0.0  # of the loop's clock: when everything is to be looked at again
        self._held_until = 0.0
        self._settle_at = 0.0

    async def run(self) -> None:
        """Pass until cancelled; the first pass is at once."""
        while True:
            await self._wakes.wait(min(self._look_at, self._settle_at))
            listed = None
            if self._is_look_due():
                self._looks = 0 if self._wakes.is_rung else self._looks + 1
                if self._wakes.is_whole:
                    self._whole_at = self._now()
                pause, outcome = await self._look(self._wakes.take())
                self._look_at = self._now() + pause
                if outcome is not None:
                    await self._keep(outcome)
                    listed = outcome.workloads
            self._settle_at = self._now() + await self._settle(listed)

    def _is_look_due(self) -> bool:
        return self._now() >= (self._held_until if self._wakes.is_rung else self._look_at)

    async def _look(self, received: tuple[ReceivedEvent, ...]) -> tuple[float, ReconcileResult | None]:
        """One look; return the seconds until the next one, and what it leaves if it succeeded."""
        reconciler = self._reconciler
        try:
            outcome = await reconciler.reconcile(received, is_whole=self._now() >= self._whole_at)
        except InfisicalError as error:
            self._wakes.requeue(received)
            await self._blame(error)
            reconciler.reconcile_reporter.passed(error.reason)
            pause = self._backoff.pause(error.reason, error.retry_after)
            # A wake is no reason to look earlier than the server or a person needs; otherwise it is,
            # for a stream that was opened again tells that the server is back.
            self._held_until = self._now() + (pause if is_user_error(error.reason) else _SHORTEST_PAUSE)
            self._held_until = max(self._held_until, self._now() + error.retry_after)
            return pause, None
        except (KubernetesError, LedgerConflictError) as error:
            self._wakes.requeue(received)
            log.warning("pass not stored: %s", error, extra=reconciler.reporter.extra)
            reconciler.reconcile_reporter.passed(Reason.KUBERNETES_API_ERROR)
            return self._backoff.pause(), None
        self._backoff.reset()
        self._wakes.requeue(outcome.unshown_events)
        reconciler.reconcile_reporter.passed("ok")
        return self._pause_after(outcome), outcome

    async def _keep(self, outcome: ReconcileResult) -> None:
        """Secrets that are written here are in step from the first look on, and mended by each whole one."""
        if self._secret_writer is not None and outcome.is_full:
            ledger = self._reconciler.record.ledger
            if ledger is not None:
                await self._secret_writer.write_all(ledger)

    async def _settle(self, listed: tuple[Workload, ...] | None) -> float:
        """Do what is owed; return the seconds until it is tried again."""
        try:
            pause = await self._restart_controller.run_round(listed)
        except (KubernetesError, LedgerConflictError) as error:
            log.warning("not settled: %s", error, extra=self._reconciler.reporter.extra)
            pause = self._backoff.pause()
        return self._interval if pause is None else pause

    def _pause_after(self, outcome: ReconcileResult) -> float:
        """Seconds until the next look: at everything when that is due, before at what did not show yet."""
        if outcome.is_full:
            self._whole_at = self._now() + self._interval * random.uniform(0.9, 1.0)  # noqa: S311 - no herd
        soon = _FIRST_LOOK_AGAIN * 2 ** min(self._looks, _MOST_DOUBLINGS)
        if outcome.has_open_import_events:
            self._whole_at = min(self._whole_at, self._now() + soon)
        if outcome.read_again_at is not None:
            remaining = max(0.0, (outcome.read_again_at - self._reconciler.clock()).total_seconds())
            self._whole_at = min(self._whole_at, self._now() + remaining + _FIRST_LOOK_AGAIN)
        until_whole = self._whole_at - self._now()
        return min(soon, until_whole) if outcome.unshown_events else until_whole

    async def _blame(self, error: InfisicalError) -> None:
        is_login = isinstance(error, LoginError) or error.reason is Reason.TOKEN_REJECTED
        kind = ConditionType.AUTHENTICATED if is_login else ConditionType.OBSERVED
        if not is_login:
            await self._reconciler.reporter.mark_authenticated()
        await self._reconciler.reporter.set_condition(kind, error.reason, str(error), ok=False)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
