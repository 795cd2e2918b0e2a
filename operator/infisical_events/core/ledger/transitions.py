"""The ledger's steps: a baseline, a changed scope, an observation taken in.

Each is a function from the old ledger to the new one; nothing is done before the new one is stored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import zip_longest

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.acceptance import HORIZON, Belief, Heard, Verdict, doubtful_loss, judge
from infisical_events.core.ledger.event_correlation import CLAIM_PATIENCE, match_imports, told
from infisical_events.core.ledger.ledger import Claim, Debt, Header, Ledger, Parked, clamped
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import Change, united
from infisical_events.core.snapshots.diffs import diff
from infisical_events.core.snapshots.snapshots import NOTHING, Body, Observation, Part, is_covered

PATIENCE = timedelta(seconds=8)
"""How long a heard event is looked for in the state before it counts as accounted for already."""

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


@dataclass(frozen=True, slots=True)
class Absorbed:
    """An observation taken in: the new ledger, what changed, and what is still to be looked for.

    `claims` are import mutations that never showed and are believed now, once. `unshown` are the
    events whose change the state does not show yet; `look_again` is the moment of the next look that
    is owed because of a suspect body or an open claim.
    """

    ledger: Ledger
    changes: tuple[Change, ...]
    claims: tuple[Claim, ...]
    unshown: tuple[Heard, ...]
    look_again: datetime | None


@dataclass(frozen=True, slots=True)
class _Judged:
    """Every part of one observation, judged."""

    belief: Mapping[Part, Belief]
    changes: tuple[Change, ...]
    suspects: Mapping[Part, datetime]
    """Until when each body that is not believed has to be doubted."""


def baseline(header: Header, epoch: str, observation: Observation) -> Ledger:
    """The first sight of a subscription: everything is believed, nothing is owed."""
    at = observation.finished
    return Ledger(
        header=header,
        epoch=epoch,
        seq=0,
        baselined_at=at,
        scopes=observation.scopes,
        belief={part: Belief(body, at) for part, body in observation.parts.items()},
    )


class Sight(Enum):
    """Whether what is doubted can be looked at again."""

    ONE_OF_MANY = auto()
    LAST_OF_SCOPES = auto()
    """The next look is at other scopes, and recognises own secrets, but no import."""
    LAST_OF_ALL = auto()
    """Nobody looks any more."""

    def is_last_of(self, part: Part) -> bool:
        """Whether the part is not seen again: then a restart too many is better than one too few."""
        is_import = part.source is not None
        return self is Sight.LAST_OF_ALL or (self is Sight.LAST_OF_SCOPES and is_import)


def absorb(
    ledger: Ledger,
    observation: Observation,
    heard: tuple[Heard, ...],
    now: datetime,
    sight: Sight = Sight.ONE_OF_MANY,
) -> Absorbed:
    """Take one observation and the events heard around it into the ledger.

    Parts that the ledger's scope did not cover before are baselined; parts that the observation's
    scopes do not cover any more are forgotten, with what is owed for them.
    """
    settled = _rescoped(clamped(ledger, now), observation, now)
    judged = _judge_all(settled, observation, heard, sight)
    imports = match_imports(settled, judged.changes, heard, now)
    judged = _believing(judged, imports.believed, observation)
    unshown = tuple(entry for entry in heard if _is_unshown(entry, judged.changes, now))
    moments = [*judged.suspects.values(), *(claim.heard_at + CLAIM_PATIENCE for claim in imports.claims)]
    return Absorbed(
        ledger=replace(
            settled,
            scopes=observation.scopes,
            baselined_at=now if observation.scopes != ledger.scopes else settled.baselined_at,
            belief=judged.belief,
            claims=imports.claims,
            credits=imports.credits,
            parked={part: left for part, left in settled.parked.items() if part not in judged.belief},
        ),
        changes=united(told(judged.changes, heard)),
        claims=imports.believed,
        unshown=unshown,
        look_again=min(moments, default=None),
    )


def absorb_all(
    ledger: Ledger,
    observations: tuple[Observation, ...],
    heard: tuple[Heard, ...],
    now: datetime,
    last: Sight = Sight.ONE_OF_MANY,
) -> Absorbed:
    """Take several observations in, one after the other, as one; `last` is what the last of them is.

    After a changed spec the old scopes are looked at once more, so that what changed there before the
    edit is not mistaken for a baseline.
    """
    taken = Absorbed(ledger, (), (), heard, None)
    for observation, following in zip_longest(observations, observations[1:]):
        is_left = following is not None and following.scopes != observation.scopes
        sight = Sight.LAST_OF_SCOPES if is_left else Sight.ONE_OF_MANY if following else last
        new = absorb(taken.ledger, observation, taken.unshown, now, sight)
        changes, claims = united((*taken.changes, *new.changes)), (*taken.claims, *new.claims)
        taken = replace(new, changes=changes, claims=claims)
    return taken


def doubtful_losses(ledger: Ledger, observation: Observation, heard: tuple[Heard, ...]) -> dict[Part, str]:
    """The parts that seem to have lost most of their secrets, each with a key to ask for."""
    keys = {
        part: doubtful_loss(part, held, observation.parts.get(part, NOTHING), observation.started, heard)
        for part, held in ledger.belief.items()
        if is_covered(part, observation.scopes) and part not in observation.unsure
    }
    return {part: key for part, key in keys.items() if key is not None}


def _rescoped(ledger: Ledger, observation: Observation, now: datetime) -> Ledger:
    """Forget what left the scope: belief, but for a while, and debts for it."""
    parked = {part: left for part, left in ledger.parked.items() if now <= left.left_at + HORIZON}
    if observation.scopes == ledger.scopes:
        return ledger if parked == ledger.parked else replace(ledger, parked=parked)
    scopes = observation.scopes
    gone = (part for part in ledger.belief if part.source is None and not is_covered(part, scopes))
    parked |= {part: Parked(ledger.belief[part], now) for part in gone}
    claims = tuple(c for c in ledger.claims if any(s.covers(c.folder) for s in scopes))
    belief = _carried(ledger, observation)
    return replace(
        ledger, belief=belief, debts=debts_within(ledger.debts, scopes), claims=claims, parked=parked
    )


def debts_within(debts: Iterable[Debt], scopes: Iterable[Scope]) -> tuple[Debt, ...]:
    """What of the debts lies in these scopes, or was asked for by a person."""
    scopes, left = tuple(scopes), []
    for debt in debts:
        kept = tuple(c for c in debt.changes if any(scope.overlaps(c.scope) for scope in scopes))
        if kept or debt.is_requested:
            left.append(replace(debt, changes=kept))
    return tuple(left)


def _carried(ledger: Ledger, observation: Observation) -> dict[Part, Belief]:
    """The belief under other scopes. An import is known by the scope that shows it, so it is renamed.

    What it brings is the source's content, whichever scope shows it; only its rank is another. One
    that the new look does not show has left the scope, or was removed if the scope has become wider.
    """
    carried: dict[Part, Belief] = {}
    for part, held in ledger.belief.items():
        if is_covered(part, observation.scopes):
            carried[part] = held
            continue
        for scope in observation.scopes:
            heir = Part(scope, part.source)
            is_wider = scope.recursive and scope.covers(part.folder)
            is_shown = heir in observation.parts and part.scope.covers(scope.folder)
            if part.source is not None and (is_wider or is_shown):
                rank = observation.parts.get(heir, held.body).rank
                carried[heir] = replace(held, body=replace(held.body, rank=rank))
    return carried


def _judge_all(
    ledger: Ledger, observation: Observation, heard: tuple[Heard, ...], sight: Sight = Sight.ONE_OF_MANY
) -> _Judged:
    belief: dict[Part, Belief] = {}
    changes: list[Change] = []
    suspects: dict[Part, datetime] = {}
    for part in sorted(
        ledger.belief.keys() | observation.parts.keys() | _returned(ledger, observation), key=str
    ):
        seen = observation.parts.get(part, NOTHING)
        if part not in ledger.belief and not is_covered(part, ledger.scopes):
            belief[part] = _entered(part, seen, ledger.parked.get(part), observation)
            continue
        believed = ledger.believed(part)
        if part in observation.unsure:
            if part in ledger.belief:
                belief[part] = believed
            continue
        verdict = judge(part, believed, seen, observation.started, heard)
        if verdict is Verdict.SUSPECT and sight.is_last_of(part):
            verdict = Verdict.ACCEPTED
        if verdict is Verdict.ACCEPTED:
            belief[part] = believed.succeeded_by(seen, observation.finished)
            changes.extend(diff(part, believed.body, seen))
        elif part in ledger.belief:
            belief[part] = believed.confirmed_by(seen) if verdict is Verdict.SAME else believed
        if verdict is Verdict.SUSPECT:
            suspects[part] = believed.accepted_at + HORIZON
    kept = {part: held for part, held in belief.items() if not _is_spent(held, observation)}
    return _Judged(kept, tuple(changes), suspects)


def _returned(ledger: Ledger, observation: Observation) -> set[Part]:
    """What left the scope a moment ago and is in it again."""
    return {part for part in ledger.parked if is_covered(part, observation.scopes)}


def _entered(part: Part, seen: Body, parked: Parked | None, observation: Observation) -> Belief:
    """A part that the scope did not cover is believed as it stands, unless it stood otherwise lately."""
    if parked is not None:
        verdict = judge(part, parked.belief, seen, observation.started, ())
        if verdict is Verdict.SUSPECT:
            return parked.belief
    return Belief(seen, observation.finished)


def _believing(judged: _Judged, claims: Iterable[Claim], observation: Observation) -> _Judged:
    """When an import mutation is believed, so are the values of its folder that are all that differs.

    A reference that changed is told by that event and shown by no version. The restart that is owed for
    the event is made after this look, so it is one for both.
    """
    folders = {claim.folder for claim in claims}
    shown = {
        part: observation.parts.get(part, NOTHING)
        for part in judged.suspects
        if part.source is None and part.folder in folders and part in judged.belief
    }
    revealed = {
        part: judged.belief[part].succeeded_by(seen, observation.finished)
        for part, seen in shown.items()
        if all(change.types == _IMPORT for change in diff(part, judged.belief[part].body, seen))
    }
    suspects = {part: until for part, until in judged.suspects.items() if part not in revealed}
    return replace(judged, belief={**judged.belief, **revealed}, suspects=suspects)


def _is_spent(belief: Belief, observation: Observation) -> bool:
    """A part that is gone is remembered until no stale read can bring it back."""
    return belief.body == NOTHING and observation.started > belief.accepted_at + HORIZON


def _is_unshown(entry: Heard, changes: Iterable[Change], now: datetime) -> bool:
    """Whether some key that the event names has not been seen to change, and may still be."""
    if entry.event.type is EventType.IMPORT_MUTATION or now > entry.at + PATIENCE:
        return False
    shown = {change.key for change in changes if change.scope == Scope(entry.event.folder)}
    return not entry.event.keys <= shown
