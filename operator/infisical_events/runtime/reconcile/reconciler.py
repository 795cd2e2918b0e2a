"""One look: observe, take in what changed, write down what is owed for it.

The order is the protocol: workloads are listed after the observation, and what is owed is stored
before `settling` does anything for it. `core.passes` and `core.planning` decide.
"""

import logging
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime

from infisical_events.api.specs import Action, Mode, Spec
from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.acceptance import Heard
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.observation_modes import Look, begun, taken_in
from infisical_events.core.ledger.transitions import Absorbed
from infisical_events.core.restarts.affected_workloads import Selected, concerned
from infisical_events.core.restarts.planner import owe, request
from infisical_events.core.restarts.user_requests import Requests, is_new
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.snapshots.changes import named
from infisical_events.core.snapshots.selectors import Selection, Selector, select, selecting
from infisical_events.core.status.reasons import Reason
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.asking import Asked
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.cooperative_scheduler import Slices
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.reconcile.reconcile_report import Explainer
from infisical_events.runtime.reconcile.snapshot_reader import Looker
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.subscription_store import Record
from infisical_events.runtime.sync.sync_coordinator import Freshener

log = logging.getLogger(__name__)

_EPOCH_BYTES = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look leaves to be done.

    Events whose change did not show yet, the moment at which a suspect read can be decided, whether an
    import mutation was heard that is still to be looked for, the workloads if they were listed, and
    whether everything was looked at.
    """

    unshown: tuple[Heard, ...] = ()
    look_again: datetime | None = None
    is_claimed: bool = False
    workloads: tuple[Workload, ...] | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class _Found:
    """A look taken in, and what of its changes the spec selects."""

    look: Look
    absorbed: Absorbed
    selection: Selection


@dataclass(kw_only=True, slots=True)
class Reconciler:
    """The looks of one subscription under one spec."""

    spec: Spec
    asked: Asked
    freshener: Freshener
    selectors: tuple[Selector, ...]
    looker: Looker
    cluster: Cluster
    record: Record
    reporter: Reporter
    explainer: Explainer
    clock: Clock
    slices: Slices = field(default_factory=Slices)

    async def observe(self, heard: tuple[Heard, ...], *, is_whole: bool = True) -> Outcome:
        """Look, take in what changed, and store what is owed for it.

        Unless the look has to be whole, the folders that events named are looked at first, and the rest
        only if something there concerns somebody: changes in several folders are one restart.

        Raises:
            InfisicalError: the state could not be read; nothing happened.
            KubernetesError, LedgerMovedError, SupersededError, GoneError: nothing was stored.
        """
        await self.looker.infisical.login()
        ledger = self.record.ledger
        tokens = {} if ledger else await self._tokens()
        named = None if is_whole or self._is_asked(ledger) else await self.looker.named(ledger, heard)
        if ledger is not None and named is not None:
            await self.reporter.logged_in()
            found = await self._taken_in(ledger, named, heard)
            if not found.selection.selected:
                return await self._settle(ledger, found, heard, is_whole=False)
        look = await self.looker.whole(ledger, heard)
        await self.reporter.logged_in()
        if ledger is None or not ledger.header.is_about_same(look.header):
            await self._begin(look, tokens, planned_on=ledger)
            return Outcome()
        seen = (*(named.observations if named else ()), *look.observations)
        found = await self._taken_in(ledger, replace(look, observations=seen), heard)
        return await self._settle(ledger, found, heard, is_whole=True)

    async def _tokens(self) -> dict[str, str]:
        """What the content of the workloads' Secrets is before anything is known of Infisical."""
        namespace, name = self.record.key.namespace, self.record.key.name
        workloads = await self.cluster.list_workloads(namespace)
        standings = [
            await self.cluster.read_workload(namespace, workload.kind.kind, workload.name)
            for workload in workloads
            if workload.is_subscribed_to(name) and workload.action(self.spec.action) is not Action.RESTART
        ]
        return await self.freshener.tokens(tuple(standing for standing in standings if standing))

    async def _begin(self, look: Look, tokens: dict[str, str], *, planned_on: Ledger | None) -> None:
        unreadable = self.record.unreadable
        if unreadable:
            note = f"{unreadable}: a new baseline is made, changes since the last look are lost."
            await self.reporter.notify(Reason.LEDGER_UNREADABLE, note, is_warning=True)
        epoch = secrets.token_urlsafe(_EPOCH_BYTES).replace("-", "x")
        asked = self.asked.current
        ledger = replace(
            begun(look, epoch, self.clock()),
            tokens=tokens,
            restart_at=asked.restart_at,
            resume_at=asked.resume_at,
        )
        await self._store(ledger, planned_on)
        self._tell_handled(asked)
        self.record.unreadable = ""
        await self.explainer.sight(look, unreadable)
        keys = sum(observation.key_count for observation in look.observations)
        note = f"{keys} keys recorded as they stand; changes from now on count."
        log.info("baseline: %s", note, extra=self.reporter.extra)
        await self.reporter.notify(Reason.BASELINE_RECORDED, note)

    async def _taken_in(self, ledger: Ledger, look: Look, heard: tuple[Heard, ...]) -> _Found:
        absorbed = taken_in(ledger, look, heard, self.clock())
        steps = selecting(self.selectors, absorbed.changes)
        return _Found(look, absorbed, await self.slices.carry_out(self.record.key.namespace, steps))

    async def _settle(
        self, ledger: Ledger, found: _Found, heard: tuple[Heard, ...], *, is_whole: bool
    ) -> Outcome:
        """Write down what is owed for what was found, and tell of it."""
        absorbed, selection = found.absorbed, found.selection
        claims = tuple(c for c in absorbed.claims if select(self.selectors, (c.change,)).selected)
        owed, workloads = absorbed.ledger, None
        if selected := Selected(selection.selected, claims):
            workloads = await self.cluster.list_workloads(self.record.key.namespace)
            owed = await self._owing(owed, selected, workloads)
        elif selection.refusal is not None:
            told = named(absorbed.changes)
            self.reporter.skip(selection.refusal, f"{told} was found and not selected by spec.events.")
        asked = self.asked.current
        if is_whole:
            owed, workloads = await self._taking_up(owed, asked, workloads)
        if owed != ledger:
            await self._store(owed, ledger)
        if is_whole:
            self._tell_handled(asked)
        await self.explainer.missed(found.selection.selected, heard)
        if workloads is not None:
            await self.explainer.mistaken(workloads)
        if is_whole:
            await self.explainer.sight(found.look)
        self.explainer.unseen(heard, absorbed.unshown, absorbed.changes)
        return Outcome(absorbed.unshown, absorbed.look_again, bool(owed.claims), workloads, is_whole)

    async def _owing(self, ledger: Ledger, selected: Selected, workloads: tuple[Workload, ...]) -> Ledger:
        """The ledger with what is owed now; a dry run only tells what would be, and owes nothing."""
        key = self.record.key
        concerns = await self.slices.carry_out(key.namespace, concerned(key.name, selected, workloads))
        owed = owe(ledger, key.name, concerns, self.clock())
        if owed is ledger:
            self.explainer.nobody(selected)
        if self.spec.mode is Mode.ENFORCE:
            return owed
        self.explainer.would(owed)
        return ledger

    def _is_asked(self, ledger: Ledger | None) -> bool:
        """Whether a person asked for something that was not taken up yet."""
        asked, handled = self.asked.current, self.reporter.board.snapshot()
        return ledger is not None and (
            is_new(asked.reconcile_at, handled.last_handled_reconcile_at)
            or is_new(asked.restart_at, ledger.restart_at)
            or is_new(asked.resume_at, ledger.resume_at)
        )

    async def _taking_up(
        self, ledger: Ledger, asked: Requests, workloads: tuple[Workload, ...] | None
    ) -> tuple[Ledger, tuple[Workload, ...] | None]:
        """What a person asked for, in the ledger, which remembers that it was."""
        if is_new(asked.resume_at, ledger.resume_at):
            rollouts = tuple(rollout for rollout in ledger.rollouts if not rollout.has_failed)
            ledger = replace(ledger, resume_at=asked.resume_at, rollouts=rollouts)
        if is_new(asked.restart_at, ledger.restart_at):
            if workloads is None:
                workloads = await self.cluster.list_workloads(self.record.key.namespace)
            owed = request(ledger, self.record.key.name, workloads, self.clock())
            if self.spec.mode is Mode.DRY_RUN:
                self.explainer.would(owed)
                owed = ledger
            ledger = replace(owed, restart_at=asked.restart_at)
        return ledger, workloads

    def _tell_handled(self, asked: Requests) -> None:
        """What was asked by now is stored as taken up."""
        values = {
            "last_handled_reconcile_at": asked.reconcile_at,
            "last_handled_restart_at": asked.restart_at,
            "last_handled_resume_at": asked.resume_at,
        }
        self.reporter.board.handled(**{name: value for name, value in values.items() if value})

    async def _store(self, ledger: Ledger, planned_on: Ledger | None) -> None:
        """Write down what is known; what cannot be is said, since nothing is acted on before."""
        try:
            await self.record.write_ledger(ledger, planned_on=planned_on)
        except KubernetesError as error:
            message = f"What was seen cannot be stored, so nothing is restarted for it: {error}."
            await self.reporter.find(ConditionType.OBSERVED, Reason.LEDGER_NOT_STORED, message, ok=False)
            raise
