"""How one knows that a source has synced, and whether the content is another one then."""

from datetime import datetime, timedelta
from enum import Enum, auto

from infisical_events.api import annotations
from infisical_events.core.ledger.revisions import is_stamp_at_least
from infisical_events.core.sync.secret_providers import Source
from infisical_events.core.sync.sync_requests import (
    Question,
    Request,
    has_answered,
    has_moved,
    is_copied,
    key_of,
    request_of,
)

_WAS_FIRST = timedelta(seconds=10)
"""How long a source that answers nothing is given to move again, if it had moved before it was asked."""

_ASK_AGAIN = timedelta(seconds=1)
"""A source that finds the same data is asked once more: it may have read a replica that lags."""

_MOST_ATTEMPTS = 2


class Freshness(Enum):
    """What a source can vouch for."""

    UNASKED = auto()
    WAITING = auto()
    CHANGED = auto()
    """It has synced since it was asked, as far as it tells, and the content is another one."""
    SAME = auto()
    """It has synced since, as far as it tells, and the content is what the pods have."""
    SILENT = auto()
    """It never answers, its content has not moved in time, and no change is known that it should show."""
    OVERDUE = auto()


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
        now < request.at + question.timeout and not has_moved(question, asker, request)
        for asker in askers
        if (request := request_of(source, asker, now)) and _can_tell(question, request)
    )


def _judged(question: Question, now: datetime) -> Freshness:
    source = question.source
    if source.unable:
        return Freshness.OVERDUE
    if question.is_watched:
        return Freshness.CHANGED if question.is_worth_it else _unmoved(source)
    return _overheard(question, now) if source.deaf else _heard(question, now)


def _heard(question: Question, now: datetime) -> Freshness:
    """What it has answered, as far as it answers."""
    source = question.source
    request = request_of(source, question.subscription, now)
    if request is None or not _is_for(question, request):
        return Freshness.UNASKED
    if _has_synced(question, request):
        has_changed = any(question.known.has_changed(*held) for held in question.tokens.items())
        return Freshness.CHANGED if question.is_requested or has_changed else _unchanged(source, request, now)
    if source.acknowledged is None and question.is_worth_it and now >= request.at + _WAS_FIRST:
        return Freshness.CHANGED
    return _unheard(question, request, now)


def _is_for(question: Question, request: Request) -> bool:
    """Whether it was asked for this or later, and its answer can be told."""
    is_asked = is_stamp_at_least(request.stamp, question.epoch, question.seq)
    return is_asked and _can_tell(question, request)


def _can_tell(question: Question, request: Request) -> bool:
    """Whether an answer would be seen: what content alone tells takes the key of when it was asked."""
    held = ((request.tokens.get(name, ""), token) for name, token in question.tokens.items())
    is_comparable = all(key_of(before) == key_of(token) for before, token in held if before and token)
    return is_comparable or question.source.acknowledged is not None


def _unmoved(source: Source) -> Freshness:
    """After a restart: who has answered for the content that it had, and who may still bring another one."""
    return Freshness.SAME if source.answers else Freshness.OVERDUE


def _overheard(question: Question, now: datetime) -> Freshness:
    """Who cannot be asked syncs by itself, and its content tells."""
    if question.is_worth_it:
        return Freshness.CHANGED
    return Freshness.OVERDUE if now >= question.since + question.timeout else Freshness.WAITING


def _unchanged(source: Source, request: Request, now: datetime) -> Freshness:
    if request.attempt >= _MOST_ATTEMPTS or source.acknowledged is None:
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
        return has_moved(question, question.subscription, request)
    if source.is_copied:
        # A sync that was under way answers as well; and an answer in whole seconds may be that of before.
        return is_copied(question, question.subscription)
    return has_answered(source, request)
