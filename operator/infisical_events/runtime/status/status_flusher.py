"""Writes the status of one subscription between the writes of its ledger."""

import asyncio
import logging
from contextlib import suppress

from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.status.subscription_store import (
    LedgerConflictError,
    StatusSource,
    SubscriptionStore,
)
from infisical_events.runtime.subscription_context import SubscriptionContext
from infisical_events.runtime.tasks import wait_at_most
from infisical_events.runtime.triggers import TriggerQueue

_START_PAUSE = 1.0
"""Seconds for the first read until the status is written: before it, there is little to say."""

_BATCH_PAUSE = 2.0
"""Seconds that changes which are not urgent wait for more of their kind."""

log = logging.getLogger(__name__)


class StatusFlusher:
    """The task that writes a changed status: a change of Ready at once, other changes in batches."""

    def __init__(
        self,
        context: SubscriptionContext,
        store: SubscriptionStore,
        status: StatusSource,
        triggers: TriggerQueue,
        started: asyncio.Event,
    ) -> None:
        self._context = context
        self._store = store
        self._status = status
        self._triggers = triggers
        self._started = started
        self._backoff = Backoff(first=1.0, longest=30.0)

    async def run(self) -> None:
        """Write until cancelled; raises SpecChangedError and SubscriptionDeletedError as the store does.

        `started` is set after the first read.
        """
        await wait_at_most(self._started, _START_PAUSE)
        while True:
            await self._status.changed.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_BATCH_PAUSE):
                    await self._status.urgent.wait()
            if self._status.changed.is_set():  # no ledger was written with it in the meantime
                await self._flush()

    async def _flush(self) -> None:
        try:
            await self._store.write_status()
            self._backoff.reset()
        except LedgerConflictError:
            self._triggers.add()
        except KubernetesError as error:
            fields = self._context.key.log_fields(error=str(error))
            log.warning("failed to write status, retrying", extra=fields)
            await asyncio.sleep(self._backoff.pause())
