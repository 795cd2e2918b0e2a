"""What the three grades of observation mean for the ledger, and what passing from one to another does.

`Versions` and `Values` look, and differ in what a sighting knows. `Events` does not look: there is no
belief then, and an event counts for what it says.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from infisical_events.api.specs import EventType, Grade
from infisical_events.core.ledger.acceptance import Heard
from infisical_events.core.ledger.ledger import Claim, Header, Ledger, under
from infisical_events.core.ledger.transitions import Absorbed, Sight, absorb_all, baseline, debts_within
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import united
from infisical_events.core.snapshots.selectors import changes_of
from infisical_events.core.snapshots.snapshots import Observation


@dataclass(frozen=True, slots=True)
class Look:
    """What was had of Infisical: by which means, where, and what was seen, the oldest sight first."""

    header: Header
    scopes: tuple[Scope, ...]
    observations: tuple[Observation, ...]

    @property
    def is_blind(self) -> bool:
        """Whether there is nothing but events to go by."""
        return self.header.grade is Grade.EVENTS


def begun(look: Look, epoch: str, now: datetime) -> Ledger:
    """The first ledger: a baseline of what is seen, or of nothing."""
    if look.observations:
        return baseline(look.header, epoch, look.observations[-1])
    return Ledger(look.header, epoch, seq=0, baselined_at=now, scopes=look.scopes, belief={})


def taken_in(ledger: Ledger, look: Look, heard: tuple[Heard, ...], now: datetime) -> Absorbed:
    """Take a look and the events heard around it into a ledger about the same project."""
    if ledger.header.grade is not Grade.EVENTS:
        last = Sight.LAST_OF_ALL if look.is_blind else Sight.ONE_OF_MANY
        taken = absorb_all(under(ledger, look.header), look.observations, heard, now, last)
        return replace(taken, ledger=_blind(taken.ledger, look.scopes)) if look.is_blind else taken
    taken = _believing_events(replace(ledger, header=look.header), look.scopes, heard)
    if look.is_blind:
        return taken
    return replace(taken, ledger=_seeing(taken.ledger, look.observations[-1]))


def _believing_events(ledger: Ledger, scopes: tuple[Scope, ...], heard: Iterable[Heard]) -> Absorbed:
    """Every event counts, also one that is heard twice: there is no state to tell that by."""
    told = [entry for entry in heard if any(scope.covers(entry.event.folder) for scope in scopes)]
    imports = [entry for entry in told if entry.event.type is EventType.IMPORT_MUTATION]
    return Absorbed(
        ledger=_blind(ledger, scopes),
        changes=united(
            change for entry in told if entry not in imports for change in changes_of(entry.event)
        ),
        claims=tuple(Claim(entry.event.folder, entry.at) for entry in imports),
        unshown=(),
        look_again=None,
    )


def _blind(ledger: Ledger, scopes: tuple[Scope, ...]) -> Ledger:
    debts = debts_within(ledger.debts, scopes)
    return replace(ledger, scopes=scopes, debts=debts, belief={}, claims=(), credits=(), parked={})


def _seeing(ledger: Ledger, observation: Observation) -> Ledger:
    """There is something to look at at last: it is believed as it stands, and all else stays as it was."""
    seen = baseline(ledger.header, ledger.epoch, observation)
    return replace(
        ledger,
        baselined_at=seen.baselined_at,
        scopes=seen.scopes,
        debts=debts_within(ledger.debts, seen.scopes),
        belief=seen.belief,
    )
