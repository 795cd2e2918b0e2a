"""Cases that no client can tell apart: a server that lies costs a restart too many, and never one too few."""

import itertools

from infisical_events.core.paths.scopes import Folder, Scope
from simulation.infisical_model import Loss
from simulation.run import RunRecord

_AT_ONCE = 60.0
"""Seconds in which faults meet: a read may be as late as that before it is believed."""

_READ_AGAIN = 15.0
"""Seconds in which a read that began while a folder was not found is stored."""


def is_unavoidable(record: RunRecord, broken: list[str]) -> bool:
    """Whether it is a case that no client can tell apart: no loss, but one or two restarts too many.

    A late event of an earlier delete or create, received together with a stale read of that time, looks
    like the same change again. So do events that report the deletion of every known key of a folder which
    the server wrongly does not find, while it has a new key. And a folder that the server does not find from
    the beginning may not exist yet: its keys are creates when it is found.
    """
    is_deceived = _is_late_and_stale(record) or any(
        _is_unknown(record, loss)
        or any(
            _is_emptied(record, loss, folder)
            for folder in record.infisical.past[-1].folders
            if Scope(loss.folder, recursive=True).covers(folder)
        )
        for loss in record.infisical.losses
    )
    return is_deceived and all(
        text.startswith(("regress", "superfluous")) or (text.startswith("unobserved") and "[0,{}]" in text)
        for text in broken
    )


def _is_unknown(record: RunRecord, loss: Loss) -> bool:
    """Whether a baseline, or a wider scope, was stored while reads did not find the folder."""
    for subject in record.subjects:
        known: tuple[object, ...] = ()
        for entry in record.cluster.ledgers:
            if entry.subscription not in subject.uids:
                continue
            before, known = known, (entry.ledger.epoch, entry.ledger.scopes)
            if before != known and loss.since <= entry.at <= loss.until + _READ_AGAIN:
                return True
    return False


def _is_late_and_stale(record: RunRecord) -> bool:
    """Whether an event came late or twice, and a read lagged, at about the same time."""
    injected = record.faults.injected if record.faults else []
    stale = [at for at, name in injected if name == "stale_read"]
    late = [at for at, name in injected if name in {"late_event", "duplicate_event"}]
    return any(abs(one - other) <= _AT_ONCE for one, other in itertools.product(stale, late))


def _is_emptied(record: RunRecord, loss: Loss, folder: Folder) -> bool:
    """Whether all keys that a lost folder had were deleted by then, by events, and it has another one."""
    before, *after = _ids_during(record, loss, folder)
    deleted = {
        each.before.id
        for each in record.infisical.changes
        if each.change.scope.folder == folder
        and each.before is not None
        and each.after is None
        and loss.since - _AT_ONCE <= each.at <= loss.until
    }
    return bool(before) and before <= deleted and any(ids - before for ids in after)


def _ids_during(record: RunRecord, loss: Loss, folder: Folder) -> list[frozenset[str]]:
    """The ids of a folder's keys a while before reads did not find it, and in all states until they did."""
    past = record.infisical.past
    known = max((n for n, state in enumerate(past) if state.at <= loss.since - _AT_ONCE), default=0)
    states = [state.folders.get(folder, {}) for state in past[known:] if state.at <= loss.until]
    return [frozenset(secret.id for secret in held.values()) for held in states]
