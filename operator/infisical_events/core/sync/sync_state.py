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


def evaluate(context: SyncContext, now: datetime) -> SyncState:
    """Whether the source has synced since it was asked for this debt, and whether the content is another.

    It is asked one question at a time: a sync that is still under way for an older one would pass for the
    answer to the newer.
    """
    state = _evaluated(context, now)
    return SyncState.WAITING if state is SyncState.NOT_REQUESTED and _is_busy(context, now) else state


def _is_busy(context: SyncContext, now: datetime) -> bool:
    provider, prefix = context.provider, annotations.resync_key("")
    askers = [key.removeprefix(prefix) for key in provider.annotations if key.startswith(prefix)]
    return any(
        now < request.at + context.timeout and not has_moved(context, asker, request)
        for asker in askers
        if (request := sync_request_of(provider, asker, now)) and _can_tell(context, request)
    )


def _evaluated(context: SyncContext, now: datetime) -> SyncState:
    provider = context.provider
    if provider.disabled_reason:
        return SyncState.TIMED_OUT
    if context.is_confirmation_only:
        return SyncState.CHANGED if context.has_new_content else _state_after_restart(provider)
    return (
        _state_of_unrequestable(context, now)
        if provider.unrequestable_reason
        else _state_of_request(context, now)
    )


def _state_of_request(context: SyncContext, now: datetime) -> SyncState:
    """What it has answered, as far as it answers."""
    provider = context.provider
    request = sync_request_of(provider, context.subscription, now)
    if request is None or not _is_for(context, request):
        return SyncState.NOT_REQUESTED
    if _has_synced(context, request):
        has_changed = any(context.known.has_changed(*held) for held in context.content_fingerprints.items())
        return (
            SyncState.CHANGED
            if context.is_requested or has_changed
            else _state_of_unchanged(provider, request, now)
        )
    if provider.acknowledged is None and context.has_new_content and now >= request.at + _EARLY_CONTENT_WAIT:
        return SyncState.CHANGED
    return _state_without_answer(context, request, now)


def _is_for(context: SyncContext, request: SyncRequest) -> bool:
    """Whether it was asked for this or later, and its answer can be told."""
    is_asked = is_revision_at_least(request.revision, context.epoch, context.seq)
    return is_asked and _can_tell(context, request)


def _can_tell(context: SyncContext, request: SyncRequest) -> bool:
    """Whether an answer would be seen: what content alone tells takes the key of when it was asked."""
    held = (
        (request.content_fingerprints.get(name, ""), token)
        for name, token in context.content_fingerprints.items()
    )
    is_comparable = all(
        fingerprint_key_id(before) == fingerprint_key_id(token) for before, token in held if before and token
    )
    return is_comparable or context.provider.acknowledged is not None


def _state_after_restart(provider: SecretProvider) -> SyncState:
    """After a restart: who has answered for the content that it had, and who may still bring another one."""
    return SyncState.UNCHANGED if provider.is_acknowledging else SyncState.TIMED_OUT


def _state_of_unrequestable(context: SyncContext, now: datetime) -> SyncState:
    """Who cannot be asked syncs by itself, and its content tells."""
    if context.has_new_content:
        return SyncState.CHANGED
    return SyncState.TIMED_OUT if now >= context.since + context.timeout else SyncState.WAITING


def _state_of_unchanged(provider: SecretProvider, request: SyncRequest, now: datetime) -> SyncState:
    if request.attempt >= _MOST_ATTEMPTS or provider.acknowledged is None:
        return SyncState.UNCHANGED
    return SyncState.NOT_REQUESTED if now >= request.at + _REQUEST_AGAIN_AFTER else SyncState.WAITING


def _state_without_answer(context: SyncContext, request: SyncRequest, now: datetime) -> SyncState:
    provider = context.provider
    if now < request.since + context.timeout:
        return SyncState.WAITING
    is_silent = (
        provider.acknowledged is None
        and not provider.error_message
        and not provider.may_read(context.changes)
    )
    return SyncState.UNRESPONSIVE if is_silent else SyncState.TIMED_OUT


def _has_synced(context: SyncContext, request: SyncRequest) -> bool:
    provider = context.provider
    if provider.acknowledged is None:
        return has_moved(context, context.subscription, request)
    if provider.copies_annotations:
        # A sync that was under way answers as well; and an answer in whole seconds may be that of before.
        return is_copied(context, context.subscription)
    return has_answered(provider, request)
