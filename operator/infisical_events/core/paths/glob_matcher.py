"""Matching of path globs: each step maps the offsets reached in a path to the offsets it can reach next.

`glob_parser` builds the steps. A set holds each offset once, so no offset is tried twice and there is no
backtracking: the work is bounded by the number of steps times the length of the path, and no glob can block
the event loop.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Protocol, TypeAlias

Offsets: TypeAlias = frozenset[int]


class Step(Protocol):
    """One element of a glob."""

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """The offsets where the element can end if it begins at one of these offsets."""
        ...


Steps: TypeAlias = tuple[Step, ...]


def fits(steps: Steps, path: str) -> bool:
    """Whether the steps, one after the other, match the whole path."""
    return len(path) in _walk(steps, path, frozenset({0}))


def _walk(steps: Steps, path: str, offsets: Offsets) -> Offsets:
    return reduce(lambda reached, step: step.advance(path, reached), steps, offsets)


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text."""

    text: str

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """The offsets after the text, wherever it occurs."""
        return frozenset(o + len(self.text) for o in offsets if path.startswith(self.text, o))


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a set, or of its complement; width 0 makes it a lookahead.

    The end of the path counts as the character `""`.
    """

    characters: frozenset[str]
    negated: bool = True
    width: int = 1

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """The offsets after the character, where it matches."""
        return frozenset(
            o + self.width for o in offsets if (path[o : o + 1] in self.characters) is not self.negated
        )


@dataclass(frozen=True, slots=True)
class Run:
    """Zero or more characters, up to the next `stop`."""

    stop: str

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """Every offset from each start to the next stop."""
        reached: set[int] = set()
        for start in sorted(offsets):
            if start not in reached:  # otherwise an earlier run covers this one
                end = path.find(self.stop, start)
                reached.update(range(start, 1 + (len(path) if end < 0 else end)))
        return frozenset(reached)


@dataclass(frozen=True, slots=True)
class Choice:
    """Exactly one of the alternatives."""

    alternatives: tuple[Steps, ...]

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """The offsets after any of the alternatives."""
        return frozenset().union(*(_walk(steps, path, offsets) for steps in self.alternatives))


@dataclass(frozen=True, slots=True)
class Repeated:
    """One or more repetitions of a choice."""

    choice: Choice

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """The offsets after one or more repetitions; each offset is expanded once."""
        reached: Offsets = frozenset()
        while offsets:
            offsets = self.choice.advance(path, offsets) - reached
            reached |= offsets
        return reached
