"""One look: observe, take in what changed, write down what is owed for it.

The order is the protocol: workloads are listed after the observation, and what is owed is stored
before `settling` does anything for it. `core.passes` and `core.planning` decide.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime

from infisical_events.api.specs import Spec
from infisical_events.api.statuses import ConditionType
from infisical_events.core.changes import Change, named
from infisical_events.core.judging import Heard
from infisical_events.core.ledgers import Header, Ledger
from infisical_events.core.matching import select, selectors_of
from infisical_events.core.observations import Observation, Part
from infisical_events.core.passes import absorb_all, baseline, doubtful_losses, untold
from infisical_events.core.planning import Selected, owe
from infisical_events.core.reasons import Reason
from infisical_events.core.scopes import scopes_of
from infisical_events.core.workloads import Workload, narrowing_of
from infisical_events.infisical.errors import InfisicalError
from infisical_events.kube.errors import KubernetesError
from infisical_events.runtime.clocks import Clock
from infisical_events.runtime.ports import Cluster, Infisical
from infisical_events.runtime.records import Record
from infisical_events.runtime.reporting import Reporter

log = logging.getLogger(__name__)

_EPOCH_BYTES = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look leaves to be done.

    Events whose change did not show yet, the moment at which a suspect read can be decided, whether an
    import mutation was heard that is still to be looked for, and the workloads if they were listed.
    """

    unshown: tuple[Heard, ...] = ()
    look_again: datetime | None = None
    is_claimed: bool = False
    workloads: tuple[Workload, ...] | None = None


@dataclass(kw_only=True, slots=True)
class Reconciler:
    """The looks of one subscription under one spec."""

    spec: Spec
    address: str
    infisical: Infisical
    cluster: Cluster
    record: Record
    reporter: Reporter
    clock: Clock

    async def observe(self, heard: tuple[Heard, ...]) -> Outcome:
        """Look, take in what changed, and store what is owed for it.

        Raises:
            InfisicalError: the state could not be read; nothing happened.
            KubernetesError, LedgerMovedError, SupersededError, GoneError: nothing was stored.
        """
        await self.infisical.login()
        await self.reporter.find(
            ConditionType.AUTHENTICATED, Reason.LOGGED_IN, "The machine identity is logged in.", ok=True
        )
        header = Header(await self.infisical.project_id(), self.address, self.spec.observe)
        ledger = self.record.ledger
        if ledger is None or ledger.header != header:
            await self._baseline(header, planned_on=ledger)
            return Outcome()
        last_look = await self._last_look(ledger)
        observation = await self.infisical.observe(scopes_of(self.spec))
        observation = observation.doubting(await self._hidden(ledger, observation, heard))
        return await self._take_in(ledger, (*last_look, observation), heard)

    async def _hidden(
        self, ledger: Ledger, observation: Observation, heard: tuple[Heard, ...]
    ) -> tuple[Part, ...]:
        """The parts that seem to have lost most of their secrets, and have not.

        Raises:
            InfisicalError: the identity may not describe them any more.
        """
        doubtful = doubtful_losses(ledger, observation, heard)
        return tuple(
            [part for part, key in doubtful.items() if not await self.infisical.is_gone(part.folder, key)]
        )

    async def _last_look(self, ledger: Ledger) -> tuple[Observation, ...]:
        """After a changed spec, the old scopes once more; what cannot be read any more is let go."""
        if ledger.scopes == scopes_of(self.spec):
            return ()
        try:
            return (await self.infisical.observe(ledger.scopes),)
        except InfisicalError as error:
            log.warning("no last look at the old scopes: %s", error, extra=self.reporter.extra)
            return ()

    async def _baseline(self, header: Header, *, planned_on: Ledger | None) -> None:
        observation = await self.infisical.observe(scopes_of(self.spec))
        if self.record.unreadable:
            note = f"{self.record.unreadable}: a new baseline is made, changes since the last look are lost."
            await self.reporter.notify(Reason.LEDGER_UNREADABLE, note, is_warning=True)
        epoch = secrets.token_urlsafe(_EPOCH_BYTES).replace("-", "x")
        await self._store(baseline(header, epoch, observation), planned_on)
        await self._found(observation)
        note = f"{observation.key_count} keys recorded as they stand; changes from now on count."
        log.info("baseline: %s", note, extra=self.reporter.extra)
        await self.reporter.notify(Reason.BASELINE_RECORDED, note)

    async def _take_in(
        self, ledger: Ledger, observations: tuple[Observation, ...], heard: tuple[Heard, ...]
    ) -> Outcome:
        absorbed = absorb_all(ledger, observations, heard, self.clock())
        selectors = selectors_of(self.spec)
        selection = select(selectors, absorbed.changes)
        claims = tuple(c for c in absorbed.claims if select(selectors, (c.change,)).selected)
        owed, workloads = absorbed.ledger, None
        if selected := Selected(selection.selected, claims):
            workloads = await self.cluster.list_workloads(self.record.key.namespace)
            owed = owe(owed, self.record.key.name, selected, workloads, self.clock())
            self._explain(selected, workloads, is_owed=owed is not absorbed.ledger)
        elif selection.refusal is not None:
            found = named(absorbed.changes)
            self.reporter.skip(selection.refusal, f"{found} was found and not selected by spec.events.")
        if owed != ledger:
            await self._store(owed, ledger)
        if missed := untold(selection.selected, heard):
            note = f"No event had told of {named(missed)}: found by looking."
            log.info("missed: %s", note, extra=self.reporter.extra)
            await self.reporter.notify(Reason.MISSED_CHANGES_FOUND, note)
        await self._found(observations[-1])
        self._explain_unseen(heard, absorbed.unshown, absorbed.changes)
        return Outcome(absorbed.unshown, absorbed.look_again, bool(owed.claims), workloads)

    async def _store(self, ledger: Ledger, planned_on: Ledger | None) -> None:
        """Write down what is known; what cannot be is said, since nothing is acted on before."""
        try:
            await self.record.write_ledger(ledger, planned_on=planned_on)
        except KubernetesError as error:
            message = f"What was seen cannot be stored, so nothing is restarted for it: {error}."
            await self.reporter.find(ConditionType.OBSERVED, Reason.LEDGER_NOT_STORED, message, ok=False)
            raise

    async def _found(self, observation: Observation) -> None:
        scopes = ", ".join(map(str, observation.scopes))
        message = f"{observation.key_count} keys are watched in {scopes}."
        await self.reporter.find(ConditionType.OBSERVED, Reason.UP_TO_DATE, message, ok=True)

    def _explain(self, selected: Selected, workloads: tuple[Workload, ...], *, is_owed: bool) -> None:
        for workload in workloads:
            for mistake in narrowing_of(workload).mistakes:
                name = f"{workload.kind.kind} {workload.name}"
                log.warning("%s: %s", name, mistake, extra=self.reporter.extra)
        if not is_owed:
            told = named((*selected.changes, *(claim.change for claim in selected.claims)))
            self.reporter.skip(
                Reason.NO_WORKLOAD_CONCERNED,
                f"{told}: no Deployment, StatefulSet or DaemonSet of this namespace is annotated "
                'events.infisical.com/auto-reload: "true" (or names this subscription) and concerned by it.',
            )

    def _explain_unseen(
        self, heard: tuple[Heard, ...], unshown: tuple[Heard, ...], changes: tuple[Change, ...]
    ) -> None:
        """An event whose change never showed was accounted for before, or has been undone."""
        given_up = [entry for entry in heard if entry not in unshown and entry.event.keys]
        if given_up and not changes:
            self.reporter.skip(
                Reason.NO_CHANGE_FOUND,
                f"{given_up[-1].event.type} in {given_up[-1].event.folder} was heard, and the state shows "
                "no change since the last restart for it.",
            )
