"""The invariants of servers that are upgraded: nothing is worse for good, and nothing false is said.

What an upgrade must not lose, double or restart is that of all other histories; `_groundless` is here
because another shape of the same list is how an upgrade could look like a change.
"""

from collections.abc import Iterator, Mapping

from infisical_events.api.specs import Grade
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.status.reasons import Reason
from simulation.histories import TROUBLE_SECONDS
from simulation.run import RunRecord, Subject
from simulation.server_generations import Servers

_BY: Mapping[str, frozenset[str]] = {
    Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS: frozenset({"plan"}),
    Reason.EVENTS_NOT_SUPPORTED: frozenset({"no route"}),
    Reason.REQUEST_REJECTED: frozenset({"request"}),
    Reason.PERMISSION_DENIED: frozenset({"membership", "role", "describe"}),
    Reason.EVENTS_ONLY: frozenset({"describe"}),
    Reason.TOKEN_REJECTED: frozenset({"token"}),
    Reason.CREDENTIALS_REJECTED: frozenset(),
    Reason.PROJECT_NOT_FOUND: frozenset(),
    Reason.FOLDER_NOT_FOUND: frozenset({"missing"}),
    Reason.ENVIRONMENT_NOT_FOUND: frozenset({"missing"}),
    Reason.UNEXPECTED_RESPONSE: frozenset({"mesh", "gateway", "backend", "port", "no route"}),
}
"""Reasons that blame somebody, and what a server must have answered before."""

_WORKS_WITHIN = 360.0
"""Seconds until a stream is open after the servers are whole: the longest pause before a retry, with room."""


def generation_violations(record: RunRecord) -> Iterator[str]:
    """Every broken invariant as a sentence."""
    for subject in record.subjects:
        yield from _groundless(record, subject)
        if record.infisical.servers is not None:
            yield from _misnamed(record, subject, record.infisical.servers)
            yield from _without_stream(record, subject, record.infisical.servers)


def was_denied(record: RunRecord, at: float) -> bool:
    """Whether Infisical itself had denied a list by then, so that events alone are left for a while."""
    servers = record.infisical.servers
    return servers is not None and any(said.what == "describe" and said.at <= at for said in servers.said)


def _groundless(record: RunRecord, subject: Subject) -> Iterator[str]:
    """A pending restart names only keys that were changed by then: an upgrade alone changes none.

    What reads did not find at the baseline is created as far as anybody can tell (`deceptions`).
    """
    if record.infisical.lost or record.infisical.renamed:
        return
    checked: set[Change] = set()
    for entry in record.cluster.ledgers:
        if entry.subscription not in subject.uids:
            continue
        for change in {each for pending in entry.ledger.pending for each in pending.changes} - checked:
            checked.add(change)
            if change.key != ANY_KEY and not _was_changed(record, change, entry.at):
                yield f"groundless: {change} is pending at {entry.at:.2f}, and nobody changed it"


def _was_changed(record: RunRecord, change: Change, at: float) -> bool:
    return any(
        true.at <= at and change.key == true.change.key and change.scope.overlaps(true.change.scope)
        for true in record.infisical.changes
    )


def _misnamed(record: RunRecord, subject: Subject, servers: Servers) -> Iterator[str]:
    """A condition blames the plan, a permission, the version or what is in between only if it was that."""
    is_asked = any(entry.spec.observe is Grade.EVENTS for entry in subject.specs)
    told: set[str] = {Reason.EVENTS_ONLY} if is_asked else set()
    for stored in record.cluster.conditions:
        reasons = (
            {each.reason for each in stored.by_type.values()}
            if stored.subscription in subject.uids
            else set()
        )
        for reason in sorted((reasons & _BY.keys()) - told):
            told.add(reason)
            if not any(said.what in _BY[reason] and said.at <= stored.at for said in servers.said):
                yield f"misnamed: {reason} at {stored.at:.2f}, and no server said so ({subject.name})"


def _without_stream(record: RunRecord, subject: Subject, servers: Servers) -> Iterator[str]:
    """Once the servers are whole, the stream is open again if they have one, and else it is said why not."""
    until = max(servers.whole_since, TROUBLE_SECONDS) + _WORKS_WITHIN
    stored = [
        each for each in record.cluster.conditions if each.subscription in subject.uids and each.at <= until
    ]
    streaming = stored[-1].by_type.get("Streaming") if stored else None
    expected = (
        ("True", Reason.CONNECTED) if servers.current.has_events else ("False", Reason.EVENTS_NOT_SUPPORTED)
    )
    if streaming is not None and (streaming.status, streaming.reason) != expected:
        yield f"without stream: {streaming.reason} at {until:.0f}, not {expected[1]} ({subject.name})"
