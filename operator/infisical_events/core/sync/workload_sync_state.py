"""Whether the Secrets of one workload are fresh, all of their sources taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from infisical_events.core.ledger.ledger import Doubt
from infisical_events.core.status.text import first_few
from infisical_events.core.sync.sync_state import Freshness

_MOST_TOLD = 3

_ORDER = (
    Freshness.UNASKED,
    Freshness.WAITING,
    Freshness.OVERDUE,
    Freshness.CHANGED,
    Freshness.SILENT,
    Freshness.SAME,
)
"""Which state speaks for all of a workload's sources: the first that one of them is in."""

_TOLD_OF = (Freshness.CHANGED, Freshness.SAME)
"""States that tell of a sync."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one source can vouch for; `name` and `trouble` are for people.

    `hope` is how long an answer may still come after it was due; `is_proven` tells whether what it vouches
    for is its own word, and not a guess by its content.
    """

    name: str
    state: Freshness
    trouble: str = ""
    hope: timedelta = timedelta.max
    is_proven: bool = True

    def __str__(self) -> str:
        """`ExternalSecret payments (could not get secret data)`."""
        return f"{self.name} ({self.trouble})" if self.trouble else self.name


@dataclass(frozen=True, slots=True)
class Fresh:
    """The Secrets of a workload, together; no state where nobody is known to write any of them.

    `note` names the sources that the state is about, `hope` is the longest of those that may still answer;
    `tokens` is what the content is now, by the Secrets' names. With `is_guess` the content of some source
    that never answers was taken for what is newest.
    """

    state: Freshness | None
    note: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)
    hope: timedelta = timedelta()
    is_guess: bool = False

    @property
    def known_tokens(self) -> dict[str, str]:
        """The tokens that somebody vouches for."""
        return {name: token for name, token in self.tokens.items() if token}

    @property
    def doubt(self) -> Doubt | None:
        """Why what pods begin with now may have to be replaced."""
        if self.state is Freshness.OVERDUE:
            return Doubt.STALE if self.hope else None
        return Doubt.EARLY if self.is_guess else None


def combined(answers: Iterable[Answer], tokens: Mapping[str, str], unfollowed: Iterable[str]) -> Fresh:
    """One state of many: all have to have synced, and one whose content changed is enough for a restart.

    A silent one may have found the same data or be dead. Where the content of another one explains what
    changed, it is taken at its word; alone it vouches for nothing.
    """
    by_state: dict[Freshness, list[Answer]] = {}
    for answer in answers:
        by_state.setdefault(answer.state, []).append(answer)
    for state in _ORDER:
        if state in by_state:
            told = Freshness.OVERDUE if state is Freshness.SILENT else state
            guesses = [answer for s in _TOLD_OF for answer in by_state.get(s, ()) if not answer.is_proven]
            hope = max(answer.hope for answer in (*by_state[state], *guesses))
            return Fresh(told, first_few(by_state[state], _MOST_TOLD), tokens, hope, bool(guesses))
    aside = ", ".join(unfollowed)
    note = "none of its Secrets is written by this operator, the Infisical operator or External Secrets"
    return Fresh(None, f"{note}; {aside} is not followed" if aside else note, tokens)
