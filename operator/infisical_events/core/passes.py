"""The ledger's steps: a baseline, a changed scope, an observation taken in.

Each is a function from the old ledger to the new one; nothing is done before the new one is stored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infisical_events.api.specs import EventType
from infisical_events.core.changes import Change, united
from infisical_events.core.claiming import CLAIM_PATIENCE, match_imports
from infisical_events.core.diffing import diff
from infisical_events.core.folders import Folder
from infisical_events.core.judging import HORIZON, Belief, Heard, Verdict, doubtful_loss, judge
from infisical_events.core.ledgers import Claim, Header, Ledger, clamped
from infisical_events.core.matching import changes_of
from infisical_events.core.observations import NOTHING, Observation, Part, is_covered
from infisical_events.core.scopes import Scope

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
    suspect_until: datetime | None


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


def absorb(ledger: Ledger, observation: Observation, heard: tuple[Heard, ...], now: datetime) -> Absorbed:
    """Take one observation and the events heard around it into the ledger.

    Parts that the ledger's scope did not cover before are baselined; parts that the observation's
    scopes do not cover any more are forgotten, with what is owed for them.
    """
    settled = _rescoped(clamped(ledger, now), observation)
    judged = _judge_all(settled, observation, heard)
    imports = match_imports(settled, judged.changes, heard, now)
    unshown = tuple(entry for entry in heard if _is_unshown(entry, judged.changes, now))
    moments = [judged.suspect_until, *(claim.heard_at + CLAIM_PATIENCE for claim in imports.claims)]
    return Absorbed(
        ledger=replace(
            settled,
            scopes=observation.scopes,
            baselined_at=now if observation.scopes != ledger.scopes else settled.baselined_at,
            belief=judged.belief,
            claims=imports.claims,
            credits=imports.credits,
        ),
        changes=united(_told(judged.changes, heard)),
        claims=imports.believed,
        unshown=unshown,
        look_again=min(filter(None, moments), default=None),
    )


def absorb_all(
    ledger: Ledger, observations: Iterable[Observation], heard: tuple[Heard, ...], now: datetime
) -> Absorbed:
    """Take several observations in, one after the other, as one.

    After a changed spec the old scopes are looked at once more, so that what changed there before the
    edit is not mistaken for a baseline.
    """
    taken = Absorbed(ledger, (), (), heard, None)
    for observation in observations:
        new = absorb(taken.ledger, observation, taken.unshown, now)
        changes, claims = united((*taken.changes, *new.changes)), (*taken.claims, *new.claims)
        taken = replace(new, changes=changes, claims=claims)
    return taken


def doubtful_losses(ledger: Ledger, observation: Observation, heard: tuple[Heard, ...]) -> dict[Part, str]:
    """The parts that seem to have lost most of their secrets, each with a key to ask for."""
    keys = {
        part: doubtful_loss(part, held, observation.parts.get(part, NOTHING), observation.started, heard)
        for part, held in ledger.belief.items()
        if is_covered(part, observation.scopes)
    }
    return {part: key for part, key in keys.items() if key is not None}


def _rescoped(ledger: Ledger, observation: Observation) -> Ledger:
    """Forget what left the scope: belief, and debts for it."""
    if observation.scopes == ledger.scopes:
        return ledger
    scopes = observation.scopes
    debts = []
    for debt in ledger.debts:
        kept = tuple(c for c in debt.changes if any(s.overlaps(c.scope) for s in scopes))
        if kept:
            debts.append(replace(debt, changes=kept))
    claims = tuple(c for c in ledger.claims if any(s.covers(c.folder) for s in scopes))
    return replace(ledger, belief=_carried(ledger, observation), debts=tuple(debts), claims=claims)


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


def _judge_all(ledger: Ledger, observation: Observation, heard: tuple[Heard, ...]) -> _Judged:
    belief: dict[Part, Belief] = {}
    changes: list[Change] = []
    suspicions: list[datetime] = []
    for part in sorted(ledger.belief.keys() | observation.parts.keys(), key=str):
        seen = observation.parts.get(part, NOTHING)
        if part not in ledger.belief and not is_covered(part, ledger.scopes):
            belief[part] = Belief(seen, observation.finished)
            continue
        believed = ledger.believed(part)
        is_sure = part not in observation.unsure
        verdict = judge(part, believed, seen, observation.started, heard) if is_sure else Verdict.SUSPECT
        if verdict is Verdict.ACCEPTED:
            belief[part] = believed.succeeded_by(seen, observation.finished)
            changes.extend(diff(part, believed.body, seen))
        elif part in ledger.belief:
            belief[part] = believed
        if verdict is Verdict.SUSPECT and is_sure:
            suspicions.append(believed.accepted_at + HORIZON)
    kept = {part: held for part, held in belief.items() if not _is_spent(held, observation)}
    return _Judged(kept, tuple(changes), min(suspicions, default=None))


def _is_spent(belief: Belief, observation: Observation) -> bool:
    """A part that is gone is remembered until no stale read can bring it back."""
    return belief.body == NOTHING and observation.started > belief.accepted_at + HORIZON


def _told(changes: Iterable[Change], heard: tuple[Heard, ...]) -> tuple[Change, ...]:
    """The changes of own secrets, each under the event types that were heard for it as well."""
    told = _types_heard(heard)
    return tuple(
        change
        if change.types == _IMPORT
        else replace(change, types=change.types | told.get(_place(change), frozenset()))
        for change in changes
    )


def untold(changes: Iterable[Change], heard: tuple[Heard, ...]) -> tuple[Change, ...]:
    """The changes of own secrets that no event had told: made while nobody listened, or lost on the way.

    Import mutations are left out, since the server tells of them seconds after they can be seen.
    """
    told = _types_heard(heard)
    return tuple(change for change in changes if change.types != _IMPORT and _place(change) not in told)


def _types_heard(heard: tuple[Heard, ...]) -> dict[tuple[Folder, str], frozenset[EventType]]:
    """By place, the event types that were heard for it."""
    types: dict[tuple[Folder, str], frozenset[EventType]] = {}
    for entry in heard:
        for claimed in changes_of(entry.event):
            types[_place(claimed)] = types.get(_place(claimed), frozenset()) | claimed.types
    return types


def _place(change: Change) -> tuple[Folder, str]:
    return change.scope.folder, change.key


def _is_unshown(entry: Heard, changes: Iterable[Change], now: datetime) -> bool:
    """Whether some key that the event names has not been seen to change, and may still be."""
    if entry.event.type is EventType.IMPORT_MUTATION or now > entry.at + PATIENCE:
        return False
    shown = {change.key for change in changes if change.scope == Scope(entry.event.folder)}
    return not entry.event.keys <= shown
