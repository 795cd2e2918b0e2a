"""What a path glob is made of: steps, each from the offsets reached in a path to those it can reach.

`globs` builds patterns from them. A set of offsets never holds one offset twice, so nothing is ever
tried twice and there is no backtracking: the work is bounded by the number of steps times the
length of the path, and no pattern can stall the event loop.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Protocol, TypeAlias

Offsets: TypeAlias = frozenset[int]


class Step(Protocol):
    """One part of a pattern."""

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """Where the part can end if it begins at one of the offsets."""
        ...


Steps: TypeAlias = tuple[Step, ...]


def fits(steps: Steps, path: str) -> bool:
    """Tell whether the steps, one after the other, cover the whole path."""
    return len(path) in _walk(steps, path, frozenset({0}))


def _walk(steps: Steps, path: str, offsets: Offsets) -> Offsets:
    return reduce(lambda reached, step: step.advance(path, reached), steps, offsets)


@dataclass(frozen=True, slots=True)
class Text:
    """Exactly this text."""

    text: str

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """Past the text, where it stands."""
        return frozenset(o + len(self.text) for o in offsets if path.startswith(self.text, o))


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a set, or of its complement; of width 0 it is only looked at.

    The end of the path counts as the character `""`.
    """

    characters: frozenset[str]
    negated: bool = True
    width: int = 1

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """Past the character, if it is one of those meant."""
        return frozenset(
            o + self.width for o in offsets if (path[o : o + 1] in self.characters) is not self.negated
        )


@dataclass(frozen=True, slots=True)
class Run:
    """Any number of characters, none included, up to the next `stop`."""

    stop: str

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """Everywhere from the offsets to the stop after each."""
        reached: set[int] = set()
        for start in sorted(offsets):
            if start not in reached:  # otherwise an earlier run covers this one
                end = path.find(self.stop, start)
                reached.update(range(start, 1 + (len(path) if end < 0 else end)))
        return frozenset(reached)


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of the alternatives."""

    alternatives: tuple[Steps, ...]

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """Past any alternative."""
        return frozenset().union(*(_walk(steps, path, offsets) for steps in self.alternatives))


@dataclass(frozen=True, slots=True)
class Repeated:
    """A choice made once or more often."""

    choice: Choice

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        """Past any number of choices; every offset is continued from once."""
        reached: Offsets = frozenset()
        while offsets:
            offsets = self.choice.advance(path, offsets) - reached
            reached |= offsets
        return reached
