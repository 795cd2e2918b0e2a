"""How one knows that a source has synced, and whether the content is another one then."""

from datetime import datetime, timedelta
from enum import Enum, auto

from infisical_events.api import annotations
from infisical_events.core.ledger.revisions import is_revision_at_least
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import (
    SyncContext,
    SyncRequest,
    fingerprint_key_id,
    has_answered,
    has_moved,
    is_copied,
    sync_request_of,
)

_EARLY_CONTENT_WAIT = timedelta(seconds=10)
"""How long a source that answers nothing is given to move again, if it had moved before it was asked."""

_REQUEST_AGAIN_AFTER = timedelta(seconds=1)
"""A source that finds the same data is asked once more: it may have read a replica that lags."""

_MOST_ATTEMPTS = 2


class SyncState(Enum):
    """What a source can vouch for."""

    NOT_REQUESTED = auto()
    WAITING = auto()
    CHANGED = auto()
    """It has synced since it was asked, as far as it tells, and the content is another one."""
    UNCHANGED = auto()
    """It has synced since, as far as it tells, and the content is what the pods have."""
    UNRESPONSIVE = auto()
    """It never answers, its content has not moved in time, and no change is known that it should show."""
    TIMED_OUT = auto()


def evaluate(question: SyncContext, now: datetime) -> SyncState:
    """Whether the source has synced since it was asked for this debt, and whether the content is another.

    It is asked one question at a time: a sync that is still under way for an older one would pass for the
    answer to the newer.
    """
    state = _evaluated(question, now)
    return SyncState.WAITING if state is SyncState.NOT_REQUESTED and _is_busy(question, now) else state


def _is_busy(question: SyncContext, now: datetime) -> bool:
    source, prefix = question.provider, annotations.resync_key("")
    askers = [key.removeprefix(prefix) for key in source.annotations if key.startswith(prefix)]
    return any(
        now < request.at + question.timeout and not has_moved(question, asker, request)
        for asker in askers
        if (request := sync_request_of(source, asker, now)) and _can_tell(question, request)
    )


def _evaluated(question: SyncContext, now: datetime) -> SyncState:
    source = question.provider
    if source.disabled_reason:
        return SyncState.TIMED_OUT
    if question.is_confirmation_only:
        return SyncState.CHANGED if question.has_new_content else _state_after_restart(source)
    return (
        _state_of_unrequestable(question, now)
        if source.unrequestable_reason
        else _state_of_request(question, now)
    )


def _state_of_request(question: SyncContext, now: datetime) -> SyncState:
    """What it has answered, as far as it answers."""
    source = question.provider
    request = sync_request_of(source, question.subscription, now)
    if request is None or not _is_for(question, request):
        return SyncState.NOT_REQUESTED
    if _has_synced(question, request):
        has_changed = any(question.known.has_changed(*held) for held in question.content_fingerprints.items())
        return (
            SyncState.CHANGED
            if question.is_requested or has_changed
            else _state_of_unchanged(source, request, now)
        )
    if source.acknowledged is None and question.has_new_content and now >= request.at + _EARLY_CONTENT_WAIT:
        return SyncState.CHANGED
    return _state_without_answer(question, request, now)


def _is_for(question: SyncContext, request: SyncRequest) -> bool:
    """Whether it was asked for this or later, and its answer can be told."""
    is_asked = is_revision_at_least(request.revision, question.epoch, question.seq)
    return is_asked and _can_tell(question, request)


def _can_tell(question: SyncContext, request: SyncRequest) -> bool:
    """Whether an answer would be seen: what content alone tells takes the key of when it was asked."""
    held = (
        (request.content_fingerprints.get(name, ""), token)
        for name, token in question.content_fingerprints.items()
    )
    is_comparable = all(
        fingerprint_key_id(before) == fingerprint_key_id(token) for before, token in held if before and token
    )
    return is_comparable or question.provider.acknowledged is not None


def _state_after_restart(source: SecretProvider) -> SyncState:
    """After a restart: who has answered for the content that it had, and who may still bring another one."""
    return SyncState.UNCHANGED if source.is_acknowledging else SyncState.TIMED_OUT


def _state_of_unrequestable(question: SyncContext, now: datetime) -> SyncState:
    """Who cannot be asked syncs by itself, and its content tells."""
    if question.has_new_content:
        return SyncState.CHANGED
    return SyncState.TIMED_OUT if now >= question.since + question.timeout else SyncState.WAITING


def _state_of_unchanged(source: SecretProvider, request: SyncRequest, now: datetime) -> SyncState:
    if request.attempt >= _MOST_ATTEMPTS or source.acknowledged is None:
        return SyncState.UNCHANGED
    return SyncState.NOT_REQUESTED if now >= request.at + _REQUEST_AGAIN_AFTER else SyncState.WAITING


def _state_without_answer(question: SyncContext, request: SyncRequest, now: datetime) -> SyncState:
    source = question.provider
    if now < request.since + question.timeout:
        return SyncState.WAITING
    is_silent = (
        source.acknowledged is None and not source.error_message and not source.may_read(question.changes)
    )
    return SyncState.UNRESPONSIVE if is_silent else SyncState.TIMED_OUT


def _has_synced(question: SyncContext, request: SyncRequest) -> bool:
    source = question.provider
    if source.acknowledged is None:
        return has_moved(question, question.subscription, request)
    if source.copies_annotations:
        # A sync that was under way answers as well; and an answer in whole seconds may be that of before.
        return is_copied(question, question.subscription)
    return has_answered(source, request)
