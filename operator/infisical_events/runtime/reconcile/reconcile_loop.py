"""The reconcile loop of one subscription: upon triggers and by its schedule it reads, then restarts."""

import asyncio
import logging
import random

from infisical_events.api.statuses import ConditionType
from infisical_events.core.reconcile_schedule import CompletedRead, ReconcileSchedule
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.backoff import Backoff, is_user_error
from infisical_events.runtime.reconcile.reconciler import Reconciler, ReconcileResult
from infisical_events.runtime.restarts.restart_controller import RestartController
from infisical_events.runtime.status.subscription_store import LedgerConflictError
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter
from infisical_events.runtime.triggers import Trigger, TriggerQueue

log = logging.getLogger(__name__)


class ReconcileLoop:
    """Runs upon triggers, upon the interval, and for what an earlier run left open."""

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
        self._triggers = triggers
        self._interval = interval
        self._secret_writer = secret_writer
        self._backoff = Backoff(first=1.0, longest=60.0)
        self._schedule = ReconcileSchedule()

    async def run(self) -> None:
        """Reconcile until cancelled; the first time is at once."""
        while True:
            trigger = await self._triggers.get(self._schedule.wake_at)
            workloads = None
            if self._schedule.is_read_due(_now(), is_triggered=trigger.is_new):
                workloads = await self._reconcile(trigger)
            else:
                self._triggers.put_back(trigger)
            await self._restart(workloads)

    async def _reconcile(self, trigger: Trigger) -> tuple[Workload, ...] | None:
        """Read once; return the workloads if they were listed for it."""
        reconciler = self._reconciler
        self._schedule = self._schedule.begun(_now(), is_triggered=trigger.is_new, is_full=trigger.is_full)
        try:
            result = await reconciler.reconcile(
                trigger.events, is_whole=self._schedule.is_full_read_due(_now())
            )
        except InfisicalError as error:
            self._triggers.requeue(trigger.events)
            await self._blame(error)
            reconciler.reconcile_reporter.passed(error.reason)
            self._schedule = self._schedule.failed(
                _now(),
                self._backoff.pause(error.reason, error.retry_after),
                is_user_error=is_user_error(error.reason),
                retry_after=error.retry_after,
            )
            return None
        except (KubernetesError, LedgerConflictError) as error:
            self._triggers.requeue(trigger.events)
            log.warning("pass not stored: %s", error, extra=reconciler.reporter.extra)
            reconciler.reconcile_reporter.passed(Reason.KUBERNETES_API_ERROR)
            self._schedule = self._schedule.not_stored(_now(), self._backoff.pause())
            return None
        self._backoff.reset()
        self._triggers.requeue(result.unshown_events)
        reconciler.reconcile_reporter.passed("ok")
        self._schedule = self._schedule.completed(_now(), self._completed(result))
        await self._write_secrets(result)
        return result.workloads

    def _completed(self, result: ReconcileResult) -> CompletedRead:
        jitter = random.uniform(0.9, 1.0) if result.is_full else None  # noqa: S311 - no herd
        decidable_in = None
        if result.read_again_at is not None:
            decidable_in = (result.read_again_at - self._reconciler.clock()).total_seconds()
        return CompletedRead(
            next_full_in=None if jitter is None else self._interval * jitter,
            has_unshown_events=bool(result.unshown_events),
            has_open_import_events=result.has_open_import_events,
            decidable_in=decidable_in,
        )

    async def _write_secrets(self, result: ReconcileResult) -> None:
        """Managed Secrets are in step from the first read on, and corrected after each full one."""
        if self._secret_writer is not None and result.is_full:
            ledger = self._reconciler.record.ledger
            if ledger is not None:
                await self._secret_writer.write_all(ledger)

    async def _restart(self, workloads: tuple[Workload, ...] | None) -> None:
        """Work on pending restarts, and schedule the next time."""
        begun_at = _now()
        try:
            pause = await self._restart_controller.run_round(workloads)
        except (KubernetesError, LedgerConflictError) as error:
            log.warning("not settled: %s", error, extra=self._reconciler.reporter.extra)
            pause = self._backoff.pause()
        self._schedule = self._schedule.restart_round_done(
            begun_at, self._interval if pause is None else pause
        )

    async def _blame(self, error: InfisicalError) -> None:
        is_login = isinstance(error, LoginError) or error.reason is Reason.TOKEN_REJECTED
        kind = ConditionType.AUTHENTICATED if is_login else ConditionType.OBSERVED
        if not is_login:
            await self._reconciler.reporter.mark_authenticated()
        await self._reconciler.reporter.set_condition(kind, error.reason, str(error), ok=False)


def _now() -> float:
    return asyncio.get_running_loop().time()
