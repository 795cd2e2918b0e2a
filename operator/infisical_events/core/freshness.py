"""Whether the Secrets of one workload are fresh, all of their sources taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from infisical_events.core.syncing import Freshness
from infisical_events.core.wording import first_few

_MOST_TOLD = 3

_ORDER = (
    Freshness.UNASKED,
    Freshness.WAITING,
    Freshness.OVERDUE,
    Freshness.EARLY,
    Freshness.CHANGED,
    Freshness.SILENT,
    Freshness.SAME,
)
"""Which state speaks for all of a workload's sources: the first that one of them is in."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one source can vouch for; `name` and `trouble` are for people.

    `hope` is how long an answer may still come after it was due.
    """

    name: str
    state: Freshness
    trouble: str = ""
    hope: timedelta = timedelta.max

    def __str__(self) -> str:
        """`ExternalSecret payments (could not get secret data)`."""
        return f"{self.name} ({self.trouble})" if self.trouble else self.name


@dataclass(frozen=True, slots=True)
class Fresh:
    """The Secrets of a workload, together; no state where nobody is known to write any of them.

    `note` names the sources that the state is about, `hope` is the longest of theirs and of those whose
    content moved early; `tokens` is what the content is now, by the Secrets' names.
    """

    state: Freshness | None
    note: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)
    hope: timedelta = timedelta()

    @property
    def known_tokens(self) -> dict[str, str]:
        """The tokens that somebody vouches for."""
        return {name: token for name, token in self.tokens.items() if token}

    @property
    def is_stale(self) -> bool:
        """Whether the content is not known to be fresh, and may become so."""
        return self.state is Freshness.EARLY or (self.state is Freshness.OVERDUE and bool(self.hope))

    @property
    def has_changed(self) -> bool:
        """Whether the content is another one than the pods have, as far as anybody can tell."""
        return self.state in {Freshness.CHANGED, Freshness.EARLY}


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
            doubted = [*by_state[state], *by_state.get(Freshness.EARLY, ())]
            hope = max(answer.hope for answer in doubted)
            return Fresh(told, first_few(by_state[state], _MOST_TOLD), tokens, hope)
    aside = ", ".join(unfollowed)
    note = "none of its Secrets is written by this operator, the Infisical operator or External Secrets"
    return Fresh(None, f"{note}; {aside} is not followed" if aside else note, tokens)
