"""Whether the Secrets of one workload are fresh, all of their sources taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from infisical_events.core.ledger.ledger import Unconfirmed
from infisical_events.core.status.text import preview
from infisical_events.core.sync.sync_state import SyncState

_MAX_NAMED = 3

_ORDER = (
    SyncState.NOT_REQUESTED,
    SyncState.WAITING,
    SyncState.TIMED_OUT,
    SyncState.CHANGED,
    SyncState.UNRESPONSIVE,
    SyncState.UNCHANGED,
)
"""Which state speaks for all of a workload's sources: the first that one of them is in."""

_SYNCED = (SyncState.CHANGED, SyncState.UNCHANGED)
"""States that tell of a sync."""


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What one source can vouch for; `name` and `trouble` are for people.

    `hope` is how long an answer may still come after it was due; `is_proven` tells whether what it vouches
    for is its own word, and not a guess by its content.
    """

    name: str
    state: SyncState
    error_message: str = ""
    max_wait: timedelta = timedelta.max
    is_proven: bool = True

    def __str__(self) -> str:
        """`ExternalSecret payments (could not get secret data)`."""
        return f"{self.name} ({self.error_message})" if self.error_message else self.name


@dataclass(frozen=True, slots=True)
class WorkloadSyncState:
    """The Secrets of a workload, together; no state where nobody is known to write any of them.

    `note` names the sources that the state is about, `hope` is the longest of those that may still answer;
    `tokens` is what the content is now, by the Secrets' names. With `is_guess` the content of some source
    that never answers was taken for what is newest.
    """

    state: SyncState | None
    note: str = ""
    content_fingerprints: Mapping[str, str] = field(default_factory=dict)
    max_wait: timedelta = timedelta()
    is_guess: bool = False

    @property
    def known_fingerprints(self) -> dict[str, str]:
        """The tokens that somebody vouches for."""
        return {name: token for name, token in self.content_fingerprints.items() if token}

    @property
    def unconfirmed(self) -> Unconfirmed | None:
        """Why what pods begin with now may have to be replaced."""
        if self.state is SyncState.TIMED_OUT:
            return Unconfirmed.PROVIDER_TIMED_OUT if self.max_wait else None
        return Unconfirmed.PROVIDER_SILENT if self.is_guess else None


def combine(
    answers: Iterable[ProviderState], tokens: Mapping[str, str], unfollowed: Iterable[str]
) -> WorkloadSyncState:
    """One state of many: all have to have synced, and one whose content changed is enough for a restart.

    A silent one may have found the same data or be dead. Where the content of another one explains what
    changed, it is taken at its word; alone it vouches for nothing.
    """
    by_state: dict[SyncState, list[ProviderState]] = {}
    for answer in answers:
        by_state.setdefault(answer.state, []).append(answer)
    for state in _ORDER:
        if state in by_state:
            told = SyncState.TIMED_OUT if state is SyncState.UNRESPONSIVE else state
            guesses = [answer for s in _SYNCED for answer in by_state.get(s, ()) if not answer.is_proven]
            hope = max(answer.max_wait for answer in (*by_state[state], *guesses))
            return WorkloadSyncState(told, preview(by_state[state], _MAX_NAMED), tokens, hope, bool(guesses))
    aside = ", ".join(unfollowed)
    note = "none of its Secrets is written by this operator, the Infisical operator or External Secrets"
    return WorkloadSyncState(None, f"{note}; {aside} is not followed" if aside else note, tokens)
