"""Names matched by regular expressions that a user wrote for another tool, in bounded time.

`core.workloads.other_reloaders` uses it for the lists of Stakater Reloader, which anchors each value as
`^value$` without a group around it: `a|b` means "begins with a, or ends with b". Python's `re` backtracks, so
a value could block the event loop; the steps of `glob_matcher` do not.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from infisical_events.core.paths.glob_matcher import Character, Choice, Repeated, Step, Steps, fits

_MAX_LENGTH: Final = 256
_MAX_REPEATS: Final = 16
_MAX_NESTING: Final = 2

_ATOM: Final = re.compile(
    r"(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<separator>\|)|(?P<begin>\^)|(?P<end>\$)"
    r"|\\(?P<digit>d)|\\(?P<word>w)|\\(?P<escaped>[^A-Za-z0-9])"
    r"|\[(?P<negated>\^?)(?P<members>(?:[^]\\[])+)\]|(?P<any>\.)|(?P<plain>[^][\\(){}*+?|^$.])"
)
_QUANTIFIER: Final = re.compile(r"([*+?]|\{(\d{1,3})(,(\d{0,3}))?\})\??")

_DIGITS: Final = frozenset("0123456789")
_WORD: Final = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_ANY: Final = Character(frozenset({""}))
_NOTHING: Final = Choice(((),))
_ANYTHING: Final = Choice((((Repeated(Choice(((_ANY,),)))),), ()))


@lru_cache(maxsize=1024)
def matches_anchored(value: str, name: str) -> bool:
    """Whether the regular expression `^value$` of Go finds a match in the name.

    A value that this parser does not understand matches nothing.
    """
    if re.fullmatch(r"[A-Za-z0-9-]*", value):
        return value == name
    steps = _steps_of(value)
    return steps is not None and fits(steps, name)


@lru_cache(maxsize=256)
def _steps_of(value: str) -> Steps | None:
    """The steps of an anchored value; None if it is not understood."""
    try:
        alternatives = _Parser(value).alternatives(0) if len(value) <= _MAX_LENGTH else []
    except ValueError:
        return None
    last = len(alternatives) - 1
    found = (
        (*(() if n == 0 else (_ANYTHING,)), *steps, *(() if n == last else (_ANYTHING,)))
        for n, steps in enumerate(alternatives)
    )
    return (Choice(tuple(found)),) if alternatives else None


class _Parser:
    """A recursive descent over one value."""

    def __init__(self, value: str) -> None:
        self._value, self._position = value, 0

    def alternatives(self, depth: int) -> list[Steps]:
        """Parse to the end of the innermost group; raises ValueError."""
        if depth > _MAX_NESTING:
            raise ValueError("nested too deep")
        found: list[Steps] = [()]
        while self._position < len(self._value):
            atom = self._next()
            kind = atom.lastgroup
            if kind == "close" and depth:
                return found
            if kind == "separator":
                found.append(())
            else:
                found[-1] += tuple(self._quantified(self._step(atom, depth)))
        if depth:
            raise ValueError("a group is not closed")
        return found

    def _next(self) -> re.Match[str]:
        atom = _ATOM.match(self._value, self._position)
        if atom is None:
            raise ValueError("not understood")
        self._position = atom.end()
        return atom

    def _step(self, atom: re.Match[str], depth: int) -> Step:
        kind = str(atom.lastgroup)
        if kind == "open":
            return Choice(tuple(self.alternatives(depth + 1)))
        is_outermost = (kind, atom.start()) == ("begin", 0) or (kind, atom.end()) == ("end", len(self._value))
        if is_outermost:
            return _NOTHING
        if kind in _CHARACTERS:
            return _CHARACTERS[kind](atom)
        raise ValueError("not understood")

    def _quantified(self, step: Step) -> Iterator[Step]:
        found = _QUANTIFIER.match(self._value, self._position)
        if found is None:
            yield step
            return
        self._position = found.end()
        once, low, high = Choice(((step,),)), *_bounds(found)
        yield from [once] * low
        if high is None:
            yield Choice(((Repeated(once),), ()))
        else:
            yield from [Choice(((once,), ()))] * (high - low)


def _bounds(quantifier: re.Match[str]) -> tuple[int, int | None]:
    """The least and the greatest number of repetitions; raises ValueError."""
    simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if quantifier[1] in simple:
        return simple[quantifier[1]]
    low = int(quantifier[2])
    high = low if quantifier[3] is None else int(quantifier[4]) if quantifier[4] else None
    if max(low, high or 0) > _MAX_REPEATS or (high is not None and high < low):
        raise ValueError("too many repetitions")
    return low, high


def _class(members: str, *, is_negated: bool) -> Character:
    """A class such as `[a-z0-9-]`; the end of the name is in none."""
    found: set[str] = {""} if is_negated else set()
    for first, last, single in re.findall(r"(.)-(.)|(.)", members):
        if first > last:
            raise ValueError("a range in reverse order")
        found.update(single or map(chr, range(ord(first), min(ord(last), ord(first) + 255) + 1)))
    return Character(frozenset(found), negated=is_negated)


_CHARACTERS: Final[Mapping[str, Callable[[re.Match[str]], Character]]] = {
    "digit": lambda _: Character(_DIGITS, negated=False),
    "word": lambda _: Character(_WORD, negated=False),
    "members": lambda atom: _class(atom["members"], is_negated=bool(atom["negated"])),
    "any": lambda _: _ANY,
    "escaped": lambda atom: Character(frozenset(atom["escaped"]), negated=False),
    "plain": lambda atom: Character(frozenset(atom["plain"]), negated=False),
}
