"""The invariant that nothing waits for something out of the ordinary, and nobody says so.

A baseline, a pending restart or a Secret that the operator writes may wait. Ordinary is what the spec or the
administrator asks for, and what is making progress: the debounce, a cooldown, a wave, a slot among
`maxConcurrent` rollouts, the budget, the rollout of another party, a halt, a pause, and a sync within
`resync.timeoutSeconds`. All of these are reasons of condition `RestartsComplete`, workload by workload. A
baseline has no ordinary wait. A Secret has one: after some import changed, which may be one of its folder, it
is read again for a minute.

Out of the ordinary is everything else: the API server refuses a list, a read or a patch; Infisical does not
answer, demands a wait, or refuses; a folder is not found; another party takes a restart back; a source has
had its time. After 15 s of such a wait in a row, under one process to which nothing else happens, a condition
of the stored status or a Warning has to name it: with the words of the API server, or with the reason that
`docs/reasons.md` has for it.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import object_name
from simulation.cluster_model import StoredCondition
from simulation.environment import ManagedPlan
from simulation.restart_invariants import has_state_since
from simulation.run import RunRecord, Subject

_WITHIN = 15.0
"""Seconds in which a wait is named."""

_DISTURBING = frozenset(
    {
        "api_error",
        "crash",
        "infisical_error",
        "late_write",
        "lost_answer",
        "lost_request",
        "odd_response",
        "slow_call",
        "stranger_edit",
    }
)
"""Injected faults, after which a wait is one for the next retry."""

_UNNAMED = frozenset({Reason.PENDING, Reason.WORKLOAD_MODIFIED})
"""Reasons that say nothing of what is waited for: they last for a moment."""

_QUOTING = frozenset({Reason.KUBERNETES_API_ERROR, Reason.RESTART_FAILED, Reason.WORKLOADS_NOT_LISTED})
"""Reasons that name it with the words of the API server alone."""

_FOR_ALL = frozenset({Reason.KUBERNETES_API_ERROR, Reason.WORKLOADS_NOT_LISTED})
"""Reasons of the condition that stand for all workloads."""

_SLACK = 15.0
"""Seconds beyond `resync.timeoutSeconds` after which a sync is not one that makes progress any more."""

IMPORT_READ_AGAIN = 95.0
"""Seconds in which a Secret waits for an import that changed, and that may be one of its folder.

A minute, and the time until the next check of the Secrets.
"""

_CLOCK_BACK = 60.0
"""Seconds by which a sync request may be ahead of a clock that went back: its provider has longer then.

A request that is further ahead is one by a wrong clock, and is sent again.
"""

_RETRIED_WITHIN = 30.0
"""Seconds in which the operator finds out that the API server refuses something no longer."""

_LONGEST_PAUSE = 90.0
"""Seconds until Infisical is asked again after an error that only a person can correct."""

_OF_TROUBLE: Mapping[str, Reason] = {
    "starting": Reason.SERVER_ERROR,
    "mesh": Reason.UNEXPECTED_RESPONSE,
    "gateway": Reason.UNEXPECTED_RESPONSE,
    "backend": Reason.UNEXPECTED_RESPONSE,
    "unrouted": Reason.UNEXPECTED_RESPONSE,
    "membership": Reason.PERMISSION_DENIED,
}
"""By a trouble of the servers in which no list can be read, the reason that names it."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """Something that waits, from when to when; `what` is `baseline`, a workload's or a Secret's name."""

    what: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """Something out of the ordinary, from when to when, and a text that names it."""

    since: float
    until: float
    word: str


def wait_violations(record: RunRecord) -> Iterator[str]:
    """Every broken invariant as a sentence."""
    for subject in record.subjects:
        yield from _baselines(record, subject)
        yield from _restarts(record, subject)
    yield from _secrets(record)


# -- what waits -------------------------------------------------------------------------------------------


def _baselines(record: RunRecord, subject: Subject) -> Iterator[str]:
    """Until the first ledger is stored, Ready is no longer Unknown, and says why."""
    for uid, begun in subject.uids.items():
        stored = min(
            (each.at for each in record.cluster.ledgers if each.subscription == uid), default=math.inf
        )
        wait = _Wait("baseline", begun, min(stored, _end_of(subject, uid)))
        for at in _checks(record, wait.since, wait.until):
            ready = _conditions(record, {uid}, at).get("Ready")
            if ready is None or ready.status != "False":
                yield f"without a word: {subject.name} has no baseline at {at:.2f}, and Ready is {ready}"
                return
        for obstacle in (*_refusals(record, "list_workloads"), *_of_servers(record)):
            yield from _unnamed(record, {uid}, wait, obstacle)


def _restarts(record: RunRecord, subject: Subject) -> Iterator[str]:
    """A pending restart has a line in the condition, with its reason."""
    for wait in _pending(record, subject):
        for at in _checks(record, wait.since, wait.until):
            found = _conditions(record, subject.uids, at).get("RestartsComplete")
            if found is None or not _is_named(record, subject, wait, at, found):
                yield f"without a word: {wait.what} of {subject.name} is pending at {at:.2f}: {found}"
                break


def _pending(record: RunRecord, subject: Subject) -> Iterator[_Wait]:
    """The restarts that are pending; one with a newer change waits anew."""
    for uid in subject.uids:
        begun: dict[tuple[str, int, str], float] = {}
        for entry in record.cluster.ledgers:
            if entry.subscription != uid:
                continue
            held = {
                (pending.uid, pending.seq, object_name(pending.kind, pending.name))
                for pending in entry.ledger.pending
                if not pending.is_watch
            }
            for key in begun.keys() - held:
                yield _Wait(key[2], begun.pop(key), entry.at)
            for key in sorted(held):
                begun.setdefault(key, entry.at)
        for (_, _, name), since in begun.items():
            yield _Wait(name, since, _end_of(subject, uid))


def _end_of(subject: Subject, uid: str) -> float:
    """When an object of the subscription's name was replaced by another one; infinite for the last one."""
    return min((at for at in subject.uids.values() if at > subject.uids[uid]), default=math.inf)


def _is_named(record: RunRecord, subject: Subject, wait: _Wait, at: float, found: StoredCondition) -> bool:
    """Whether the condition says for what this restart waits: a workload that was replaced has two lines."""
    lines = re.findall(rf"{re.escape(wait.what)}: (\w+)([^;]*)", found.message)
    if found.status != "False" or not (lines or found.reason in _FOR_ALL):
        return False
    reasons = {reason for reason, _ in lines} or {found.reason}
    if reasons & _QUOTING:
        said = [each.word for each in _refusals(record) if each.since < at <= each.until + _RETRIED_WITHIN]
        return any(word in found.message for word in said) or not _is_calm(record, at - _RETRIED_WITHIN, at)
    if any(reason == Reason.RESYNCING and "(" not in note for reason, note in lines):
        waited = at - _resyncing_since(record, subject, wait, at)
        is_set_back = any(wait.since <= jump <= at for jump in record.jumps)
        slack = _SLACK + (_CLOCK_BACK if is_set_back else 0.0)
        return waited <= subject.spec.resync.timeout_seconds + slack
    return not reasons & _UNNAMED


def _resyncing_since(record: RunRecord, subject: Subject, wait: _Wait, at: float) -> float:
    """Since when the condition says that this restart waits for a sync, or some source was asked last."""
    line, since = f"{wait.what}: {Reason.RESYNCING}", at
    for stored in reversed(record.cluster.conditions):
        if stored.subscription in subject.uids and wait.since <= stored.at <= at:
            found = stored.by_type.get("RestartsComplete")
            if found is None or line not in found.message:
                break
            since = stored.at
    return max((asked.at for asked in record.cluster.asked if since <= asked.at <= at), default=since)


def _secrets(record: RunRecord) -> Iterator[str]:
    """A Secret that does not have the accepted state is named, or what Infisical answers is."""
    uids = record.subjects[0].uids
    for plan in record.environment.managed:
        name = object_name("Secret", plan.name)
        imports = import_changes(record)
        for wait in _outdated(record, plan):
            for at in _checks(record, wait.since, wait.until):
                if any(found <= at <= found + IMPORT_READ_AGAIN for found in imports):
                    continue
                texts = _texts(record, uids, wait.since, at)
                observed = _conditions(record, uids, at).get("Observed")
                if name not in texts and (observed is None or observed.status == "True"):
                    yield f"without a word: {name} is outdated at {at:.2f}"
                    break


def _outdated(record: RunRecord, plan: ManagedPlan) -> Iterator[_Wait]:
    """The times in which the Secret has an older content than that of the accepted state."""
    uids, own = record.subjects[0].uids, Partition.own(plan.folder)
    entries = [each for each in record.cluster.ledgers if each.subscription in uids]
    needed: list[tuple[float, int]] = []
    for entry in entries:
        held = entry.ledger.accepted.get(own)
        states = enumerate(record.infisical.past)
        scope = Scope(plan.folder)
        first = next(
            (n for n, s in states if held and held.state.agrees(s.partitions(scope).get(own, ABSENT))), None
        )
        if first is not None:
            needed.append((entry.at, first))
    begun = math.inf
    for (since, state), (until, _) in itertools.pairwise([*needed, (math.inf, 0)]):
        written = has_state_since(record, plan, state)
        begun = min(begun, since)
        if written <= until:
            yield _Wait(plan.name, begun, written)
            begun = math.inf
    if begun < math.inf:
        yield _Wait(plan.name, begun, math.inf)


def import_changes(record: RunRecord) -> list[float]:
    """When the ledger had another accepted state of some import."""
    uids, before, found = record.subjects[0].uids, dict[Partition, PartitionState](), []
    for entry in record.cluster.ledgers:
        if entry.subscription in uids:
            imports = {part: held.state for part, held in entry.ledger.accepted.items() if part.source}
            if imports != before:
                found.append(entry.at)
            before = imports
    return found


# -- obstacles --------------------------------------------------------------------------------------------


def _refusals(record: RunRecord, what: str = "") -> Iterator[_Obstacle]:
    """What the API server refused, in its own words."""
    for each in record.adversary.refused:
        if each.why and (not what or each.what == what):
            yield _Obstacle(each.since, each.until, each.why)


def _of_servers(record: RunRecord) -> Iterator[_Obstacle]:
    """In which times Infisical could not be read, and the reason that names it.

    One that begins during another is found after the pause that the other demands.
    """
    troubles = record.infisical.servers.troubles if record.infisical.servers else ()
    found = [_Obstacle(begin, end, Reason.RATE_LIMITED) for begin, end in record.infisical.waits]
    found += [_Obstacle(t.since, t.until, _OF_TROUBLE[t.what]) for t in troubles if t.what in _OF_TROUBLE]
    for each in found:
        is_hidden = any(other.since < each.since < other.until for other in found)
        yield replace(each, since=each.since + _LONGEST_PAUSE) if is_hidden else each


def _unnamed(record: RunRecord, uids: Mapping[str, float], wait: _Wait, obstacle: _Obstacle) -> Iterator[str]:
    since, until = max(wait.since, obstacle.since), min(wait.until, obstacle.until)
    for at in _checks(record, since, until):
        if obstacle.word not in _texts(record, uids, obstacle.since, at):
            yield f"without a word: {wait.what} waits for {obstacle.word!r} at {at:.2f}"
            return


# -- what was said ----------------------------------------------------------------------------------------


def _checks(record: RunRecord, since: float, until: float) -> Iterator[float]:
    """The moments in a wait at which it is to be named, each 15 s under one process and without a fault."""
    for life in record.lifetimes:
        at = max(since, life.begun) + _WITHIN
        while at < min(until, life.ended):
            if _is_undisturbed(record, at - _WITHIN, at):
                yield at
            at += _WITHIN


def _is_undisturbed(record: RunRecord, since: float, until: float) -> bool:
    alive = [life for life in record.lifetimes if life.begun < until and life.ended > since]
    return len(alive) == 1 and _is_calm(record, since, until)


def _is_calm(record: RunRecord, since: float, until: float) -> bool:
    injected = record.faults.injected if record.faults else []
    return not any(since <= at <= until and name in _DISTURBING for at, name in injected)


def _conditions(
    record: RunRecord, uids: Mapping[str, float] | set[str], at: float
) -> Mapping[str, StoredCondition]:
    stored = [each for each in record.cluster.conditions if each.subscription in uids and each.at <= at]
    return stored[-1].by_type if stored else {}


def _texts(record: RunRecord, uids: Mapping[str, float] | set[str], since: float, at: float) -> str:
    """The conditions at that moment and all Warnings since the wait began, in one text."""
    conditions = [f"{each.reason} {each.message}" for each in _conditions(record, uids, at).values()]
    warnings = [f"{each.reason} {each.note}" for each in record.cluster.warnings if since <= each.at <= at]
    return "\n".join((*conditions, *warnings))
