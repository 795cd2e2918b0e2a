"""The sync state of one workload: the states of all providers that write its Secrets, taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain

from infisical_events.core.ledger.ledger import Ledger, PendingRestart, Unconfirmed
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.status.text import object_name, preview
from infisical_events.core.sync.server_wait import NO_SERVER_WAIT, ServerWait
from infisical_events.core.sync.sync_requests import PodContent, SyncContext
from infisical_events.core.sync.sync_state import SyncState, evaluate

_MAX_NAMED = 3
"""Providers that one message names."""

_ORDER = (
    SyncState.NOT_REQUESTED,
    SyncState.WAITING,
    SyncState.TIMED_OUT,
    SyncState.CHANGED,
    SyncState.REJECTED,
    SyncState.UNRESPONSIVE,
    SyncState.UNCHANGED,
)
"""The first state that a provider is in speaks for the whole workload."""

_ORDER_AFTER_RESTART = (
    SyncState.NOT_REQUESTED,
    SyncState.WAITING,
    SyncState.CHANGED,
    SyncState.TIMED_OUT,
    SyncState.REJECTED,
    SyncState.UNRESPONSIVE,
    SyncState.UNCHANGED,
)
"""The order after a restart with unconfirmed content: new content of one provider waits for no other."""

_SYNCED = (SyncState.CHANGED, SyncState.UNCHANGED)
"""States after a sync."""


@dataclass(frozen=True, slots=True)
class ManagedSecretState:
    """One Secret that this or another subscription writes, after the attempt to bring it up to date.

    Attributes:
        name: Its name.
        fingerprint: Of its content; empty when nothing was ever written.
        is_written: Whether it has the content of the accepted state.
        is_waiting_for_import: Whether it is read again until a recent import shows: this ends by itself.
        is_rejected: Whether it is not written until a person changes something.
        is_affected: Whether the changes of the pending restart may be in it.
        is_proven: Whether it was seen to be written after the changes were found.
        error_message: Why it was not written.
        server_wait: For how long the server lets requests for its content wait.
    """

    name: str
    fingerprint: str
    is_written: bool
    is_waiting_for_import: bool = False
    is_rejected: bool = False
    is_affected: bool = True
    is_proven: bool = True
    error_message: str = ""
    server_wait: ServerWait = NO_SERVER_WAIT


@dataclass(frozen=True, slots=True)
class WorkloadSecrets:
    """What was gathered about the Secrets of one workload for one pending restart.

    Attributes:
        pending: The restart.
        pod_content: With which content the workload's pods were started.
        timeout: How long providers may take to sync.
        managed: The Secrets that the operator writes.
        providers: One context for each provider that writes some of the Secrets.
        untracked_volumes: What brings secrets into the pods without a Secret.
        written_at: When the newest of the Secrets was written, by the API server's clock; None if unknown.
    """

    pending: PendingRestart
    pod_content: PodContent
    timeout: timedelta
    managed: tuple[ManagedSecretState, ...] = ()
    providers: tuple[SyncContext, ...] = ()
    untracked_volumes: tuple[str, ...] = ()
    written_at: datetime | None = None

    def is_timed_out(self, now: datetime) -> bool:
        """Whether the time for a sync is over."""
        return now >= self.pending.since + self.timeout

    @property
    def counted(self) -> tuple[SyncContext, ...]:
        """The providers that are requested and waited for: those that a change may reach.

        One that reads other folders may still show the change, by a reference or an import. So it counts
        unless another provider reads the folder of the change.
        """
        affected = tuple(context for context in self.providers if not context.provider.uninvolved_reason)
        if not affected or self.pending.is_confirmation_only or self.pending.is_requested:
            return affected
        known = [context for context in affected if context.provider.is_waited_for]
        reading = [context for context in known if context.provider.may_read(context.changes)]
        if not reading:
            return affected
        return tuple(context for context in affected if context in reading or context not in known)

    @property
    def beside(self) -> tuple[SyncContext, ...]:
        """The other providers: only content that did change counts."""
        counted = self.counted
        return tuple(context for context in self.providers if context not in counted)


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What one provider vouches for; `name` and `error_message` are for people.

    `max_wait` is how long an acknowledgement may still come after the timeout; `is_proven` tells whether the
    provider acknowledges syncs, so that its content is no guess; `is_rejected` tells whether it lacks the
    changes until a person acts, whatever its state is. With `is_watched_once`, another restart is the last
    one: what a controller writes may be anything, and must not restart pods without an end.
    """

    name: str
    state: SyncState
    error_message: str = ""
    max_wait: timedelta = timedelta.max
    is_proven: bool = True
    is_rejected: bool = False
    is_watched_once: bool = False

    def __str__(self) -> str:
        """`externalsecret/payments (could not get secret data)`."""
        return f"{self.name} ({self.error_message})" if self.error_message else self.name


@dataclass(frozen=True, slots=True)
class WorkloadSyncState:
    """The Secrets of a workload, together; no state where no provider of any of them is known.

    `note` names the providers that the state is about, `max_wait` is the longest wait among those that may
    still sync; `content_fingerprints` is the content now, by the Secrets' names. With `is_guess` the content
    of a provider that never acknowledges, or is not known, was taken for the newest. With `has_rejected` a
    Secret is missing that the changes may be in; with `is_late` another provider has timed out and may still
    sync.
    """

    state: SyncState | None
    note: str = ""
    content_fingerprints: Mapping[str, str] = field(default_factory=dict)
    max_wait: timedelta = timedelta()
    is_guess: bool = False
    has_rejected: bool = False
    is_late: bool = False

    @property
    def known_fingerprints(self) -> dict[str, str]:
        """The fingerprints of content that is known."""
        return {name: text for name, text in self.content_fingerprints.items() if text}

    @property
    def unconfirmed(self) -> Unconfirmed | None:
        """Why pods that start now may have to be replaced."""
        if self.state is SyncState.TIMED_OUT:
            return Unconfirmed.PROVIDER_TIMED_OUT if self.max_wait else None
        if self.has_rejected or self.is_late:
            return Unconfirmed.PROVIDER_TIMED_OUT
        return Unconfirmed.PROVIDER_SILENT if self.is_guess else None


def unconfirmed_sync(unconfirmed: Unconfirmed | None) -> WorkloadSyncState:
    """The state of Secrets that are not read: what was unconfirmed of them stays so."""
    return WorkloadSyncState(
        None,
        is_guess=unconfirmed is Unconfirmed.PROVIDER_SILENT,
        is_late=unconfirmed is Unconfirmed.PROVIDER_TIMED_OUT,
    )


def sync_state_of(
    secrets: WorkloadSecrets, now: datetime, requests: Mapping[str, str] | None = None
) -> WorkloadSyncState:
    """The state of all Secrets of a workload.

    `requests` has the providers, by uid, that were requested to sync in this round: an empty text for a
    request that was accepted or is repeated in the next round, otherwise the API server's message.
    """
    states = _known_states(secrets, now, requests or {}) or _disabled_states(secrets)
    order = _ORDER_AFTER_RESTART if secrets.pending.is_watch else _ORDER
    together = combine(states, _fingerprints(secrets, states), _not_tracked(secrets), order)
    if not secrets.pending.is_confirmation_only:
        return together
    return replace(together, is_guess=together.is_guess or together.is_late, is_late=False)


def _known_states(
    secrets: WorkloadSecrets, now: datetime, requests: Mapping[str, str]
) -> list[ProviderState]:
    """The states of all that a change may reach, and of the others whose content changed."""
    return [
        *(_managed_state(managed, secrets, now) for managed in secrets.managed),
        *(_provider_state(context, secrets, now, requests) for context in secrets.counted),
        *(
            ProviderState(str(context.provider), SyncState.CHANGED)
            for context in secrets.beside
            if _has_changed_beside(context)
        ),
    ]


def _disabled_states(secrets: WorkloadSecrets) -> list[ProviderState]:
    """Providers that never sync again have the content that they had."""
    return [
        ProviderState(str(context.provider), SyncState.UNCHANGED, context.provider.disabled_reason)
        for context in secrets.beside
        if context.provider.disabled_reason
    ]


def _fingerprints(secrets: WorkloadSecrets, states: Iterable[ProviderState]) -> dict[str, str]:
    """The content that a restart record keeps; that of Secrets that are only watched if no other is known."""
    is_known = any(state.state is not SyncState.ASIDE for state in states)
    fingerprints = {managed.name: managed.fingerprint for managed in secrets.managed}
    for context in secrets.providers:
        if context.provider.is_waited_for or not is_known:
            fingerprints |= context.content_fingerprints
    return fingerprints


def _has_changed_beside(context: SyncContext) -> bool:
    if context.provider.uninvolved_reason:
        return not context.is_confirmation_only and context.has_changed_beside
    return context.has_new_content


def _not_tracked(secrets: WorkloadSecrets) -> tuple[str, ...]:
    """What brings secrets into the pods and is not waited for, with the reason."""
    volumes = (f"{volume} is not tracked" for volume in secrets.untracked_volumes)
    unaffected = (
        f"{context.provider}: {context.provider.uninvolved_reason}"
        for context in secrets.providers
        if context.provider.uninvolved_reason
    )
    return (*volumes, *unaffected)


def providers_to_request(secrets: WorkloadSecrets, now: datetime) -> tuple[SyncContext, ...]:
    """The providers that have to be requested to sync for this restart, which none was before."""
    return tuple(context for context in secrets.counted if evaluate(context, now) is SyncState.NOT_REQUESTED)


def may_affect(folder: Folder, pending: PendingRestart, ledger: Ledger) -> bool:
    """Whether the changes of a pending restart may be in a Secret that is made from this folder.

    A change of what the folder imports is one of the folder, too, if the ledger covers the folder.
    """
    is_covered = any(scope.covers(folder) for scope in ledger.scopes)
    return not is_covered or any(change.scope.overlaps(Scope(folder)) for change in pending.changes)


def _managed_state(managed: ManagedSecretState, secrets: WorkloadSecrets, now: datetime) -> ProviderState:
    message = managed.error_message if managed.is_affected else ""
    return ProviderState(
        name=object_name("Secret", managed.name),
        state=_state_of_managed(managed, secrets, now),
        error_message=message,
        is_proven=managed.is_proven or not managed.is_affected,
        is_rejected=managed.is_rejected and managed.is_affected,
    )


def _state_of_managed(managed: ManagedSecretState, secrets: WorkloadSecrets, now: datetime) -> SyncState:
    """A Secret that will not get the changes, or that they are not in, is judged by the data that it has."""
    if managed.is_written:
        is_new = secrets.pod_content.has_changed(managed.name, managed.fingerprint)
        has_changed = secrets.pending.is_requested or is_new
        return SyncState.CHANGED if has_changed else SyncState.UNCHANGED
    is_different = secrets.pod_content.differs(managed.name, managed.fingerprint)
    if not managed.is_affected:
        return SyncState.CHANGED if is_different else SyncState.UNCHANGED
    if is_different and (managed.is_rejected or secrets.pending.is_confirmation_only):
        return SyncState.CHANGED
    if managed.is_rejected:
        return SyncState.REJECTED
    is_waiting = managed.is_waiting_for_import or managed.server_wait.is_demanded
    is_late = not is_waiting and secrets.is_timed_out(now - managed.server_wait.total)
    return SyncState.TIMED_OUT if is_late else SyncState.WAITING


def _provider_state(
    context: SyncContext, secrets: WorkloadSecrets, now: datetime, requests: Mapping[str, str]
) -> ProviderState:
    provider = context.provider
    message = provider.error_message or provider.unrequestable_reason
    state = evaluate(context, now)
    if state is not SyncState.NOT_REQUESTED:
        is_watched_once = provider.is_presumed and context.is_confirmation_only
        is_proven = provider.is_acknowledging or not context.changes or is_watched_once
        return ProviderState(str(provider), state, message, provider.max_wait, is_proven, is_watched_once)
    if failure := requests.get(provider.uid):
        is_late = secrets.is_timed_out(now)
        if is_late and secrets.pending.is_watch and context.has_new_content:  # it has synced by itself
            return ProviderState(str(provider), SyncState.CHANGED, failure, is_proven=False)
        return ProviderState(str(provider), SyncState.TIMED_OUT if is_late else SyncState.WAITING, failure)
    return ProviderState(
        str(provider), SyncState.WAITING if provider.uid in requests else SyncState.NOT_REQUESTED, message
    )


def combine(
    states: Iterable[ProviderState],
    fingerprints: Mapping[str, str],
    not_tracked: Iterable[str],
    order: Iterable[SyncState] = _ORDER,
) -> WorkloadSyncState:
    """One state of many: every provider must have synced, and one changed content is enough for a restart.

    An unresponsive provider may have found the same data or may be dead. Where the content of another one
    explains the change, its content counts; alone it vouches for nothing.
    """
    by_state: dict[SyncState, list[ProviderState]] = {}
    for provider_state in states:
        by_state.setdefault(provider_state.state, []).append(provider_state)
    for state in order:
        if state in by_state:
            return _combined(state, by_state, fingerprints)
    note = "; ".join(["no known provider to sync first", *not_tracked])
    return WorkloadSyncState(None, note, fingerprints, is_guess=SyncState.ASIDE in by_state)


def _combined(
    state: SyncState, by_state: Mapping[SyncState, list[ProviderState]], fingerprints: Mapping[str, str]
) -> WorkloadSyncState:
    """The state that speaks for the workload, and what the others add to it."""
    is_timed_out = state in {SyncState.TIMED_OUT, SyncState.UNRESPONSIVE}
    guesses = [each for s in _SYNCED for each in by_state.get(s, ()) if not each.is_proven]
    max_wait = max(each.max_wait for each in (*by_state[state], *guesses))
    late = [each for each in by_state.get(SyncState.TIMED_OUT, ()) if not each.is_watched_once]
    return WorkloadSyncState(
        state=SyncState.TIMED_OUT if is_timed_out else state,
        note=preview(by_state[state], _MAX_NAMED),
        content_fingerprints=fingerprints,
        max_wait=max_wait,
        is_guess=bool(guesses),
        has_rejected=any(each.is_rejected for each in chain.from_iterable(by_state.values())),
        is_late=not is_timed_out and any(each.max_wait for each in late),
    )
