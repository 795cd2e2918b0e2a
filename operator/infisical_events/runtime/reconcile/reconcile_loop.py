"""The reconcile loop of one subscription: upon triggers and by its schedule it reads, then restarts."""

import asyncio
import logging
import random
from dataclasses import dataclass, field, replace

from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.reconcile_schedule import CompletedRead, ReconcileSchedule
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workloads import WorkloadList
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.backoff import Backoff, is_user_error
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
from infisical_events.runtime.reconcile.reconciler import Reconciler, ReconcileResult
from infisical_events.runtime.restarts.restart_controller import RestartController
from infisical_events.runtime.status.subscription_store import LedgerConflictError, SubscriptionStore
from infisical_events.runtime.subscription_context import SubscriptionContext
from infisical_events.runtime.sync.drift_corrector import DriftCorrector
from infisical_events.runtime.tasks import wait_at_most
from infisical_events.runtime.triggers import Trigger, TriggerQueue

log = logging.getLogger(__name__)

_SECRET_CHECK_SECONDS = 30.0
"""Seconds between two reads of the metadata of the Secrets that the subscription writes, at most."""

_STALE_READ_SECONDS = 5.0
"""The same after a read that lagged behind the accepted state: replicas catch up within seconds."""


_FIRST_STREAM_SECONDS = 5.0
"""How long the first read waits for the first stream: a read that begins later needs no second one."""

_BASELINE_STREAM_SECONDS = 1.0
"""The same for a baseline: no restart follows from what changes before it."""


@dataclass(kw_only=True, slots=True)
class ReconcileLoop:
    """Runs upon triggers, upon the interval, and for what an earlier run left open."""

    context: SubscriptionContext
    reconciler: Reconciler
    reconcile_reporter: ReconcileReporter
    restart_controller: RestartController
    store: SubscriptionStore
    triggers: TriggerQueue
    interval: float
    """Seconds between full reads without a trigger."""
    drift_corrector: DriftCorrector | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after the first read."""
    stream_attempted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first stream is open, or could not be opened."""
    _backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, longest=60.0), init=False)
    _round_backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, longest=25.0), init=False)
    """A failure is said in the words of the last attempt, so the next one comes within half a minute."""
    _schedule: ReconcileSchedule = field(default_factory=ReconcileSchedule, init=False)

    async def run(self) -> None:
        """Reconcile until cancelled; the first time when the stream is open, or cannot be opened."""
        await self._wait_for_stream()
        if self.drift_corrector is not None:
            await self.drift_corrector.claim_all()
            self._schedule_secret_check()
        while True:
            trigger = await self.triggers.get(self._schedule.wake_at)
            result, now = None, _now()
            if self._schedule.is_read_due(now, is_triggered=trigger.is_new):
                result = await self._reconcile(trigger, now)
                self.started.set()
            else:
                self.triggers.put_back(trigger)
            if self.drift_corrector is not None and self._schedule.is_secret_check_due(_now()):
                await self._check_secrets(self.drift_corrector)
            await self._restart(result.workloads if result else None)
            await self.reconcile_reporter.report_other_installation(self.store.other_installation)
            if result:
                self._backoff.reset()
                await self.reconcile_reporter.report(result.report)

    async def _wait_for_stream(self) -> None:
        """What happens until the stream is open shows only a read after that: one read instead of two."""
        ledger = self.store.ledger
        if ledger is None or ledger.is_idle:
            seconds = _FIRST_STREAM_SECONDS if ledger else _BASELINE_STREAM_SECONDS
            await wait_at_most(self.stream_attempted, seconds)
            self.triggers.forget_reads()

    async def _reconcile(self, trigger: Trigger, now: float) -> ReconcileResult | None:
        """Read once; None if the read failed."""
        self._schedule = self._schedule.begun(now, is_triggered=trigger.is_new, is_full=trigger.is_full)
        is_full = self._schedule.is_full_read_due(now)
        try:
            result = await self.reconciler.reconcile(trigger.events, is_full=is_full)
        except InfisicalError as error:
            self.triggers.requeue(trigger.events)
            await self.reconcile_reporter.report_failure(error)
            self._schedule = self._schedule.failed(
                _now(),
                self._backoff.pause(error.reason, error.retry_after),
                is_user_error=is_user_error(error.reason),
                retry_after=error.retry_after,
            )
            return None
        except (KubernetesError, LedgerConflictError) as error:
            self.triggers.requeue(trigger.events)
            log.warning("ledger not stored, retrying", extra=self.context.key.log_fields(error=str(error)))
            self.reconcile_reporter.count_read(Reason.KUBERNETES_API_ERROR)
            self._schedule = self._schedule.not_stored(_now(), self._backoff.pause())
            return None
        if result.unshown_events:
            self.triggers.requeue(result.unshown_events)
        self._schedule = self._schedule.completed(_now(), self._completed(result))
        await self._write_secrets(result)
        return result

    def _completed(self, result: ReconcileResult) -> CompletedRead:
        jitter = random.uniform(0.9, 1.0) if result.is_full else None  # noqa: S311 - no herd
        decidable_in = None
        if result.read_again_at is not None:
            decidable_in = (result.read_again_at - self.context.clock()).total_seconds()
        return CompletedRead(
            next_full_in=None if jitter is None else self.interval * jitter,
            has_unshown_events=bool(result.unshown_events),
            has_open_import_events=result.has_open_import_events,
            decidable_in=decidable_in,
        )

    async def _write_secrets(self, result: ReconcileResult) -> None:
        """Managed Secrets are in step from the first read on, and corrected after each full one."""
        ledger = self.store.ledger
        if self.drift_corrector is not None and result.is_full and ledger is not None:
            await self.drift_corrector.write_all(ledger)
            await self._record_contents(ledger, self.drift_corrector.writer.fingerprints)
            self._schedule_secret_check()

    async def _record_contents(self, ledger: Ledger, fingerprints: dict[str, str]) -> None:
        """Before the first change, what was written is the content of the baseline."""
        known = {**fingerprints, **ledger.content_fingerprints}
        if ledger.seq or known == ledger.content_fingerprints:
            return
        try:
            await self.store.write_ledger(replace(ledger, content_fingerprints=known), planned_on=ledger)
        except (KubernetesError, LedgerConflictError) as error:
            log.warning("Secret contents not recorded", extra=self.context.key.log_fields(error=str(error)))

    async def _check_secrets(self, drift_corrector: DriftCorrector) -> None:
        """Correct what other clients did to managed Secrets."""
        if self.store.ledger is not None:
            await drift_corrector.correct_all(self.store.ledger)
        self._schedule_secret_check()

    def _schedule_secret_check(self) -> None:
        is_behind = self.drift_corrector is not None and self.drift_corrector.writer.is_behind
        seconds = _STALE_READ_SECONDS if is_behind else _SECRET_CHECK_SECONDS
        pause = seconds * random.uniform(0.8, 1.0)  # noqa: S311 - no herd
        self._schedule = self._schedule.secrets_checked(_now(), pause)

    async def _restart(self, workloads: WorkloadList | None) -> None:
        """Work on pending restarts, and schedule the next time."""
        begun_at = _now()
        try:
            pause = await self.restart_controller.run_round(workloads)
        except (KubernetesError, LedgerConflictError) as error:
            log.warning("restart pass failed, retrying", extra=self.context.key.log_fields(error=str(error)))
            pause = self._round_backoff.pause()
        else:
            self._round_backoff.reset()
        self._schedule = self._schedule.restart_round_done(
            begun_at, self.interval if pause is None else pause
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
