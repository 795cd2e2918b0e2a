"""The sync state of one provider: whether it has synced, and whether the content is new."""

from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import islice

from infisical_events.api import annotations
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import (
    SyncContext,
    SyncRequest,
    fingerprint_key_id,
    has_answered,
    has_moved,
    has_synced_since_sent,
    is_copied,
    is_removed,
    request_in_force,
    sync_request_of,
)

_EARLY_CONTENT_WAIT = timedelta(seconds=10)
"""How long a provider that never acknowledges may change again, if it changed before the request."""

_REQUEST_AGAIN_AFTER = timedelta(seconds=1)
"""A provider that finds the same data is requested once more: its read may have been stale."""

_MOST_ATTEMPTS = 2

_MAX_ASKERS = 100
"""Subscriptions whose requests are read from one provider: as many as may have one project."""


class SyncState(Enum):
    """What a provider vouches for."""

    NOT_REQUESTED = auto()
    WAITING = auto()
    CHANGED = auto()
    """It has synced since the request, as far as it acknowledges, and the content is new."""
    UNCHANGED = auto()
    """It has synced since, as far as it acknowledges, and the pods have this content."""
    UNRESPONSIVE = auto()
    """It never acknowledges, its content did not change in time, and no known change should show."""
    TIMED_OUT = auto()
    REJECTED = auto()
    """The Secret is not written until a person changes something: it has neither old nor new data to show."""
    ASIDE = auto()
    """Nothing is known of its provider, so no restart waits for it; its content is watched afterwards."""


def evaluate(context: SyncContext, now: datetime) -> SyncState:
    """Whether the provider has synced since it was requested for this restart, and found new content.

    It is requested once at a time: a sync in progress for an older request would count as the response to
    the newer one.
    """
    state = _evaluated(context, now)
    return SyncState.WAITING if state is SyncState.NOT_REQUESTED and _is_busy(context, now) else state


def _is_busy(context: SyncContext, now: datetime) -> bool:
    provider, prefix = context.provider, annotations.resync_key("")
    keys = (key for key in provider.annotations if key.startswith(prefix))
    askers = [key.removeprefix(prefix) for key in islice(keys, _MAX_ASKERS)]
    return any(
        now < request.at + context.timeout and not has_moved(context, asker, request)
        for asker in askers
        if (request := sync_request_of(provider, asker, now)) and _can_tell(context, request)
    )


def _evaluated(context: SyncContext, now: datetime) -> SyncState:
    provider = context.provider
    if context.is_confirmation_only:
        return SyncState.CHANGED if context.has_new_content else _state_after_restart(provider)
    if not provider.is_waited_for:
        return SyncState.ASIDE
    return (
        _state_of_unrequestable(context, now)
        if provider.unrequestable_reason
        else _state_of_request(context, now)
    )


def _state_of_request(context: SyncContext, now: datetime) -> SyncState:
    """The state by its response, as far as it responds."""
    provider = context.provider
    request = request_in_force(context, now)
    if request is None or not _is_for(context, request):
        return SyncState.NOT_REQUESTED
    is_gone = is_removed(context, now)
    if _may_be_of_before(context, request, now) and not is_gone:
        return SyncState.NOT_REQUESTED
    if _has_synced(context, request, is_gone=is_gone):
        return _state_by_content(context) or _state_of_unchanged(provider, request, now)
    if provider.acknowledged is None and context.has_new_content and now >= request.at + _EARLY_CONTENT_WAIT:
        return SyncState.CHANGED
    return SyncState.NOT_REQUESTED if is_gone else _state_without_answer(context, request, now)


def _may_be_of_before(context: SyncContext, request: SyncRequest, now: datetime) -> bool:
    """Whether a sync that was under way at the request may have answered: its provider retried a failure.

    What it acknowledges is known now, so the answer to another request is recognised. No sync is under way
    for longer than the time that is waited for one.
    """
    provider = context.provider
    is_unknown = request.was_failing and not request.acknowledged and not provider.copies_annotations
    return (
        is_unknown
        and bool(provider.acknowledged)
        and request.attempt < _MOST_ATTEMPTS
        and now < request.at + context.timeout
    )


def _is_for(context: SyncContext, request: SyncRequest) -> bool:
    """Whether the request is for this revision or a later one, and its response is recognisable."""
    return context.is_for(request) and _can_tell(context, request)


def _can_tell(context: SyncContext, request: SyncRequest) -> bool:
    """Whether a response would be recognised: content alone is compared under one key."""
    held = (
        (request.content_fingerprints.get(name, ""), token)
        for name, token in context.content_fingerprints.items()
    )
    is_comparable = all(
        fingerprint_key_id(before) == fingerprint_key_id(token) for before, token in held if before and token
    )
    return is_comparable or context.provider.acknowledged is not None


def _state_after_restart(provider: SecretProvider) -> SyncState:
    """After a restart: a provider that acknowledges is done, another one may still sync."""
    return SyncState.UNCHANGED if provider.is_acknowledging else SyncState.TIMED_OUT


def _state_of_unrequestable(context: SyncContext, now: datetime) -> SyncState:
    """A provider that cannot be requested syncs by itself, which its content shows.

    The time runs from the change, or from the first request that was removed: no attempt extends it.
    """
    if context.has_newer_content:
        return SyncState.CHANGED
    if has_synced_since_sent(context):
        return _state_by_content(context) or SyncState.UNCHANGED
    begun = context.sent.request.since if context.sent else context.since
    return SyncState.TIMED_OUT if now >= begun + context.timeout else SyncState.WAITING


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


def _state_by_content(context: SyncContext) -> SyncState | None:
    """After a sync: whether the pods lack its content, as far as theirs is known; None if they have it."""
    has_changed = any(context.known.has_changed(*held) for held in context.content_fingerprints.items())
    return SyncState.CHANGED if context.is_requested or has_changed else None


def _has_synced(context: SyncContext, request: SyncRequest, *, is_gone: bool) -> bool:
    provider = context.provider
    if provider.acknowledged is None:
        return has_moved(context, context.subscription, request)
    if is_gone:
        return has_synced_since_sent(context)
    if provider.copies_annotations:
        # A sync that was under way answers as well; and an answer in whole seconds may be that of before.
        return is_copied(context, context.subscription)
    return has_answered(provider, request)
