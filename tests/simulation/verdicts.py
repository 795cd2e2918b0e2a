"""The invariants: what must be true of every history, whatever went wrong in it."""

import itertools
from collections.abc import Iterator, Mapping

from infisical_events.api.specs import EventType
from infisical_events.core.changes import ANY_KEY, Change
from infisical_events.core.ledgers import Ledger
from infisical_events.core.matching import select, selectors_of
from infisical_events.core.observations import NOTHING, Body, Part, Sighting, is_covered
from infisical_events.core.scopes import scopes_of
from simulation.histories import WORKLOADS
from simulation.infisicals import Snapshot, TrueChange
from simulation.playing import Played

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


def violations(played: Played) -> list[str]:
    """Every broken invariant as a sentence; empty for a history that went well."""
    return [
        *played.errors,
        *_lost(played),
        *_superfluous(played),
        *_unsettled(played),
        *_unobserved(played),
        *_unfounded(played),
    ]


def is_unavoidable(played: Played, broken: list[str]) -> bool:
    """Whether it is the one thing that nobody can tell apart: no loss, but a restart or two too many.

    A late event of an earlier delete or create, heard together with a read from back then, looks like
    the same thing happening again.
    """
    struck = {name for _, name in played.faults.struck} if played.faults else set()
    is_hostile = "stale_read" in struck and not struck.isdisjoint({"late_event", "duplicate_event"})
    return is_hostile and all(text.startswith(("regress", "superfluous")) for text in broken)


def _lost(played: Played) -> Iterator[str]:
    """A change that concerns a workload is followed by a restart of that workload."""
    for name in WORKLOADS:
        standing = played.standings[name][-1]
        if not standing.is_opted_in:
            continue
        due = [c for c in played.infisical.changes if c.at > standing.at and _must_be_found(played, c)]
        if not due:
            continue
        last = due[-1]
        after = [r for r in played.cluster.rollouts if r.uid == standing.uid and r.at >= last.at]
        if not after:
            yield f"lost: {name} was not restarted after {last.change} at {last.at:.2f}"


def _must_be_found(played: Played, true: TrueChange) -> bool:
    """Selected by every spec from then on, inside the baseline of that moment, and not undone since."""
    ledger = _ledger_at(played, true.at)
    later = [entry for entry in played.specs if entry.at > true.at]
    in_force = [played.specs[len(played.specs) - len(later) - 1], *later]
    if ledger is None or not all(select(selectors_of(s.spec), (true.change,)).selected for s in in_force):
        return False
    folder = true.change.scope.folder
    later_births = [birth for birth in played.births if birth >= true.at]
    if later_births:  # what changes before a recreated subscription has its baseline is swallowed
        return False
    ledgers = [ledger, *(e.ledger for e in played.cluster.ledgers if e.at > true.at)]
    if not all(any(scope.covers(folder) for scope in one.scopes) for one in ledgers):
        return False
    return not _may_cancel(played, true, ledger)


def _may_cancel(played: Played, true: TrueChange, ledger: Ledger) -> bool:
    """What no two observations can tell apart may lead to one restart or to none.

    The key was, then or later, as the ledger believed it to be when the change happened; or it is an
    import mutation without any visible trace, which is lost when the process dies before it is
    written down.
    """
    if true.before is None and true.after is None:
        return True
    believed = _believed(ledger, true)
    place = (true.change.scope, true.change.key, true.source)
    return any(
        other.at >= true.at
        and place == (other.change.scope, other.change.key, other.source)
        and other.after == believed
        for other in played.infisical.changes
    )


def _believed(ledger: Ledger, true: TrueChange) -> Sighting | None:
    """What the ledger believed of the changed key."""
    folder = true.change.scope.folder
    for part, held in ledger.belief.items():
        if (
            part.source == true.source
            and part.scope.covers(folder)
            and (part.source or part.folder == folder)
        ):
            return held.body.sightings.get(true.change.key)
    return None


def _ledger_at(played: Played, at: float) -> Ledger | None:
    born = max((birth for birth in played.births if birth <= at), default=0.0)
    stored = [entry.ledger for entry in played.cluster.ledgers if born <= entry.at <= at]
    return stored[-1] if stored else None


def _superfluous(played: Played) -> Iterator[str]:
    """No workload is restarted without a change, and none twice for the same revision."""
    for name in WORKLOADS:
        uids = {standing.uid for standing in played.standings[name]}
        for uid in uids:
            rollouts = [r for r in played.cluster.rollouts if r.uid == uid]
            stamps = [r.subscription_stamp for r in rollouts]
            if len(stamps) != len(set(stamps)):
                yield f"twice: {name} was restarted twice for one of {stamps}"
            allowance = _allowance(played, name)
            for number, rollout in enumerate(rollouts, start=1):
                causes = {
                    c.at for c in played.infisical.changes if c.at <= rollout.at and _may_concern(played, c)
                }
                if number > len(causes) + allowance:
                    told = f"{number} restarts by {rollout.at:.2f} for {len(causes)} changes"
                    yield f"superfluous: {name} had {told}"


def _may_concern(played: Played, true: TrueChange) -> bool:
    return any(select(selectors_of(entry.spec), (true.change,)).selected for entry in played.specs)


def _allowance(played: Played, name: str) -> int:
    """What cannot be avoided: late or doubled import claims, and a workload or scope that just appeared."""
    claims = sum(c.change.types == _IMPORT for c in played.infisical.changes)
    appeared = len(played.standings[name]) - 1 + len(played.specs) - 1 + len(played.births)
    return 2 * claims + appeared


def _unsettled(played: Played) -> Iterator[str]:
    """After quiet, the belief is the state and nothing is owed."""
    stored = played.cluster.ledgers[-1].ledger if played.cluster.ledgers else None
    if stored is None:
        yield "unsettled: no ledger was ever stored"
        return
    if stored.debts:
        yield f"unsettled: still owed: {stored.debts}"
    scopes = scopes_of(played.specs[-1].spec)
    if stored.scopes != scopes:
        yield f"unsettled: the ledger covers {stored.scopes}"
        return
    truth = {part: body for scope in scopes for part, body in played.infisical.past[-1].parts(scope).items()}
    belief = {part: held.body for part, held in stored.belief.items() if held.body != NOTHING}
    if belief != truth:
        yield f"unsettled: believed {_short(belief)}, true {_short(truth)}"


def _unobserved(played: Played) -> Iterator[str]:
    """The belief of a part never holds what was not there, and never goes back."""
    reached: dict[tuple[str, Part], int] = {}
    for entry in played.cluster.ledgers:
        for part, held in entry.ledger.belief.items():
            if not is_covered(part, entry.ledger.scopes):
                yield f"unobserved: {part} is believed outside of the scope at {entry.at:.2f}"
            place = (entry.ledger.epoch, part)
            index = _latest_index(played.infisical.past, part, held.body, entry.at)
            if index is None:
                yield f"unobserved: {part} was never {held.body.encode()} (believed at {entry.at:.2f})"
            elif index < reached.get(place, 0):
                yield f"regress: the belief of {part} went back at {entry.at:.2f}"
            else:
                first = _first_index(played.infisical.past, part, held.body)
                reached[place] = max(reached.get(place, 0), first)


def _unfounded(played: Played) -> Iterator[str]:
    """What is newly owed was seen to change between this belief and the one before, or was claimed."""
    for before, entry in itertools.pairwise(played.cluster.ledgers):
        old, new = before.ledger, entry.ledger
        if old.epoch != new.epoch:
            continue
        owed = {debt.uid: set(debt.changes) for debt in old.debts}
        for debt in new.debts:
            if not all(any(s.overlaps(c.scope) for s in new.scopes) for c in debt.changes):
                yield f"unfounded: {debt} is owed outside of the scope at {entry.at:.2f}"
            if debt.seq == new.seq > old.seq:
                for change in set(debt.changes) - owed.get(debt.uid, set()):
                    if not _is_founded(change, old, new):
                        yield f"unfounded: {change} is owed to {debt.name} at {entry.at:.2f}"


def _is_founded(change: Change, old: Ledger, new: Ledger) -> bool:
    """Whether some part of that place differs in that key; one change may stand for an own and an import."""
    if change.key == ANY_KEY:
        return change.types == _IMPORT
    for part in old.belief.keys() | new.belief.keys():
        is_import = part.source is not None
        was_covered = part in old.belief or is_covered(part, old.scopes) or is_import
        is_kind = bool(change.types & _IMPORT) if is_import else change.types != _IMPORT
        before, after = old.believed(part).body, new.believed(part).body
        if (
            part.scope.overlaps(change.scope)
            and is_kind
            and was_covered
            and _differs(before, after, change.key)
        ):
            return True
    return False


def _differs(before: Body, after: Body, key: str) -> bool:
    return before.rank != after.rank or before.sightings.get(key) != after.sightings.get(key)


def _latest_index(past: list[Snapshot], part: Part, body: Body, at: float) -> int | None:
    found = [n for n, s in enumerate(past) if s.at <= at and s.parts(part.scope).get(part, NOTHING) == body]
    return found[-1] if found else None


def _first_index(past: list[Snapshot], part: Part, body: Body) -> int:
    return next(n for n, s in enumerate(past) if s.parts(part.scope).get(part, NOTHING) == body)


def _short(parts: Mapping[Part, Body]) -> dict[str, str]:
    return {str(part): body.encode() for part, body in parts.items()}
