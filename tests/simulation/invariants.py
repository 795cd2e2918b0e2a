"""The invariants: what must be true of every history, whatever went wrong in it.

The last of them is eventual stability, as Anvil (OSDI 2024) states it: once nothing changes and nothing
fails any more, the system reaches its goal, and from then on leaves it alone.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from infisical_events.api.annotations import revision_key
from infisical_events.api.specs import Action, EventType, Grade
from infisical_events.core.ledger.ledger import Ledger, PendingRestart, revision_of
from infisical_events.core.paths.scopes import scopes_of
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.selectors import select, selectors_of
from infisical_events.core.snapshots.snapshots import (
    ABSENT,
    Partition,
    PartitionState,
    SecretVersion,
    is_covered,
)
from simulation.adversary import STRANGER
from simulation.cluster_model import Rollout, StoredLedger
from simulation.environment import WORKLOADS
from simulation.field_invariants import field_violations
from simulation.generation_invariants import generation_violations, was_denied
from simulation.histories import TROUBLE_SECONDS
from simulation.infisical_model import StoredState, TrueChange
from simulation.restart_invariants import excuse, may_stay_pending, missing, restart_violations
from simulation.run import MAIN, QUIET_SECONDS, RunRecord, SpecInForce, Subject

BOUND = 280.0
"""Seconds from the end of all trouble within which every restart is made and nothing is written any more.

An interval (60 s), a horizon (60 s) and another interval for what was suspect, and a minute's backoff, with
their jitter and the pauses of looks and settlements.
"""

_RACE = 15.0
"""Seconds: what happened longer ago than this was known to whoever listed; a slow call takes 5 s."""

_LONGER_THAN_A_ROUND = 2.5
"""Seconds: whoever appeared so long ago was listed while others still waited."""

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


def violations(record: RunRecord) -> list[str]:
    """Every broken invariant as a sentence; empty for a history that went well."""
    return [
        *record.errors,
        *_lost(record),
        *_not_pending(record),
        *_unstable(record),
        *field_violations(record),
        *generation_violations(record),
        *(() if record.environment.is_plain else restart_violations(record)),
        *(broken for subject in record.subjects for broken in _violations_of(record, subject)),
    ]


def _violations_of(record: RunRecord, subject: Subject) -> Iterator[str]:
    ledgers = [entry for entry in record.cluster.ledgers if entry.subscription in subject.uids]
    yield from _superfluous(record, subject)
    yield from _not_final(record, subject, ledgers)
    yield from _blinded(record, subject, ledgers)
    yield from _unobserved(record, ledgers)
    yield from _unfounded(record, subject, ledgers)


# -- nothing is lost ------------------------------------------------------------------------------


def _lost(record: RunRecord) -> Iterator[str]:
    """A change that matches a workload is followed by a restart of it, by any subscription."""
    for subject, name in itertools.product(record.subjects, WORKLOADS):
        workloads = record.workloads[name]
        if not workloads or subject.name not in workloads[-1].opted_in:
            continue
        since = _since(record, subject, name)
        due = [
            c
            for c in record.infisical.changes
            if (c.at > since or _is_joined(record, subject, since, c)) and _must_be_found(record, subject, c)
        ]
        if not due:
            continue
        last = due[-1]
        if record.environment.workload(name).secrets and subject.spec.action is not Action.RESTART:
            yield from missing(record, subject, name, due)
            continue
        until = max(last.at, TROUBLE_SECONDS) + BOUND + record.environment.patience
        after = [
            r for r in record.cluster.rollouts if r.uid == workloads[-1].uid and last.at <= r.at <= until
        ]
        is_replaced = bool(after) or _is_replaced_by_others(record, workloads[-1].uid, last.at)
        if not is_replaced and not excuse(record, subject, name, last, None):
            yield f"lost: {name} was not restarted after {last.change} at {last.at:.2f} ({subject.name})"


def _is_joined(record: RunRecord, subject: Subject, since: float, true: TrueChange) -> bool:
    """Whether a workload that appeared then has to join a change for which others waited, and went on to."""
    if subject.spec.action is Action.RESTART or not _is_calm(record, since - _RACE, since + _RACE):
        return False
    ledgers = [_ledger_at(record, subject, at) for at in (since, since + _LONGER_THAN_A_ROUND)]
    return all(
        ledger is not None
        and any(
            pending.unconfirmed is None and not pending.is_requested and _is_for(pending, true)
            for pending in ledger.pending
        )
        for ledger in ledgers
    )


def _is_for(pending: PendingRestart, true: TrueChange) -> bool:
    place = true.change.scope, true.change.key
    return any((change.scope, change.key) == place for change in pending.changes)


def _is_calm(record: RunRecord, since: float, until: float) -> bool:
    """Whether one process remembers the workloads of all that time, and nothing fails."""
    alive = [life for life in record.lifetimes if life.begun < until and life.ended > since]
    is_served = len(alive) == 1 and alive[0].begun < since and alive[0].ended > until
    injected = record.faults.injected if record.faults else []
    is_refused = any(each.since < until and each.until > since for each in record.adversary.refused)
    return is_served and not (is_refused or any(since < at < until for at, _ in injected))


def _is_replaced_by_others(record: RunRecord, uid: str, since: float) -> bool:
    """Whether another operator, or a template whose revisions somebody removes, has replaced the pods."""
    is_meddled = bool(record.adversary.stripped) or record.adversary.count_taken_back(uid) > 0
    rolls = (roll for roll in record.cluster.pods.rolls[uid] if is_meddled or roll.by == STRANGER)
    return any(roll.at >= since and roll.kept_since is None for roll in rolls)


def _since(record: RunRecord, subject: Subject, name: str) -> float:
    """Since when the subscription has matched the workload without a break."""
    last = record.workloads[name][-1]
    runs = itertools.takewhile(
        lambda workload_in_force: (
            workload_in_force.uid == last.uid and subject.name in workload_in_force.opted_in
        ),
        reversed(record.workloads[name]),
    )
    return min(workload_in_force.at for workload_in_force in runs)


def _must_be_found(record: RunRecord, subject: Subject, true: TrueChange) -> bool:
    """Selected by every spec from then on, inside the baseline of that moment, and not undone since."""
    ledger = _ledger_at(record, subject, true.at)
    later = [entry for entry in subject.specs if entry.at > true.at]
    before = [entry for entry in subject.specs if entry.at <= true.at]
    in_force = [*before[-1:], *later]
    if ledger is None or not all(select(selectors_of(s.spec), (true.change,)).selected for s in in_force):
        return False
    if not all(_can_show(entry.spec.observe, true) for entry in in_force) or _is_other_version(
        in_force, true
    ):
        return False
    folder = true.change.scope.folder
    later_creations = [created_at for created_at in subject.creation_times if created_at >= true.at]
    if later_creations:  # what changes before a recreated subscription has its baseline is swallowed
        return False
    ledgers = [ledger, *(e.ledger for e in _ledgers_of(record, subject) if e.at > true.at)]
    if not all(any(scope.covers(folder) for scope in one.scopes) for one in ledgers):
        return False
    if any(one.header.grade is Grade.EVENTS for one in ledgers):
        return False
    return not _may_cancel(record, true, ledger)


def _is_other_version(specs: Iterable[SpecInForce], true: TrueChange) -> bool:
    """Whether only the version is another one, and some spec compares values."""
    is_same = _has_same_value(true.before, true.after)
    return is_same and any(entry.spec.observe is Grade.VALUES for entry in specs)


def _has_same_value(one: SecretVersion | None, other: SecretVersion | None) -> bool:
    return bool(one and other and one.digest) and one.id == other.id and one.digest == other.digest


def _can_show(grade: Grade | None, true: TrueChange) -> bool:
    """Whether a read in that mode shows the change: a value that changed alone has no version."""
    is_by_value = true.before and true.after and _version(true.before) == _version(true.after)
    return grade is not Grade.EVENTS and (grade is Grade.VALUES or not is_by_value)


def _version(secret_version: SecretVersion) -> tuple[str, int]:
    return secret_version.id, secret_version.version


def _may_cancel(record: RunRecord, true: TrueChange, ledger: Ledger) -> bool:
    """What no two observations can tell apart may lead to one restart or to none.

    The key was, then or later, as the ledger accepted it to be when the change happened; or it is an
    import mutation without any visible trace, which is lost when the process dies before it is
    written down; or its value changed while the ledger did not know it.
    """
    if true.before is None and true.after is None:
        return True
    current = _accepted_version(ledger, true)
    if current and true.after and current.agrees(true.after):
        return True
    place = (true.change.scope, true.change.key, true.source)
    return any(
        other.at >= true.at
        and place == (other.change.scope, other.change.key, other.source)
        and _is_same(other.after, current)
        for other in record.infisical.changes
    )


def _is_same(one: SecretVersion | None, other: SecretVersion | None) -> bool:
    return one.agrees(other) if one and other else one is other


def _accepted_version(ledger: Ledger, true: TrueChange) -> SecretVersion | None:
    """The version of the changed key that the ledger has accepted."""
    folder = true.change.scope.folder
    for part, held in ledger.accepted.items():
        if (
            part.source == true.source
            and part.scope.covers(folder)
            and (part.source or part.folder == folder)
        ):
            return held.state.versions.get(true.change.key)
    return None


def _ledgers_of(record: RunRecord, subject: Subject) -> list[StoredLedger]:
    return [entry for entry in record.cluster.ledgers if entry.subscription in subject.uids]


def _ledger_at(record: RunRecord, subject: Subject, at: float) -> Ledger | None:
    born = max((created_at for created_at in subject.creation_times if created_at <= at), default=0.0)
    stored = [entry.ledger for entry in _ledgers_of(record, subject) if born <= entry.at <= at]
    return stored[-1] if stored else None


# -- nothing is done twice, or for nothing ------------------------------------------------------------


def _superfluous(record: RunRecord, subject: Subject) -> Iterator[str]:
    """No workload is restarted without a change, or twice for one revision."""
    is_blind = any(entry.spec.observe is Grade.EVENTS for entry in subject.specs)
    is_blind |= any(each.ledger.header.grade is Grade.EVENTS for each in _ledgers_of(record, subject))
    for name in WORKLOADS:
        for uid in {workload_in_force.uid for workload_in_force in record.workloads[name]}:
            rollouts = [r for r in _rollouts_of(record, subject) if r.uid == uid]
            stamps = [r.subscription_stamp for r in rollouts]
            if len(stamps) != len(set(stamps)):
                yield f"twice: {name} was restarted twice for one of {stamps}"
            allowance = _allowance(record, subject, name) + _belated(record, subject, uid)
            allowance += record.adversary.count_taken_back(uid)
            for number, rollout in enumerate(rollouts, start=1):
                causes = {
                    c.at for c in record.infisical.changes if c.at <= rollout.at and _may_concern(subject, c)
                }
                if number > len(causes) + allowance and not is_blind:
                    text = f"{number} restarts by {rollout.at:.2f} for {len(causes)} changes"
                    yield f"superfluous: {name} had {text} ({subject.name})"


def _rollouts_of(record: RunRecord, subject: Subject) -> list[Rollout]:
    key = revision_key(subject.name)
    return [rollout for rollout in record.cluster.rollouts if rollout.subscription_stamp[0] == key]


def _may_concern(subject: Subject, true: TrueChange) -> bool:
    if all(entry.spec.observe is Grade.VALUES for entry in subject.specs) and _is_other_version(
        subject.specs, true
    ):
        return False
    return any(select(selectors_of(entry.spec), (true.change,)).selected for entry in subject.specs)


def _allowance(record: RunRecord, subject: Subject, name: str) -> int:
    """The unavoidable restarts: late or doubled import events, and a new workload or scope."""
    import_events = sum(c.change.types == _IMPORT for c in record.infisical.changes)
    workloads = record.workloads[name]
    appeared = len(workloads) - (bool(workloads) and workloads[0].at == 0.0)
    return 2 * import_events + appeared + len(subject.specs) - 1 + len(subject.creation_times)


def _belated(record: RunRecord, subject: Subject, uid: str) -> int:
    """How many restarts were made before the Secrets were synced, and are pending a second time."""
    late = (
        pending
        for entry in _ledgers_of(record, subject)
        for pending in entry.ledger.pending
        if pending.unconfirmed
    )
    return len({pending.seq for pending in late if pending.uid == uid})


def _not_pending(record: RunRecord) -> Iterator[str]:
    """Every restart was stored as pending for that workload before, and not covered by another one."""
    for subject in record.subjects:
        for rollout in _rollouts_of(record, subject):
            pending = _pending_of(record, subject, rollout)
            if pending is None:
                yield f"not pending: {rollout.name} was restarted at {rollout.at:.2f} and no ledger had it"
                continue
            if subject.spec.action is not Action.RESTART:  # then the content of its Secrets decides
                continue
            if record.jumps or record.adversary.stamped:  # the recorded times are of other clocks
                continue
            others = [
                other
                for other in record.cluster.rollouts
                if other.uid == rollout.uid
                and other.subscription_stamp[0] != rollout.subscription_stamp[0]
                and other.at < rollout.at
                and other.recorded_at > pending.since
            ]
            if others:
                yield (
                    f"covered: {rollout.name} was restarted at {rollout.at:.2f} by {subject.name}, "
                    f"and by another subscription at {others[-1].at:.2f} for the same"
                )


def _pending_of(record: RunRecord, subject: Subject, rollout: Rollout) -> PendingRestart | None:
    """The pending restart that the revision of a restart names."""
    for entry in reversed(_ledgers_of(record, subject)):
        for pending in entry.ledger.pending:
            is_it = revision_of(entry.ledger.epoch, pending.seq) == rollout.subscription_stamp[1]
            if entry.at <= rollout.at and pending.uid == rollout.uid and is_it:
                return pending
    return None


# -- the ledger ---------------------------------------------------------------------------------------


def _not_final(record: RunRecord, subject: Subject, ledgers: list[StoredLedger]) -> Iterator[str]:
    """After the quiet time, the accepted state is the true state and no restart is pending."""
    stored = ledgers[-1].ledger if ledgers else None
    if stored is None:
        yield f"not final: no ledger was ever stored ({subject.name})"
        return
    for pending in stored.pending:
        if not may_stay_pending(record, subject, pending.name):
            yield f"not final: still pending: {pending}"
    scopes = scopes_of(subject.spec)
    if stored.scopes != scopes:
        yield f"not final: the ledger covers {stored.scopes}"
        return
    if stored.header.grade is not (subject.spec.observe or Grade.VERSIONS):
        yield f"not final: observed by {stored.header.grade}"
    accepted = {part: held.state for part, held in stored.accepted.items() if held.state != ABSENT}
    truth = expected_state(record, subject)
    if accepted != truth:
        yield f"not final: accepted {_short(accepted)}, true {_short(truth)}"


def _blinded(record: RunRecord, subject: Subject, ledgers: list[StoredLedger]) -> Iterator[str]:
    """Events alone are gone by only where a spec asks for it, or Infisical itself has denied the list."""
    is_asked = any(entry.spec.observe is Grade.EVENTS for entry in subject.specs)
    for entry in ledgers if not is_asked else ():
        if entry.ledger.header.grade is Grade.EVENTS and not was_denied(record, entry.at):
            yield f"blinded: the state is given up at {entry.at:.2f} without a denied permission"
            return


def expected_state(record: RunRecord, subject: Subject) -> Mapping[Partition, PartitionState]:
    """The state that the subscription must have accepted in the end."""
    if subject.spec.observe is Grade.EVENTS:
        return {}
    state, by_value = record.infisical.past[-1], subject.spec.observe is Grade.VALUES
    scopes = scopes_of(subject.spec)
    return {
        part: body for scope in scopes for part, body in state.partitions(scope, with_values=by_value).items()
    }


def _unobserved(record: RunRecord, ledgers: list[StoredLedger]) -> Iterator[str]:
    """The accepted state of a partition was true at some time, and never goes back."""
    reached: dict[tuple[str, Partition], int] = {}
    for entry in ledgers:
        for part, held in entry.ledger.accepted.items():
            if not is_covered(part, entry.ledger.scopes):
                yield f"unobserved: {part} is accepted outside of the scope at {entry.at:.2f}"
            place = (entry.ledger.epoch, part)
            index = _latest_index(record.infisical.past, part, held.state, entry.at)
            if index is None:
                yield f"unobserved: {part} was never {held.state.encode()} (accepted at {entry.at:.2f})"
            elif index < reached.get(place, 0):
                yield f"regress: the accepted state of {part} went back at {entry.at:.2f}"
            else:
                first = _first_index(record.infisical.past, part, held.state)
                reached[place] = max(reached.get(place, 0), first)


def _unfounded(record: RunRecord, subject: Subject, ledgers: list[StoredLedger]) -> Iterator[str]:
    """A new pending restart has a change between two accepted states, or an import event."""
    for before, entry in itertools.pairwise(ledgers):
        old, new = before.ledger, entry.ledger
        if old.epoch != new.epoch:
            continue
        pending_changes = {
            pending.uid: set(pending.changes)
            for pending in old.pending
            if not _was_done(record, subject, old.epoch, pending, entry.at - _RACE)
        }
        for pending in new.pending:
            if not all(any(s.overlaps(c.scope) for s in new.scopes) for c in pending.changes):
                yield f"unfounded: {pending} is pending outside of the scope at {entry.at:.2f}"
            if (
                pending.seq == new.seq > old.seq
                and pending.unconfirmed is None
                and not (pending.reverts or old.unlisted)  # it was found before
                and old.header.grade is not Grade.EVENTS
            ):
                for change in set(pending.changes) - pending_changes.get(pending.uid, set()):
                    if not _is_founded(change, old, new):
                        yield f"unfounded: {change} is pending for {pending.name} at {entry.at:.2f}"


def _was_done(record: RunRecord, subject: Subject, epoch: str, pending: PendingRestart, at: float) -> bool:
    """Whether a pending restart had long been made; one whose Secrets were not confirmed stays pending."""
    stamps = {revision_of(epoch, seq) for seq in range(pending.seq, pending.seq + 50)}
    rollouts = (r for r in _rollouts_of(record, subject) if not r.is_unconfirmed)
    return any(r.uid == pending.uid and r.subscription_stamp[1] in stamps and r.at <= at for r in rollouts)


def _is_founded(change: Change, old: Ledger, new: Ledger) -> bool:
    """Whether some part of that place differs in that key; one change may stand for an own and an import."""
    if change.key == ANY_KEY:
        return change.types == _IMPORT
    if new.header.grade is Grade.EVENTS:  # the accepted state of the last read is gone with it
        return True
    if old.scopes != new.scopes and change.types == _IMPORT:  # what a last look shows leaves with its scope
        return True
    for part in old.accepted.keys() | new.accepted.keys():
        is_import = part.source is not None
        was_covered = part in old.accepted or is_covered(part, old.scopes) or is_import
        before, after = old.accepted_for(part).state, new.accepted_for(part).state
        by_value = _is_by_value(before.versions.get(change.key), after.versions.get(change.key))
        is_kind = bool(change.types & _IMPORT) if is_import or by_value else change.types != _IMPORT
        if (
            part.scope.overlaps(change.scope)
            and is_kind
            and was_covered
            and _differs(before, after, change.key)
        ):
            return True
    return False


def _is_by_value(before: SecretVersion | None, after: SecretVersion | None) -> bool:
    return before is not None and after is not None and _version(before) == _version(after)


def _differs(before: PartitionState, after: PartitionState, key: str) -> bool:
    old, new = before.versions.get(key), after.versions.get(key)
    if _has_same_value(old, new):
        return before.rank != after.rank
    return before.rank != after.rank or not _is_same(old, new)


def _latest_index(past: list[StoredState], part: Partition, body: PartitionState, at: float) -> int | None:
    found = [
        n
        for n, s in enumerate(past)
        if s.at <= at and body.agrees(s.partitions(part.scope).get(part, ABSENT))
    ]
    return found[-1] if found else None


def _first_index(past: list[StoredState], part: Partition, body: PartitionState) -> int:
    return next(n for n, s in enumerate(past) if body.agrees(s.partitions(part.scope).get(part, ABSENT)))


def _short(parts: Mapping[Partition, PartitionState]) -> dict[str, str]:
    return {str(part): body.encode() for part, body in parts.items()}


# -- quiet ----------------------------------------------------------------------------------------------


def _unstable(record: RunRecord) -> Iterator[str]:
    """After the quiet time, no workload and no ledger is written any more."""
    quiet = TROUBLE_SECONDS + BOUND + record.environment.patience
    if quiet >= TROUBLE_SECONDS + QUIET_SECONDS + record.environment.patience:
        raise AssertionError("the runs are too short to tell")
    for rollout in record.cluster.rollouts:
        if rollout.at > quiet and not _is_synced_late(record, rollout.at):
            yield f"unstable: {rollout.name} was restarted at {rollout.at:.2f}"
    before: dict[str, Ledger] = {}
    for entry in record.cluster.ledgers:
        is_expected = _ends_watch(before.get(entry.subscription), entry.ledger)
        if entry.at > quiet and not (is_expected or _is_synced_late(record, entry.at)):
            yield f"unstable: a ledger was written at {entry.at:.2f}"
        before[entry.subscription] = entry.ledger


def _is_synced_late(record: RunRecord, at: float) -> bool:
    """Whether a source that cannot be asked has just synced by its own interval."""
    return any(
        at - _RACE * 4 <= write.at <= at and not write.is_ours for write in record.cluster.secret_writes
    )


def _ends_watch(before: Ledger | None, after: Ledger) -> bool:
    """Whether the write only ends the wait for a provider that never acknowledges."""
    if before is None:
        return False
    left = tuple(
        pending for pending in before.pending if not pending.is_confirmation_only or pending in after.pending
    )
    return left != before.pending and replace(before, pending=left) == after


def final_accepted_state(record: RunRecord) -> Mapping[str, str]:
    """The accepted state of the main subscription in the end."""
    (main,) = (subject for subject in record.subjects if subject.name == MAIN)
    ledger = _ledgers_of(record, main)[-1].ledger
    return {str(part): held.state.encode() for part, held in ledger.accepted.items() if held.state != ABSENT}
