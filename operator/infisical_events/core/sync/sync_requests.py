"""The question that a source is asked: put by an annotation of its own, and read back from there.

It says for which revision of which subscription it is, and what the source had acknowledged and written
before. So a retry, or a process that begins anew, finds the question and the answer where they are, and
asks nothing twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from infisical_events.api import annotations
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.sync.secret_providers import SecretProvider

_MOST_AHEAD = timedelta(minutes=1)
"""A question further in the future was put by a clock that is wrong, or by a hand."""


def is_different_content(before: str, now: str) -> bool:
    """Whether two tokens tell of different content: both are known, under one key."""
    return bool(before and now) and before != now and fingerprint_key_id(before) == fingerprint_key_id(now)


def fingerprint(key_id: str, digest: str) -> str:
    """A token of content: a digest and by which key it was made."""
    return f"{key_id}:{digest}"


def fingerprint_key_id(token: str) -> str:
    """By which key a token was made; empty for one that was made without."""
    return token.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class SecretContent:
    """One Secret as it is judged: a token of its content, under the operator's key, and its annotations."""

    fingerprint: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodContent:
    """What one workload's pods were started with, by the name of the Secret; absent if nobody knows."""

    content_fingerprints: Mapping[str, str]

    def has_changed(self, name: str, token: str) -> bool:
        """Whether the content is another one than the pods have, or may be."""
        return not token or self.content_fingerprints.get(name) != token

    def differs(self, name: str, token: str) -> bool:
        """Whether the content is known to be another one."""
        return is_different_content(self.content_fingerprints.get(name, ""), token)


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A question put to a source: for which stamp, what it said and had written by then.

    `since` is when it was asked first without an answer, for an older stamp perhaps.
    """

    revision: str
    since: datetime
    attempt: int
    at: datetime
    acknowledged: str
    content_fingerprints: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SyncContext:
    """All that is known of a source when it is judged for one workload."""

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
    """When the restart was owed."""
    is_requested: bool = False
    """Whether a person wants a restart, whatever the content is."""
    is_confirmation_only: bool = False
    """Whether it was restarted already with content that nobody answers for: nobody is asked again."""

    @property
    def content_fingerprints(self) -> dict[str, str]:
        """Of the content of its Secrets, by their names."""
        return {name: content.fingerprint for name, content in self.contents.items()}

    @property
    def has_new_content(self) -> bool:
        """Whether a restart is wanted for the content that there is."""
        return self.is_requested or any(
            self.known.differs(*held) for held in self.content_fingerprints.items()
        )


def sync_request_of(provider: SecretProvider, subscription: str, now: datetime) -> SyncRequest | None:
    """The question that it was asked last; None if there is none, or none that can be read or be true."""
    try:
        raw = json.loads(provider.annotations.get(annotations.resync_key(subscription), ""))
        request = SyncRequest(
            revision=str(raw["stamp"]),
            since=datetime.fromisoformat(raw["since"]).astimezone(UTC),
            attempt=int(raw["attempt"]),
            at=datetime.fromisoformat(raw["at"]).astimezone(UTC),
            acknowledged=str(raw["acknowledged"]),
            content_fingerprints={str(name): str(token) for name, token in dict(raw["tokens"]).items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
    return request if max(request.at, request.since) <= now + _MOST_AHEAD else None


def sync_request_patch(context: SyncContext, revision: str, now: datetime) -> dict[str, Any]:
    """The merge patch that asks a source to sync, under the version that it was read with.

    What it was asked shortly before and left unanswered counts for its time: else changes that come
    faster than its time is over would keep all restarts waiting. One that never answers may have found
    the same data, so its time is always a new one.
    """
    provider, subscription = context.provider, context.subscription
    before = sync_request_of(provider, subscription, now)
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
    }
    return {
        "metadata": {
            "uid": provider.uid,
            "resourceVersion": provider.resource_version,
            "annotations": {annotations.resync_key(subscription): json.dumps(request, separators=(",", ":"))},
        },
        **provider.sync_trigger,
    }


def has_moved(context: SyncContext, asker: str, request: SyncRequest) -> bool:
    """Whether it has said anything since it was asked; one that never answers, whether its content has."""
    provider = context.provider
    if provider.acknowledged is None:
        held = (
            (request.content_fingerprints.get(name, ""), content.fingerprint)
            for name, content in context.contents.items()
        )
        return any(is_different_content(before, token) or (token and not before) for before, token in held)
    return has_answered(provider, request) or (provider.copies_annotations and is_copied(context, asker))


def has_answered(provider: SecretProvider, request: SyncRequest) -> bool:
    """Whether it acknowledges another sync than it did when it was asked."""
    return provider.acknowledged not in {"", request.acknowledged}


def is_copied(context: SyncContext, subscription: str) -> bool:
    """Whether the sync had read what a subscription asked: it stands on the Secrets, too."""
    key = annotations.resync_key(subscription)
    asked = context.provider.annotations.get(key)
    shown = [content.annotations.get(key) == asked for content in context.contents.values()]
    return bool(shown) and all(shown)
