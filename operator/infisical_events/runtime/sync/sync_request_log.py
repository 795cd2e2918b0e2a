"""The sync requests that this process has sent, so that nothing that others do makes it send them on and on.

A request is an annotation of somebody else's object: its owner may remove it, an admission policy may refuse
it. `sync_coordinator` keeps one log per subscription; it ends with the process.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infisical_events.core.ledger.ledger import is_revision_at_least
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import SentRequest, sync_request_of

_MOST_REMOVALS = 2
"""So often a request may be removed until the provider counts as one that cannot be requested."""

_MOST_FAILURES = 5
"""Failed attempts within the time of `_KEPT`."""

_MODIFIED = "the object is modified by another client all the time"
_CONFLICT_PAUSE = timedelta(seconds=30)
"""Between attempts, after too many conflicts."""

_KEPT = timedelta(hours=1)
"""How long a provider is remembered after the newest request to it."""

_FIRST_PAUSE = timedelta(seconds=1)
"""Until an attempt that failed is repeated; each pause is three times as long as the one before."""


@dataclass(frozen=True, slots=True)
class _Removals:
    """How often requests to one provider were removed, and when last."""

    count: int
    at: datetime


@dataclass(frozen=True, slots=True)
class _Failure:
    """Failed attempts since the last good one: why the last one failed, and when the next may be made."""

    count: int
    message: str
    next_at: datetime


@dataclass(slots=True)
class SyncRequestLog:
    """For one subscription; every entry is by the uid of the provider."""

    subscription: str
    sent: dict[str, SentRequest] = field(default_factory=dict)
    removals: dict[str, _Removals] = field(default_factory=dict)
    failures: dict[str, _Failure] = field(default_factory=dict)
    _seen: set[tuple[str, datetime]] = field(default_factory=set)

    def record_sent(self, before: SecretProvider, patch: dict[str, object], now: datetime) -> None:
        """Remember the request of a patch that the API server accepted."""
        annotated = replace(before, annotations=_annotations_of(patch))
        request = sync_request_of(annotated, self.subscription, now)
        self.failures.pop(before.uid, None)
        if request is not None:
            self.sent[before.uid] = SentRequest(request, before.refreshed)

    def record_failure(self, uid: str, message: str, now: datetime) -> None:
        """Remember an attempt that the API server rejected."""
        count = self._failures(uid) % _MOST_FAILURES + 1
        pause = _FIRST_PAUSE * 3 ** (count - 1) if count < _MOST_FAILURES else _KEPT
        self.failures[uid] = _Failure(count, message, now + pause)

    def record_conflict(self, uid: str, now: datetime) -> str:
        """Remember an attempt without a result; returns the message once there were too many of them."""
        count = self._failures(uid) + 1
        message = _MODIFIED if count > _MOST_FAILURES else ""
        self.failures[uid] = _Failure(count, message, now + _CONFLICT_PAUSE)
        return message

    def failure_of(self, uid: str, now: datetime) -> str:
        """Why no attempt is made now; empty if one may be made."""
        last = self.failures.get(uid)
        return last.message if last is not None and now < last.next_at else ""

    def _failures(self, uid: str) -> int:
        return self.failures[uid].count if uid in self.failures else 0

    def sent_for(self, uid: str, epoch: str, seq: int) -> SentRequest | None:
        """The request that was sent to a provider for this revision or a later one."""
        sent = self.sent.get(uid)
        return sent if sent is not None and is_revision_at_least(sent.request.revision, epoch, seq) else None

    def observe(self, provider: SecretProvider, now: datetime) -> bool:
        """Count a removal of the newest request; returns whether it is the last one that is put up with."""
        self._forget(now)
        sent = self.sent.get(provider.uid)
        if sent is None or not self._is_removed(provider, sent, now):
            return False
        last = self.removals.get(provider.uid)
        self._seen.add((provider.uid, sent.request.at))
        self.removals[provider.uid] = _Removals(last.count + 1 if last else 1, now)
        return self.removals[provider.uid].count == _MOST_REMOVALS

    def is_refused(self, provider: SecretProvider) -> bool:
        """Whether requests to the provider are removed each time."""
        last = self.removals.get(provider.uid)
        return last is not None and last.count >= _MOST_REMOVALS

    def _is_removed(self, provider: SecretProvider, sent: SentRequest, now: datetime) -> bool:
        if (provider.uid, sent.request.at) in self._seen:
            return False
        epoch, _, seq = sent.request.revision.rpartition(".")
        shown = sync_request_of(provider, self.subscription, now)
        return shown is None or not is_revision_at_least(shown.revision, epoch, int(seq))

    def _forget(self, now: datetime) -> None:
        old = [uid for uid, sent in self.sent.items() if now >= sent.request.at + _KEPT]
        for uid in old:
            del self.sent[uid]
        self.removals = {uid: last for uid, last in self.removals.items() if now < last.at + _KEPT}
        self._seen = {(uid, at) for uid, at in self._seen if uid in self.sent}


def _annotations_of(patch: dict[str, object]) -> dict[str, str]:
    metadata = patch["metadata"]
    return dict(metadata["annotations"]) if isinstance(metadata, dict) else {}
