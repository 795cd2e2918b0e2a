"""Whether the Secrets of one workload are fresh, all of their sources taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from infisical_events.core.sources import Freshness
from infisical_events.core.wording import first_few

_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What one source can vouch for; `name` and `trouble` are for people."""

    name: str
    state: Freshness
    trouble: str = ""

    def __str__(self) -> str:
        """`ExternalSecret payments (could not get secret data)`."""
        return f"{self.name} ({self.trouble})" if self.trouble else self.name


@dataclass(frozen=True, slots=True)
class Fresh:
    """The Secrets of a workload, together; no state where nobody is known to write any of them.

    `note` names the sources that the state is about; `tokens` is what their content is now, by the
    Secrets' names.
    """

    state: Freshness | None
    note: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)


def combined(answers: Iterable[Answer], tokens: Mapping[str, str], unfollowed: Iterable[str]) -> Fresh:
    """One state of many: all have to have synced, and one whose content changed is enough for a restart."""
    by_state: dict[Freshness, list[Answer]] = {}
    for answer in answers:
        by_state.setdefault(answer.state, []).append(answer)
    for state in (Freshness.UNASKED, Freshness.WAITING, Freshness.OVERDUE, Freshness.CHANGED, Freshness.SAME):
        if state in by_state:
            return Fresh(state, first_few(by_state[state], _MOST_TOLD), tokens)
    aside = ", ".join(unfollowed)
    note = "none of its Secrets is written by this operator, the Infisical operator or External Secrets"
    return Fresh(None, f"{note}; {aside} is not followed" if aside else note, tokens)
