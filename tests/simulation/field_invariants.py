"""The invariants of what the field does to the operator: it is said, borne, and not fought without an end.

They hold in every history, whether an adversary is in it or not.
"""

import itertools
from collections.abc import Iterator

from infisical_events.api.annotations import resync_key, revision_key
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.status.reasons import Reason
from simulation.cluster_model import StoredStatus
from simulation.run import RunRecord, Subject
from simulation.wait_invariants import IMPORT_READ_AGAIN, import_changes, wait_violations

_MOST_PATCHES = 4
"""Patches of one object for one change: the first one, and three more after growing pauses."""

_MOST_REQUESTS = 5
"""Sync requests to one source for one change."""

_RESTORED_WITHIN = 60.0
"""Seconds in which a Secret that somebody edited or deleted is put right."""

_KNOWN_WITHIN = 20.0
"""Seconds in which the end of a rollout is known, and said."""


def field_violations(record: RunRecord) -> Iterator[str]:
    """Every broken invariant as a sentence."""
    yield from _asked_in_vain(record)
    yield from _not_restored(record)
    yield from wait_violations(record)
    for subject in record.subjects:
        yield from _unsaid(record, subject)
        yield from _held_up(record, subject)
        yield from _fought(record, subject)


def _unsaid(record: RunRecord, subject: Subject) -> Iterator[str]:
    """The condition is never True while something is pending, or while pods are known to be old."""
    statuses = [each for each in record.cluster.statuses if each.subscription in subject.uids]
    told = next((each for each in statuses if each.complete == "True" and _is_owed(each.ledger)), None)
    if told:
        yield f"unsaid: complete at {told.at:.2f} with {_owed_text(told)} ({subject.name})"
    if statuses and _is_owed(statuses[-1].ledger) and statuses[-1].complete != "False":
        yield f"unsaid: {_owed_text(statuses[-1])} in the end ({subject.name})"


def _held_up(record: RunRecord, subject: Subject) -> Iterator[str]:
    """Only pods that are being replaced are waited for, and not pods that are not available.

    The write that removes a pending restart still says what it waited for.
    """
    statuses = [each for each in record.cluster.statuses if each.subscription in subject.uids]
    for before, status in itertools.pairwise(statuses):
        pending_restarts = (*before.ledger.pending, *status.ledger.pending)
        since, uids = status.at - _KNOWN_WITHIN, {pending.uid for pending in pending_restarts}
        is_waiting = status.reason == Reason.ROLLOUT_IN_PROGRESS
        is_true = any(_has_rolled(record, uid, since, status.at) for uid in uids)
        if is_waiting and uids and not is_true and not _has_failed_calls(record, since, status.at):
            yield f"held up: no rollout is in progress at {status.at:.2f} ({subject.name})"
            return


def _has_rolled(record: RunRecord, uid: str, since: float, until: float) -> bool:
    newest = record.cluster.pods.newest(uid, until)
    return newest is not None and record.cluster.pods.end_of(uid, newest) >= since


def _has_failed_calls(record: RunRecord, since: float, until: float) -> bool:
    injected = record.faults.injected if record.faults else []
    is_refused = any(each.since <= until and since <= each.until for each in record.adversary.refused)
    return is_refused or any(since - 10.0 <= at <= until for at, _ in injected)


def _is_owed(ledger: Ledger) -> bool:
    """Whether a restart is pending that is not only watched, or was taken back."""
    is_pending = any(not pending.is_confirmation_only for pending in ledger.pending)
    return is_pending or bool(ledger.unlisted) or any(each.reverted_at for each in ledger.rollouts)


def _owed_text(status: StoredStatus) -> str:
    ledger = status.ledger
    names = [each.name for each in (*ledger.pending, *ledger.rollouts)] + [e.kind for e in ledger.unlisted]
    return f"{', '.join(names)} pending"


def _fought(record: RunRecord, subject: Subject) -> Iterator[str]:
    """No object of somebody else is patched again and again for one change."""
    causes = len({change.at for change in record.infisical.changes}) + _restlessness(record, subject)
    template, request = revision_key(subject.name), resync_key(subject.name)
    patches: dict[str, int] = {}
    requests: dict[str, int] = {}
    for write in record.cluster.applied:
        metadata = write.body.get("metadata") or {}
        marks = ((write.body.get("spec") or {}).get("template") or {}).get("metadata") or {}
        if write.kind == "workload" and template in (marks.get("annotations") or {}):
            uid = metadata.get("uid", write.name)
            patches[uid] = patches.get(uid, 0) + 1
        if write.kind == "sync request" and request in metadata["annotations"]:
            requests[write.name] = requests.get(write.name, 0) + 1
    for what, counted, most in (("patched", patches, _MOST_PATCHES), ("asked", requests, _MOST_REQUESTS)):
        for name, count in counted.items():
            if count > most * causes:
                yield f"fought: {name} was {what} {count} times for {causes} causes ({subject.name})"


def _restlessness(record: RunRecord, subject: Subject) -> int:
    """What else may be a cause of a patch: edited specs, new workloads, processes with an empty memory."""
    appeared = sum(len(workloads) for workloads in record.workloads.values())
    return appeared + len(subject.specs) + len(subject.creation_times) + len(record.lifetimes)


def _asked_in_vain(record: RunRecord) -> Iterator[str]:
    """No source is asked that no change can reach, or that lies in another namespace."""
    for asked in record.cluster.asked:
        plan = record.cluster.writers[asked.writer].plan
        if plan.is_foreign or plan.is_unable or plan.is_hidden:
            yield f"asked in vain: {plan} at {asked.at:.2f}"


def _not_restored(record: RunRecord) -> Iterator[str]:
    """A Secret that the operator writes is put right within a minute, if nothing else goes wrong.

    After some import changed that may be one of its folder, a read that lacks it gives no content for it;
    while the server demands a wait, there is no content at all.
    """
    for edit in record.adversary.edited:
        until = edit.at + _RESTORED_WITHIN
        until = max([until, *(at + IMPORT_READ_AGAIN for at in import_changes(record) if at <= until)])
        until += record.infisical.wait_within(edit.at - _RESTORED_WITHIN, until)
        writes = [each for each in record.cluster.secret_writes if each.name == edit.uid and each.is_ours]
        if not any(edit.at < each.at <= until for each in writes) and _is_calm(record, edit.at, until):
            yield f"not restored: {edit.uid}, edited at {edit.at:.2f}, within a minute"


def _is_calm(record: RunRecord, since: float, until: float) -> bool:
    """Whether one operator worked all the time, and nothing else went wrong."""
    is_served = any(life.begun < since and life.ended > until for life in record.lifetimes)
    is_hurt = _has_failed_calls(record, since, until)
    is_missing = any(
        at >= since for at in (*record.infisical.lost.values(), *record.infisical.renamed.values())
    )
    is_edited = any(each.at <= until for each in record.subjects[0].specs[1:])
    servers = record.infisical.servers  # after a refusal the operator pauses for up to a minute
    is_upgraded = servers is not None and bool(servers.whole_since) and since < servers.whole_since + 90.0
    return is_served and not (is_hurt or is_missing or is_edited or is_upgraded)
