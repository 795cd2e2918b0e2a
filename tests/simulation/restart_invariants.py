"""The invariants of the restart order: sync before restart, one restart, in order, within budgets.

They use the journal of the cluster, the syncs of the writers and the lifetimes of the pods, and not what an
operator reports.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from infisical_events.api.annotations import resync_key, revision_key
from infisical_events.api.resources import INFISICAL_SECRET
from infisical_events.api.specs import Action, OnFailure, OnTimeout, Order, Spec
from infisical_events.core.ledger.ledger import Ledger, PendingRestart, is_revision_at_least
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.snapshots import ABSENT, Partition
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from simulation.adversary import BY_HAND
from simulation.cluster_model import Asked, Rollout, SecretWrite
from simulation.environment import ManagedPlan, WriterPlan
from simulation.histories import TROUBLE_SECONDS
from simulation.infisical_model import TrueChange
from simulation.pods import PROGRESS_DEADLINE
from simulation.run import FOREIGN, QUIET_SECONDS, RunRecord, Subject
from simulation.secret_writers import ANSWERS_WITHIN
from support.virtual_time import EPOCH

_AT_LAST = 1e9
"""Seconds: after all that happens."""

_LATE = 12.0
"""Seconds by which a write may come late: a slow call, and a slow answer before it."""

_FOUND_AGAIN = 65.0
"""Seconds until the next full read, after which a Secret that was rejected is written."""

_IN_FLIGHT = 0.5
"""Seconds after the end of a process in which others do not know its last write."""

_POLLED_WITHIN = 2.0
"""Seconds from an acknowledgement to the restart, if nothing else is waited for."""

WAS_FIRST = 10.0
"""Seconds that a source which never answers is given to move again, as `docs/resync.md` tells."""

GIVEN_UP_AFTER = 2
"""Removed sync requests after which a source counts as one that cannot be asked, as `docs/field.md` tells."""

REFUSED_FOR = 40.0
"""Seconds of refused sync requests, with their growing pauses, after which none is sent for an hour."""

_SLOW = frozenset({"slow_call", "late_write"})


def restart_violations(record: RunRecord) -> Iterator[str]:
    """Every broken invariant as a sentence."""
    yield from _unfresh(record)
    yield from _repeated(record)
    yield from _hurried(record)
    yield from _crowded(record)
    yield from _out_of_order(record)
    yield from _halted(record)
    yield from _overspent(record)
    yield from _mismanaged(record)


# -- what was ------------------------------------------------------------------------------------------


def rollouts_of(record: RunRecord, subject: Subject) -> list[Rollout]:
    """The restarts that were made for a subscription."""
    key = revision_key(subject.name)
    return [rollout for rollout in record.cluster.rollouts if rollout.subscription_stamp[0] == key]


def _epoch_and_seq(rollout: Rollout) -> tuple[str, int]:
    epoch, _, seq = rollout.subscription_stamp[1].rpartition(".")
    return epoch, int(seq)


def pending_of(record: RunRecord, subject: Subject, rollout: Rollout) -> tuple[PendingRestart, Ledger] | None:
    """The pending restart behind a restart, and the first ledger that had it.

    Its changes are those that were left at the restart: an edit of the spec gives up those of folders that
    are not watched any more, and nothing waits for their Secrets.
    """
    epoch, seq = _epoch_and_seq(rollout)
    found = [
        (pending, ledger)
        for ledger in _ledgers_at(record, subject, rollout.at)
        for pending in ledger.pending
        if (ledger.epoch, pending.uid, pending.seq) == (epoch, rollout.uid, seq)
    ]
    if not found:
        return None
    (first, ledger), (last, _) = found[0], found[-1]
    return replace(first, changes=last.changes), ledger


def _ledgers_at(record: RunRecord, subject: Subject, at: float) -> list[Ledger]:
    return [e.ledger for e in record.cluster.ledgers if e.subscription in subject.uids and e.at <= at]


def _content(record: RunRecord, name: str, *, at: float = 1e9, version: int = 10**9) -> SecretWrite | None:
    """The content of a Secret at a moment, or before the write with this version."""
    held = [w for w in record.cluster.secret_writes if w.name == name]
    return next((w for w in reversed(held) if w.at <= at and w.version < version), None)


def _own(content: Mapping[str, str]) -> dict[str, str]:
    """What is made from Infisical; a key that somebody edited and that is deleted there is left to them."""
    return {key: value for key, value in content.items() if key not in FOREIGN and value != BY_HAND}


def _seconds(pending: PendingRestart) -> float:
    return (pending.since - EPOCH).total_seconds()


def _was_injected(record: RunRecord, names: frozenset[str], since: float, until: float) -> bool:
    injected = record.faults.injected if record.faults else []
    return any(name in names and since <= at <= until for at, name in injected)


def _is_alone(record: RunRecord, at: float) -> bool:
    """Whether one operator alone could have written anything at that moment."""
    alive = [life for life in record.lifetimes if life.begun <= at < life.ended + _IN_FLIGHT]
    return len(alive) == 1 and not _was_injected(record, frozenset({"late_write"}), at - _LATE, at)


def _sources(record: RunRecord, name: str) -> Iterator[WriterPlan | ManagedPlan]:
    """The providers of a workload's Secrets; each subscription tracks those of all others."""
    used = record.environment.workload(name).secrets
    plans: list[WriterPlan | ManagedPlan] = [w for w in record.environment.writers if not w.is_foreign]
    plans += record.environment.managed
    return (plan for plan in plans if plan.name in used)


def _is_syncing(spec: Spec) -> bool:
    return spec.action is Action.RESYNC_THEN_RESTART


# -- fresh before restart ------------------------------------------------------------------------------


def _unfresh(record: RunRecord) -> Iterator[str]:
    """No template is patched before the Secrets have the change, or their writer has acknowledged."""
    for subject in record.subjects:
        for rollout in rollouts_of(record, subject):
            pending_entry = pending_of(record, subject, rollout)
            if (
                pending_entry is None
                or pending_entry[0].is_confirmation_only
                or pending_entry[0].reverts  # its Secrets were in sync when it was made before
                or not _is_syncing(subject.spec)
            ):
                continue  # what is watched is restarted because its content has moved again
            for plan in _sources(record, rollout.name):
                if not _is_fresh(record, subject, rollout, pending_entry, plan):
                    yield (
                        f"unfresh: {rollout.name} was restarted at {rollout.at:.2f} ({subject.name}) before "
                        f"Secret {plan.name} had {', '.join(map(str, pending_entry[0].changes))}"
                    )


def _is_fresh(
    record: RunRecord,
    subject: Subject,
    rollout: Rollout,
    pending_entry: tuple[PendingRestart, Ledger],
    plan: WriterPlan | ManagedPlan,
) -> bool:
    pending, ledger = pending_entry
    needed = _needed(record, pending, ledger, plan)
    held = _content(record, plan.name, version=rollout.version)
    if needed is None or (held is not None and _has_state(record, plan, held, needed)):
        return True
    if isinstance(plan, WriterPlan) and (
        _has_answered(record, subject, rollout, plan) or _seemed_first(record, subject, rollout, plan)
    ):
        return True
    if isinstance(plan, ManagedPlan) and (
        _is_rejected(record, plan, rollout.at) or _is_watched(record, subject, rollout)
    ):
        return True
    return is_overdue(record, subject, rollout, pending, plan)


def _is_watched(record: RunRecord, subject: Subject, rollout: Rollout) -> bool:
    """Whether the Secret is written by another subscription, and the restart is made again if it changes.

    Who does not write a Secret cannot know what its writer waits for. One that has accepted the change and
    has written nothing for 10 s has mostly found the same data, as `docs/resync.md` tells.
    """
    return subject is not record.subjects[0] and rollout.is_unconfirmed


def _needed(
    record: RunRecord, pending: PendingRestart, ledger: Ledger, plan: WriterPlan | ManagedPlan
) -> int | None:
    """Index of the state that the Secret must be made from; None if other folders have changed."""
    if not any(change.scope.overlaps(Scope(plan.folder)) for change in pending.changes):
        return None
    held = ledger.accepted.get(Partition.own(plan.folder))
    if held is None:
        return None
    past, scope, part = record.infisical.past, Scope(plan.folder), Partition.own(plan.folder)
    return next(
        (n for n, s in enumerate(past) if held.state.agrees(s.partitions(scope).get(part, ABSENT))), None
    )


def _has_state(record: RunRecord, plan: WriterPlan | ManagedPlan, held: SecretWrite, needed: int) -> bool:
    """Whether a Secret has the content of a state or of a later one; another version may have the same."""
    own_content = _own(held.content)
    is_equal = own_content == record.infisical.past[needed].content(plan.folder)
    return is_equal or _index(record, plan, held) >= needed


def has_state_since(record: RunRecord, plan: WriterPlan | ManagedPlan, needed: int) -> float:
    """When a Secret first had the content of a state or of a later one, in seconds; infinite if never."""
    held = (write for write in record.cluster.secret_writes if write.name == plan.name)
    return next((write.at for write in held if _has_state(record, plan, write, needed)), math.inf)


def _index(record: RunRecord, plan: WriterPlan | ManagedPlan, held: SecretWrite) -> int:
    """The newest state up to that write in which the folder had this content."""
    own_content = _own(held.content)
    past = record.infisical.past
    known = (n for n in reversed(range(len(past))) if past[n].at <= held.at)
    return next((n for n in known if past[n].content(plan.folder) == own_content), -1)


def _has_answered(record: RunRecord, subject: Subject, rollout: Rollout, plan: WriterPlan) -> bool:
    """Whether it was asked for this or later, and has synced since."""
    asked = [entry.at for entry in _asked_for(record, subject, rollout, plan)]
    if not asked:
        return False
    if plan.kind is INFISICAL_SECRET:  # its content is all that it says, whatever it had read by then
        writes = [w for w in record.cluster.secret_writes if w.name == plan.name]
        return any(w.at >= min(asked) and w.version < rollout.version for w in writes)
    if _answers_removal(record, rollout, plan):
        return True
    syncs = record.cluster.writers[plan.name].syncs
    return any(s.begun_at >= min(asked) and s.seen_at - ANSWERS_WITHIN <= rollout.at for s in syncs)


def _answers_removal(record: RunRecord, rollout: Rollout, plan: WriterPlan) -> bool:
    """Whether a sync that began before the request may have been taken for its answer.

    A client that removes a request starts a sync as well, behind the one that the request began. Nothing on
    the object shows it until it is acknowledged, like a requested one.
    """
    longest = 2 * (plan.takes + ANSWERS_WITHIN) + _POLLED_WITHIN
    removed = (each.at for each in record.adversary.unasked if each.uid == plan.name)
    return any(at <= rollout.at <= at + longest for at in removed)


def _seemed_first(record: RunRecord, subject: Subject, rollout: Rollout, plan: WriterPlan) -> bool:
    """Whether it never answers, had another content than the pods, and was given time to move again.

    One that cannot be asked gets no time: its content is all that it shows.
    """
    asked = _asked_for(record, subject, rollout, plan)
    before = [roll for roll in record.cluster.pods.rolls[rollout.uid] if roll.at < rollout.at]
    is_silent = plan.is_hidden or _is_given_up(record, plan)
    if not before or not (is_silent or (plan.kind is INFISICAL_SECRET and asked)):
        return False
    begun_with = _content(record, plan.name, at=before[-1].first_created_at)
    held = _content(record, plan.name, version=rollout.version)
    is_other = begun_with is not None and held is not None and begun_with.content != held.content
    had_time = is_silent or rollout.at >= min(entry.at for entry in asked) + WAS_FIRST
    return is_other and had_time


def _asked_for(
    record: RunRecord, subject: Subject, rollout: Rollout, plan: WriterPlan | ManagedPlan
) -> list[Asked]:
    """When the source was asked for this restart or a later one."""
    epoch, seq = _epoch_and_seq(rollout)
    return [
        entry
        for entry in record.cluster.asked
        if (entry.writer, entry.key) == (plan.name, resync_key(subject.name))
        and is_revision_at_least(entry.stamp, epoch, seq)
    ]


def is_overdue(
    record: RunRecord,
    subject: Subject,
    rollout: Rollout,
    pending: PendingRestart,
    plan: WriterPlan | ManagedPlan,
) -> bool:
    """Whether the source will never sync, or had its time and the spec says to restart all the same.

    The time is that of the operator's clock, by which all that it stores is.
    """
    if isinstance(plan, WriterPlan) and plan.is_unable:
        return True
    if subject.spec.resync.on_timeout is not OnTimeout.RESTART:
        return False
    made_at = (rollout.recorded_at - EPOCH).total_seconds()
    if any(_stored_at(record, subject, pending) <= at <= rollout.at for at in record.jumps):
        return True  # a time of the clock before the jump
    asked = [entry.since for entry in _asked_for(record, subject, rollout, plan)]
    since = min([_seconds(pending), *asked])
    is_own = isinstance(plan, ManagedPlan)  # its time does not pass while the server lets it wait
    waited = record.infisical.wait_within(since + _LATE, rollout.at - _LATE) if is_own else 0.0
    return made_at >= since + subject.spec.resync.timeout_seconds + waited


def _stored_at(record: RunRecord, subject: Subject, pending: PendingRestart) -> float:
    """When a ledger first had the pending restart: its own time is that of a clock which may have jumped."""
    return next(
        entry.at
        for entry in record.cluster.ledgers
        if entry.subscription in subject.uids
        and any((each.uid, each.seq) == (pending.uid, pending.seq) for each in entry.ledger.pending)
    )


def _is_rejected(record: RunRecord, plan: ManagedPlan, at: float) -> bool:
    """Whether its folder was not found, or its write was refused, so that it was not waited for."""
    lost = [
        until
        for folder, until in record.infisical.lost.items()
        if Scope(folder, recursive=True).covers(plan.folder)
    ]
    renamed = record.infisical.renamed.get(plan.folder.environment)
    untils = [*lost, *([] if renamed is None else [renamed])]
    is_missing = any(at <= until + _FOUND_AGAIN for until in untils)
    return is_missing or record.adversary.was_refused({"apply_secret"}, at - _FOUND_AGAIN, at)


# -- one restart -----------------------------------------------------------------------------------------


def _repeated(record: RunRecord) -> Iterator[str]:
    """No workload is restarted again with the contents that its pods started with."""
    for uid in record.cluster.pods.rolls:
        mine = [rollout for rollout in record.cluster.rollouts if rollout.uid == uid]
        for before, after in itertools.pairwise(mine):
            subject = _subject_of(record, after)
            plans = [*_sources(record, after.name)]
            pending_entry = pending_of(record, subject, after)
            if not (plans and pending_entry and _is_syncing(subject.spec) and _knows_all(before, after)):
                continue
            if any(is_overdue(record, subject, after, pending_entry[0], plan) for plan in plans):
                continue
            if _is_taken_back(record, before, after):
                continue
            same = all(_is_same_content(record, plan.name, before, after) for plan in plans)
            if same:
                yield (
                    f"repeated: {after.name} was restarted at {before.at:.2f} and at {after.at:.2f} with the "
                    f"same content ({subject.name})"
                )


def _is_taken_back(record: RunRecord, before: Rollout, after: Rollout) -> bool:
    """Whether the pod template lost the revision of a restart before the next one.

    Another client wrote it, or a policy stripped all revisions from a patch for another subscription. If this
    brings the template of before back, its controller keeps the pods that are still alive of it.
    """
    key, revision = before.subscription_stamp
    between = (roll for roll in record.cluster.pods.rolls[before.uid] if before.at < roll.at < after.at)
    return any(json.loads(roll.template).get(key) != revision for roll in between)


def _knows_all(before: Rollout, after: Rollout) -> bool:
    """Whether both restarts are of one subscription, so that the first could tell the second."""
    return before.subscription_stamp[0] == after.subscription_stamp[0]


def _is_same_content(record: RunRecord, name: str, before: Rollout, after: Rollout) -> bool:
    """Whether the Secret was written well before the first restart, and is equal at the second."""
    first, second = (_content(record, name, version=r.version) for r in (before, after))
    if first is None or second is None or first.content != second.content:
        return False
    return first.at < before.at - _LATE


def _subject_of(record: RunRecord, rollout: Rollout) -> Subject:
    key = rollout.subscription_stamp[0]
    return next(subject for subject in record.subjects if revision_key(subject.name) == key)


def _hurried(record: RunRecord) -> Iterator[str]:
    """Two restarts of a workload are a cooldown apart, by any subscription, over crashes as well."""
    for uid in record.cluster.pods.rolls:
        mine = [rollout for rollout in record.cluster.rollouts if rollout.uid == uid]
        for before, after in itertools.pairwise(mine):
            cooldown = _subject_of(record, after).spec.cooldown_seconds
            if any(before.at <= at <= after.at for at in record.jumps) or _is_stamped(record, uid):
                continue
            is_slow = _was_injected(record, _SLOW, before.at - _LATE, after.at)
            if after.at - before.at < cooldown - (_LATE if is_slow else 0.5):
                yield (
                    f"hurried: {after.name} was restarted at {before.at:.2f} and at {after.at:.2f}, and the "
                    f"cooldown is {cooldown} s"
                )


def _is_stamped(record: RunRecord, uid: str) -> bool:
    """Whether another client put its own restart record in place of ours."""
    return any(each.uid == uid for each in record.adversary.stamped)


# -- in order ----------------------------------------------------------------------------------------------


def _rolling(record: RunRecord, rollout: Rollout, by: str) -> list[str]:
    """Which other workloads, by uid, rolled out for the same subscription when this restart was made."""
    pods = record.cluster.pods
    found = []
    for uid in pods.rolls:
        newest = pods.newest(uid, rollout.at)
        if newest is None or newest.by != by or uid == rollout.uid:
            continue
        is_given_up = pods.has_failed_by(uid, newest, rollout.at)  # it may still come to a good end
        is_going = pods.progress(uid, rollout.at) is RolloutProgress.UNDER_WAY and not is_given_up
        if is_going and _is_there(record, uid):
            found.append(uid)
    return found


def _is_there(record: RunRecord, uid: str) -> bool:
    """Whether it was not deleted in the course of the run; a deleted one is not tracked."""
    return any(workloads and workloads[-1].uid == uid for workloads in record.workloads.values())


def _crowded(record: RunRecord) -> Iterator[str]:
    """No more than `maxConcurrent` roll out at a time."""
    for subject in record.subjects:
        most = subject.spec.rollout.max_concurrent
        for rollout in rollouts_of(record, subject) if most else ():
            rolling = _rolling(record, rollout, revision_key(subject.name))
            rolling = [uid for uid in rolling if _is_of_epoch(record, uid, rollout)]
            if most and len(rolling) >= most and _is_alone(record, rollout.at):
                yield (
                    f"crowded: {rollout.name} was restarted at {rollout.at:.2f} while {len(rolling)} others "
                    f"rolled out ({subject.name}: {most} at a time)"
                )


def _is_of_epoch(record: RunRecord, uid: str, rollout: Rollout) -> bool:
    """Whether the newest restart of another workload is in the same ledger."""
    before = [r for r in record.cluster.rollouts if r.uid == uid and r.at <= rollout.at]
    key = rollout.subscription_stamp[0]
    mine = [r for r in before if r.subscription_stamp[0] == key]
    return bool(mine) and _epoch_and_seq(mine[-1])[0] == _epoch_and_seq(rollout)[0]


def _out_of_order(record: RunRecord) -> Iterator[str]:
    """No wave begins while an earlier one has a restart that is pending or rolls out."""
    waves = {
        workload_in_force.uid: record.environment.workload(name).wave
        for name, workloads in record.workloads.items()
        for workload_in_force in workloads
    }
    for subject in record.subjects:
        if subject.spec.rollout.order is not Order.BY_WAVE:
            continue
        mine = rollouts_of(record, subject)
        for rollout in mine:
            if not _is_alone(record, rollout.at):
                continue
            earlier = {uid for uid, wave in waves.items() if wave < waves[rollout.uid]}
            rolling = _rolling(record, rollout, revision_key(subject.name))
            rolling = [uid for uid in rolling if uid in earlier and _is_of_epoch(record, uid, rollout)]
            skipped = [r.name for r in mine if r.uid in earlier and _was_due(record, subject, r, rollout)]
            if rolling or skipped:
                why = f"{', '.join(skipped)} was due" if skipped else "an earlier wave rolled out"
                yield f"out of order: {rollout.name} was restarted at {rollout.at:.2f}, and {why}"


def _was_due(record: RunRecord, subject: Subject, later: Rollout, rollout: Rollout) -> bool:
    """Whether a later restart was pending, and not paused, at the time of another one."""
    epoch, seq = _epoch_and_seq(later)
    ledgers = _ledgers_at(record, subject, rollout.at)
    all_pending = ledgers[-1].pending if ledgers and ledgers[-1].epoch == epoch else ()
    is_pending = any(
        (pending.uid, pending.seq) == (later.uid, seq) and pending.unconfirmed is None
        for pending in all_pending
    )
    is_held = later.name in record.held or _may_time_out(record, subject, later.name)
    is_held = is_held or any(
        isinstance(plan, ManagedPlan) and _is_rejected(record, plan, rollout.at)
        for plan in _sources(record, later.name)
    )
    return is_pending and later.at > rollout.at and not is_held


def _may_time_out(record: RunRecord, subject: Subject, name: str) -> bool:
    """Whether its own provider may have delayed it: then it blocks no other workload."""
    is_skipping = subject.spec.resync.on_timeout is OnTimeout.SKIP and _is_syncing(subject.spec)
    return is_skipping and any(True for _ in _sources(record, name))


def _halted(record: RunRecord) -> Iterator[str]:
    """While a rollout has failed, no other one begins until a person resumes or it completes."""
    pods = record.cluster.pods
    for subject in record.subjects:
        if subject.spec.rollout.on_failure is not OnFailure.HALT:
            continue
        mine = rollouts_of(record, subject)
        for failed, rollout in itertools.product(mine, mine):
            newest = pods.newest(failed.uid, rollout.at)
            halts_at = failed.at + PROGRESS_DEADLINE + 3.0
            is_failed = (
                failed.uid != rollout.uid
                and newest is not None
                and newest.version == failed.version
                and rollout.at > halts_at
                and pods.progress(failed.uid, rollout.at) is RolloutProgress.FAILED
                and pods.is_failing(failed.uid, halts_at - 3.0)
                and _epoch_and_seq(failed)[0] == _epoch_and_seq(rollout)[0]
                and _is_there(record, failed.uid)
                and not _is_failed_itself(record, rollout)
            )
            is_known = not _was_injected(record, _SLOW | {"api_error"}, halts_at - 3.0, rollout.at)
            is_resumed = any(failed.at < at <= rollout.at for at in record.resumed)
            if is_failed and is_known and not is_resumed and _is_alone(record, rollout.at):
                yield (
                    f"not halted: {rollout.name} restarted at {rollout.at:.2f}; {failed.name} has failed "
                    f"since {halts_at - 3.0:.2f} ({subject.name})"
                )


def _is_failed_itself(record: RunRecord, rollout: Rollout) -> bool:
    pods = record.cluster.pods
    before = [roll for roll in pods.rolls[rollout.uid] if roll.at < rollout.at]
    return bool(before) and pods.end_of(rollout.uid, before[-1]) > rollout.at


# -- budgets -------------------------------------------------------------------------------------------------


_START = 5.0
"""Seconds in which a process reads its subscriptions: until then it does not know of all rollouts."""


def _overspent(record: RunRecord) -> Iterator[str]:
    """No process makes more restarts a minute, or has more rolling out, than its budget."""
    environment = record.environment
    for number in range(1, len(record.lifetimes) + 1):
        made = [rollout for rollout in record.cluster.rollouts if rollout.process == number]
        for rollout in made:
            slack = _LATE if _was_injected(record, _SLOW, rollout.at - 60.0 - _LATE, rollout.at) else 0.5
            recent = [r for r in made if rollout.at - 60.0 + slack < r.at <= rollout.at]
            if environment.per_minute and len(recent) > environment.per_minute:
                yield f"overspent: process {number} {len(recent)} restarts in the minute to {rollout.at:.2f}"
            rolling = _rolling_of(record, rollout)
            # A second operator may have replaced the pending restart: then no ledger tracks its rollout.
            if (
                environment.most_rolling
                and len(rolling) >= environment.most_rolling
                and rollout.at > record.lifetimes[number - 1].begun + _START
                and _is_alone(record, rollout.at)
            ):
                yield (
                    f"overspent: process {number} restarted {rollout.name} at {rollout.at:.2f} while "
                    f"{len(rolling)} others rolled out for it"
                )


def _rolling_of(record: RunRecord, rollout: Rollout) -> set[str]:
    """The workloads that rolled out for the same process at another restart."""
    newest = {r.uid: r for r in record.cluster.rollouts if r.at < rollout.at}
    keys = {r.uid: r.subscription_stamp[0] for r in newest.values() if r.process == rollout.process}
    return {uid for uid, key in keys.items() if uid in _rolling(record, rollout, key)}


# -- Secrets that the operator writes ------------------------------------------------------------------------


def _mismanaged(record: RunRecord) -> Iterator[str]:
    """A Secret that is written here never goes back, ends as Infisical is, and leaves others' keys alone."""
    main = record.subjects[0]
    for plan in record.environment.managed:
        foreign = FOREIGN if plan.policy == "Merge" else {}
        writes = [w for w in record.cluster.secret_writes if w.name == plan.name and w.is_ours]
        for write in writes:
            if {key: write.content.get(key) for key in foreign} != foreign:
                yield f"mismanaged: {plan.name} lost the keys of another client at {write.at:.2f}"
            ledgers = _ledgers_at(record, main, write.at)
            held = ledgers[-1].accepted.get(Partition.own(plan.folder)) if ledgers else None
            if held is not None and not _is_as_new(record, plan, write, ledgers[-1]):
                yield f"mismanaged: {plan.name} at {write.at:.2f}: older than what was accepted"
        expected = record.infisical.past[-1].content(plan.folder) | foreign
        data = record.cluster.data_of(record.cluster.namespace, plan.name)
        if _own(data) | foreign != expected:
            yield f"mismanaged: {plan.name} has {dict(data)}, and Infisical {expected}"


def _is_as_new(record: RunRecord, plan: ManagedPlan, write: SecretWrite, ledger: Ledger) -> bool:
    accepted = ledger.accepted[Partition.own(plan.folder)].state
    past, scope, part = record.infisical.past, Scope(plan.folder), Partition.own(plan.folder)
    first = next((n for n, s in enumerate(past) if accepted.agrees(s.partitions(scope).get(part, ABSENT))), 0)
    is_late = _was_injected(record, _SLOW, write.at - _LATE, write.at)
    return is_late or _index(record, plan, write) >= first


# -- nothing is lost -----------------------------------------------------------------------------------------


def missing(record: RunRecord, subject: Subject, name: str, due: list[TrueChange]) -> Iterator[str]:
    """What the pods of a workload have not got in the end although nothing excuses it.

    `due` are the changes that had to be found, the newest last.
    """
    uid, pods = record.workloads[name][-1].uid, record.cluster.pods
    end = TROUBLE_SECONDS + QUIET_SECONDS + record.environment.patience
    # Pods of a workload that keeps failing are not replaced by any restart.
    oldest = pods.alive(uid, end)[-1 if pods.is_failing(uid, end) else 0]
    for plan in _sources(record, name):
        mine = [c for c in due if c.change.scope.folder == plan.folder and _has_other_value(c)]
        if not mine:
            continue
        begun_with = _content(record, plan.name, at=oldest.first_created_at)
        if begun_with is None and isinstance(plan, ManagedPlan):
            # The first content of a Secret counts as the one that its pods started with.
            begun_with = next((w for w in record.cluster.secret_writes if w.name == plan.name), None)
        expected = record.infisical.past[-1].content(plan.folder)
        own_content = _own(begun_with.content if begun_with else {})
        since = (state for state in record.infisical.past if state.at >= mine[-1].at)
        is_new = any(state.content(plan.folder) == own_content for state in since)
        if own_content != expected and not is_new and not excuse(record, subject, name, mine[-1], plan):
            yield (
                f"lost: the pods of {name} have {own_content} of {plan.name} in the end, and "
                f"{mine[-1].change} at {mine[-1].at:.2f} made it {expected} ({subject.name})"
            )


def _has_other_value(true: TrueChange) -> bool:
    """Whether Secrets get another content by a change: the same value written again is only a new version."""
    return not (true.before and true.after and true.before.has_same_value(true.after))


def is_pending(record: RunRecord, subject: Subject, name: str) -> bool:
    """Whether the last ledger has a pending restart of the workload."""
    uid = record.workloads[name][-1].uid
    ledgers = _ledgers_at(record, subject, 1e9)
    return bool(ledgers) and any(pending.uid == uid for pending in ledgers[-1].pending)


def excuse(
    record: RunRecord, subject: Subject, name: str, change: TrueChange, plan: WriterPlan | ManagedPlan | None
) -> str:
    """Why the pods may lack a change in the end: a choice of the spec, or a pending restart."""
    if is_pending(record, subject, name):
        return may_stay_pending(record, subject, name)
    if why := _taken_back_at_last(record, name):
        return why
    if record.adversary.is_unlisted_for_ever("Deployment"):
        return "its kind cannot be listed"
    if record.cluster.pods.is_failing(record.workloads[name][-1].uid, _AT_LAST):
        return "its new pods never get ready"
    if plan is None:
        workload = record.environment.workload(name)
        return "Reloader restarts it" if workload.is_reloaded and workload.secrets else ""
    return _excuse_of(record, change, plan) if isinstance(plan, WriterPlan) else ""


def _taken_back_at_last(record: RunRecord, name: str) -> str:
    """Whether its restarts are always taken back, or a person rolled it back after the last one."""
    if record.adversary.is_owned_for_ever(name):
        return "another controller takes each restart back"
    uid = record.workloads[name][-1].uid
    made = [rollout.at for rollout in record.cluster.rollouts if rollout.uid == uid]
    is_back = any(
        each.uid == uid and each.at > max(made, default=0.0) for each in record.adversary.rolled_back
    )
    return "a person rolled it back" if is_back else ""


def _excuse_of(record: RunRecord, change: TrueChange, plan: WriterPlan) -> str:
    """Why a source may leave the pods without a change."""
    syncs = record.cluster.writers[plan.name].syncs
    if any(sync.is_stale and sync.seen_at >= change.at - _LATE for sync in syncs):
        return "it read a state that lagged"
    if plan.is_dead or plan.is_unable:
        return "it never syncs again"
    return ""


def may_stay_pending(record: RunRecord, subject: Subject, name: str) -> str:
    """Why a pending restart may be left in the end; empty if it may not."""
    if record.adversary.is_unlisted_for_ever("Deployment"):
        return "its kind cannot be listed"
    used = record.environment.workload(name).secrets
    for plan in _sources(record, name) if _is_syncing(subject.spec) else ():
        if isinstance(plan, WriterPlan) and (why := _may_wait_for(record, plan)):
            return why
    if _is_syncing(subject.spec) and any(_is_unlisted(record, name) for name in used):
        return "the source of its Secret cannot be listed, and new content is waited for by its marks"
    is_writer = subject is record.subjects[0]
    if not is_writer and any(plan.name in used for plan in record.environment.managed):
        return "another subscription writes its Secret, and is watched for a late write"
    return "another workload keeps failing" if record.environment.stays_failing else ""


def _may_wait_for(record: RunRecord, plan: WriterPlan) -> str:
    """Why a source may be waited for in the end; empty if it may not."""
    if plan.is_dead or plan.is_unable:
        return "its source never syncs again"
    if plan.kind is INFISICAL_SECRET:
        return "its source never answers, and has the same data"
    is_silent = plan.is_hidden or _is_given_up(record, plan)
    return "its source cannot be asked, and syncs by its interval" if is_silent else ""


def _is_unlisted(record: RunRecord, secret: str) -> bool:
    """Whether the source of a Secret cannot be listed in the end: so one with a generator is not known."""
    kinds = {writer.kind.kind for writer in record.environment.writers if writer.name == secret}
    return any(map(record.adversary.is_unlisted_for_ever, kinds))


def _is_given_up(record: RunRecord, plan: WriterPlan) -> bool:
    """Whether requests were removed or refused so often that the source is not asked any more."""
    is_refused = any(
        each.what == "request_sync" and each.until - each.since >= REFUSED_FOR
        for each in record.adversary.refused
    )
    return is_refused or record.adversary.count_unasked(plan.name) >= GIVEN_UP_AFTER
