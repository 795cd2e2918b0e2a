"""How a source is asked to sync, and how one knows that it did.

A source is asked by an annotation of its own that says for which revision of which subscription, and
what it had acknowledged before. So a retry, or a process that begins anew, finds the question and the
answer where they are, and asks nothing twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

from infisical_events.api import annotations
from infisical_events.core.changes import Change
from infisical_events.core.receipts import is_stamp_at_least
from infisical_events.core.sources import Source

_WAS_FIRST = timedelta(seconds=10)
"""How long a source that answers nothing is given to move again, if it had moved before it was asked."""

_ASK_AGAIN = timedelta(seconds=1)
"""A source that finds the same data is asked once more: it may have read a replica that lags."""

_MOST_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Request:
    """A question put to a source: for which stamp, since when, what it said and had written by then."""

    stamp: str
    since: datetime
    attempt: int
    at: datetime
    acknowledged: str
    tokens: Mapping[str, str]


class Freshness(Enum):
    """What a source can vouch for."""

    UNASKED = auto()
    WAITING = auto()
    CHANGED = auto()
    """It has synced since it was asked, and the content is another one."""
    EARLY = auto()
    """It never answers, and its content is another one than the pods have, but had moved before it was
    asked: perhaps for an older change alone."""
    SAME = auto()
    """It has synced since, and the content is what the pods have."""
    SILENT = auto()
    """It never answers, its content has not moved in time, and no change is known that it should show."""
    OVERDUE = auto()


@dataclass(frozen=True, slots=True)
class Content:
    """One Secret as it is judged: a token of its content, under the operator's key, and its annotations."""

    token: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def request_of(source: Source, subscription: str) -> Request | None:
    """The question that it was asked last; None if there is none, or none that can be read."""
    try:
        raw = json.loads(source.annotations.get(annotations.resync_key(subscription), ""))
        return Request(
            stamp=str(raw["stamp"]),
            since=datetime.fromisoformat(raw["since"]).astimezone(UTC),
            attempt=int(raw["attempt"]),
            at=datetime.fromisoformat(raw["at"]).astimezone(UTC),
            acknowledged=str(raw["acknowledged"]),
            tokens={str(name): str(token) for name, token in dict(raw["tokens"]).items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def asking(
    source: Source, subscription: str, stamp: str, tokens: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    """The merge patch that asks a source to sync, under the version that it was read with."""
    before = request_of(source, subscription)
    is_again = before is not None and before.stamp == stamp
    request = {
        "stamp": stamp,
        "since": (before.since if before and is_again else now).astimezone(UTC).isoformat(),
        "attempt": before.attempt + 1 if before and is_again else 1,
        "at": now.astimezone(UTC).isoformat(),
        "acknowledged": source.acknowledged or "",
        "tokens": dict(sorted(tokens.items())),
    }
    return {
        "metadata": {
            "uid": source.uid,
            "resourceVersion": source.resource_version,
            "annotations": {annotations.resync_key(subscription): json.dumps(request, separators=(",", ":"))},
        },
        **source.ask,
    }


@dataclass(frozen=True, slots=True)
class Known:
    """What one workload's pods were started with, by the name of the Secret; absent if nobody knows."""

    tokens: Mapping[str, str]

    def has_changed(self, name: str, token: str) -> bool:
        """Whether the content is another one than the pods have, or may be."""
        return not token or self.tokens.get(name) != token

    def differs(self, name: str, token: str) -> bool:
        """Whether the content is known to be another one."""
        return bool(token) and self.tokens.get(name, token) != token


@dataclass(frozen=True, slots=True)
class Question:
    """All that is known of a source when it is judged for one workload."""

    source: Source
    subscription: str
    epoch: str
    seq: int
    changes: tuple[Change, ...]
    contents: Mapping[str, Content]
    """Of those of its Secrets that the workload uses."""
    known: Known
    timeout: timedelta
    is_requested: bool = False
    """Whether a person wants a restart, whatever the content is."""


def freshness(question: Question, now: datetime) -> Freshness:
    """Whether the source has synced since it was asked for this debt, and whether the content is another.

    It is asked one question at a time: a sync that is still under way for an older one would pass for the
    answer to the newer.
    """
    state = _judged(question, now)
    return Freshness.WAITING if state is Freshness.UNASKED and _is_busy(question, now) else state


def _is_busy(question: Question, now: datetime) -> bool:
    source, prefix = question.source, annotations.resync_key("")
    askers = [key.removeprefix(prefix) for key in source.annotations if key.startswith(prefix)]
    return any(
        now < request.at + question.timeout and not _has_moved(question, asker, request)
        for asker in askers
        if (request := request_of(source, asker))
    )


def _has_moved(question: Question, asker: str, request: Request) -> bool:
    """Whether it has said anything since it was asked; one that never answers, whether its content has."""
    source = question.source
    if source.acknowledged is None:
        return any(
            request.tokens.get(name, "") != content.token for name, content in question.contents.items()
        )
    return _has_answered(source, request) or (source.is_copied and _is_copied(question, asker))


def _has_answered(source: Source, request: Request) -> bool:
    """Whether it acknowledges another sync than it did when it was asked."""
    return source.acknowledged not in {"", request.acknowledged}


def _judged(question: Question, now: datetime) -> Freshness:
    source = question.source
    if source.unable:
        return Freshness.OVERDUE
    request = request_of(source, question.subscription)
    if request is None or not is_stamp_at_least(request.stamp, question.epoch, question.seq):
        return Freshness.UNASKED
    tokens = {name: content.token for name, content in question.contents.items()}
    has_changed = question.is_requested or any(
        question.known.has_changed(name, token) for name, token in tokens.items()
    )
    if _has_synced(question, request):
        return Freshness.CHANGED if has_changed else _unchanged(request, now)
    if source.acknowledged is None and now >= request.at + _WAS_FIRST:
        if question.is_requested and not question.changes:
            return Freshness.CHANGED
        if question.is_requested or any(question.known.differs(*held) for held in tokens.items()):
            return Freshness.EARLY
    return _unheard(question, request, now)


def _unchanged(request: Request, now: datetime) -> Freshness:
    if request.attempt >= _MOST_ATTEMPTS:
        return Freshness.SAME
    return Freshness.UNASKED if now >= request.at + _ASK_AGAIN else Freshness.WAITING


def _unheard(question: Question, request: Request, now: datetime) -> Freshness:
    source = question.source
    if now < request.since + question.timeout:
        return Freshness.WAITING
    is_silent = source.acknowledged is None and not source.trouble and not source.may_read(question.changes)
    return Freshness.SILENT if is_silent else Freshness.OVERDUE


def _has_synced(question: Question, request: Request) -> bool:
    source = question.source
    if source.acknowledged is None:
        return _has_moved(question, question.subscription, request)
    if source.is_copied:
        # A sync that was under way answers as well; and an answer in whole seconds may be that of before.
        return _is_copied(question, question.subscription)
    return _has_answered(source, request)


def _is_copied(question: Question, subscription: str) -> bool:
    """Whether the sync had read what a subscription asked: it stands on the Secrets, too."""
    key = annotations.resync_key(subscription)
    asked = question.source.annotations.get(key)
    shown = [content.annotations.get(key) == asked for content in question.contents.values()]
    return bool(shown) and all(shown)
