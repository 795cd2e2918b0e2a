"""The sync request to a provider: an annotation on its object, which is also how it is read back.

It says for which revision of which subscription it is, and what the provider had acknowledged and written
before. So a retry, or a new process, finds request and response where they are and requests nothing twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from infisical_events.api import annotations
from infisical_events.api.statuses import parse_time
from infisical_events.core.ledger.ledger import is_revision_at_least
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.sync.secret_providers import SecretProvider

_CLOCK_TOLERANCE = timedelta(seconds=2)
"""The API server's times are whole seconds, and its clock is another one."""

_MOST_AHEAD = timedelta(minutes=1)
"""A request further in the future was written by a wrong clock or by hand."""


def is_different_content(before: str, now: str) -> bool:
    """Whether two fingerprints are of different content: both are known, under one key."""
    return bool(before and now) and before != now and fingerprint_key_id(before) == fingerprint_key_id(now)


def fingerprint(key_id: str, digest: str) -> str:
    """The fingerprint of content: a digest and the key that it was made with."""
    return f"{key_id}:{digest}"


def fingerprint_key_id(token: str) -> str:
    """The key of a fingerprint; empty for one that was made without a key."""
    return token.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class SecretContent:
    """One Secret: the fingerprint of its content, under the operator's key, and its annotations.

    `written_at` is when its data were last written, by the API server's clock; None if that is unknown.
    """

    fingerprint: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PodContent:
    """With which content a workload's pods were started, by Secret; missing where it is unknown."""

    content_fingerprints: Mapping[str, str]

    def has_changed(self, name: str, token: str) -> bool:
        """Whether the content differs from the pods' content, or may differ."""
        return not token or self.content_fingerprints.get(name) != token

    def differs(self, name: str, token: str) -> bool:
        """Whether the content is known to differ."""
        return is_different_content(self.content_fingerprints.get(name, ""), token)


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A sync request as it was read back: its revision, and what was acknowledged and written before.

    `since` is the time of the first request without a response, which may have been for an older
    revision. `was_failing` is whether the provider reported a failure then, so that a sync may have been
    under way which tries again.
    """

    revision: str
    since: datetime
    attempt: int
    at: datetime
    acknowledged: str
    content_fingerprints: Mapping[str, str]
    was_failing: bool = False


@dataclass(frozen=True, slots=True)
class SentRequest:
    """The request that this process sent last, whatever has become of its annotation since.

    `refreshed` is the provider's last sync at that time, in its own words.
    """

    request: SyncRequest
    refreshed: str = ""


@dataclass(frozen=True, slots=True)
class SyncContext:
    """Everything that is known of a provider when it is evaluated for one pending restart."""

    provider: SecretProvider
    subscription: str
    epoch: str
    seq: int
    changes: tuple[Change, ...]
    contents: Mapping[str, SecretContent]
    """Of those of its Secrets that the workload uses."""
    known: PodContent
    timeout: timedelta
    since: datetime
    """When the restart became pending."""
    is_requested: bool = False
    """Whether a user requested the restart, whatever the content is."""
    is_confirmation_only: bool = False
    """Whether the restart was made with unconfirmed content: the provider is only watched."""
    sent: SentRequest | None = None
    """What this process sent for this revision or a later one; None if it sent nothing."""

    @property
    def content_fingerprints(self) -> dict[str, str]:
        """By the names of its Secrets."""
        return {name: content.fingerprint for name, content in self.contents.items()}

    @property
    def has_new_content(self) -> bool:
        """Whether the present content is a reason for a restart."""
        return self.is_requested or any(
            self.known.differs(*held) for held in self.content_fingerprints.items()
        )

    @property
    def has_newer_content(self) -> bool:
        """As `has_new_content`; where the pods' content is unknown, a write since the change counts."""
        return self.has_new_content or any(
            content.fingerprint
            and name not in self.known.content_fingerprints
            and content.written_at is not None
            and self._is_since(content.written_at)
            for name, content in self.contents.items()
        )

    @property
    def has_changed_beside(self) -> bool:
        """Whether content that no change should reach was written since the change, and differs."""
        return any(
            self.known.differs(name, content.fingerprint)
            and (content.written_at is None or self._is_since(content.written_at))
            for name, content in self.contents.items()
        )

    def _is_since(self, moment: datetime) -> bool:
        return moment >= self.since - _CLOCK_TOLERANCE

    def is_for(self, request: SyncRequest) -> bool:
        """Whether a request is for the restart's revision or a later one."""
        return is_revision_at_least(request.revision, self.epoch, self.seq)


def sync_request_of(provider: SecretProvider, subscription: str, now: datetime) -> SyncRequest | None:
    """The newest sync request; None if there is none, or if it is unreadable, in the future or too long."""
    text = provider.annotations.get(annotations.resync_key(subscription), "")
    if len(text) > annotations.MAX_LENGTH:
        return None
    try:
        raw = json.loads(text)
        request = SyncRequest(
            revision=str(raw["stamp"]),
            since=parse_time(raw["since"]),
            attempt=int(raw["attempt"]),
            at=parse_time(raw["at"]),
            acknowledged=str(raw["acknowledged"]),
            content_fingerprints={str(name): str(token) for name, token in dict(raw["tokens"]).items()},
            was_failing=raw.get("failing") is True,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
    return request if max(request.at, request.since) <= now + _MOST_AHEAD else None


def request_in_force(context: SyncContext, now: datetime) -> SyncRequest | None:
    """The request by the provider's annotation; if another client removed that, the one that was sent."""
    shown = sync_request_of(context.provider, context.subscription, now)
    if shown is not None and context.is_for(shown):
        return shown
    return context.sent.request if context.sent else shown


def is_removed(context: SyncContext, now: datetime) -> bool:
    """Whether another client removed the request that this process sent."""
    shown = sync_request_of(context.provider, context.subscription, now)
    return context.sent is not None and not (shown is not None and context.is_for(shown))


def sync_request_patch(context: SyncContext, revision: str, now: datetime) -> dict[str, Any]:
    """The merge patch that requests a sync, under the resourceVersion that the provider was read with.

    The time since an unanswered request counts for the next one: else changes in quick succession would
    defer restarts without an end. A provider that never acknowledges may have found the same data, so its
    time always starts again.
    """
    provider, subscription = context.provider, context.subscription
    before = request_in_force(context, now)
    is_again = before is not None and before.revision == revision
    is_pending = before is not None and (
        is_again
        or (
            provider.acknowledged is not None
            and now < before.at + 2 * context.timeout
            and not has_moved(context, subscription, before)
        )
    )
    request = {
        "stamp": revision,
        "since": (before.since if before and is_pending else now).astimezone(UTC).isoformat(),
        "attempt": before.attempt + 1 if before and is_again else 1,
        "at": now.astimezone(UTC).isoformat(),
        "acknowledged": provider.acknowledged or "",
        "tokens": dict(sorted(context.content_fingerprints.items())),
    } | ({"failing": True} if provider.error_message else {})
    return {
        "metadata": {
            "uid": provider.uid,
            "resourceVersion": provider.resource_version,
            "annotations": {annotations.resync_key(subscription): json.dumps(request, separators=(",", ":"))},
        },
        **provider.sync_trigger,
    }


def has_moved(context: SyncContext, asker: str, request: SyncRequest) -> bool:
    """Whether the provider has responded; for one that never acknowledges, whether its content changed."""
    provider = context.provider
    if provider.acknowledged is None:
        held = (
            (request.content_fingerprints.get(name, ""), content.fingerprint)
            for name, content in context.contents.items()
        )
        return any(is_different_content(before, token) or (token and not before) for before, token in held)
    return has_answered(provider, request) or (provider.copies_annotations and is_copied(context, asker))


def has_synced_since_sent(context: SyncContext) -> bool:
    """Whether the provider has synced since this process sent a request, although that was removed.

    External Secrets acknowledges by a digest of the annotations: without the request, the old one is back.
    """
    provider, sent = context.provider, context.sent
    if sent is None or provider.acknowledged is None:
        return False
    return has_answered(provider, sent.request) or provider.refreshed not in {"", sent.refreshed}


def has_answered(provider: SecretProvider, request: SyncRequest) -> bool:
    """Whether it acknowledges another sync than at the time of the request."""
    return provider.acknowledged not in {"", request.acknowledged}


def is_copied(context: SyncContext, subscription: str) -> bool:
    """Whether the sync had read a subscription's request: the provider copies it to its Secrets."""
    key = annotations.resync_key(subscription)
    asked = context.provider.annotations.get(key)
    shown = [content.annotations.get(key) == asked for content in context.contents.values()]
    return bool(shown) and all(shown)
