"""Which folders and which secret keys a resource follows.

The server tests the path of every event against the subscribed glob with picomatch 3
(`strictSlashes: false`), whose rules are its own: `/**/a` does not match `/a`, `/*` matches `/a/`
but `/a` does not. The operator has to reach the same verdict, or it misses changes that the server
would have announced. This module is that verdict; `tests/wire` holds it against the real picomatch.

A pattern becomes a tuple of steps. A step maps the set of offsets that a match has reached so far
to the set it can reach next, so nothing is ever tried twice: the time is bounded by the product of
the lengths of pattern and path, and no pattern can stall the event loop.

What the server would accept but never match, or match in a way that surprises, is refused with a
sentence that says what to write instead.
"""

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Final, Protocol, TypeAlias

MAX_LENGTH: Final = 512
MAX_NESTING: Final = 4

_FOLDER_CHARACTERS: Final = r"A-Za-z0-9_\-"
_LITERAL: Final = re.compile(rf"[{_FOLDER_CHARACTERS}/]*")
_CLASS: Final = r"\[\^?-?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_])*-?\]"
_TOKEN: Final = re.compile(
    rf"""
      (?P<depths>(?:/\*\*)+(?:/|\Z))
    | (?P<slash>/)
    | (?P<open>\{{|[@?+*]\()
    | (?P<separator>[,|])
    | (?P<close>[}})])
    | (?P<run>\*+)
    | (?P<one>\?)
    | (?P<class>{_CLASS})
    | (?P<text>[{_FOLDER_CHARACTERS}]+)
    """,
    re.VERBOSE,
)

_KEY: Final = re.compile(rf"(?:{_CLASS}|[^][(){{}}!|,\\\s])+")

Offsets: TypeAlias = frozenset[int]


class Step(Protocol):
    """One part of a pattern: from the offsets reached so far to those it can reach."""

    def advance(self, path: str, offsets: Offsets) -> Offsets: ...


Steps: TypeAlias = tuple[Step, ...]


def _walk(steps: Steps, path: str, offsets: Offsets) -> Offsets:
    return reduce(lambda reached, step: step.advance(path, reached), steps, offsets)


@dataclass(frozen=True, slots=True)
class _Text:
    """Exactly this text."""

    text: str

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        return frozenset(o + len(self.text) for o in offsets if path.startswith(self.text, o))


@dataclass(frozen=True, slots=True)
class _Character:
    """One character of a set, or of its complement; of width 0 it is only looked at.

    The end of the path counts as the character `""`.
    """

    characters: frozenset[str]
    negated: bool = True
    width: int = 1

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        return frozenset(
            o + self.width for o in offsets if (path[o : o + 1] in self.characters) is not self.negated
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """Any number of characters, up to the next `stop`."""

    stop: str

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        reached: set[int] = set()
        for start in sorted(offsets):
            if start not in reached:  # otherwise an earlier run has covered all of this one
                end = path.find(self.stop, start)
                reached.update(range(start, 1 + (len(path) if end < 0 else end)))
        return frozenset(reached)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Any one of the alternatives."""

    alternatives: tuple[Steps, ...]

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        return frozenset().union(*(_walk(steps, path, offsets) for steps in self.alternatives))


@dataclass(frozen=True, slots=True)
class _Repeated:
    """A choice made once or more often; each offset is continued from once."""

    choice: _Choice

    def advance(self, path: str, offsets: Offsets) -> Offsets:
        reached: Offsets = frozenset()
        while offsets:
            offsets = self.choice.advance(path, offsets) - reached
            reached |= offsets
        return reached


_SLASH: Final = _Text("/")
_NO_DOT: Final = _Character(frozenset("."), width=0)
_SEGMENT_BEGINS: Final = _Character(frozenset({".", ""}), width=0)
_END: Final = _Character(frozenset({""}), negated=False, width=0)
_STAR: Final = _Run("/")
_BELOW: Final[Steps] = (_SLASH, _NO_DOT, _Run("/."))  # hidden segments match no wildcard
_OPTIONAL_SLASH: Final = _Choice(((_SLASH,), ()))


@dataclass(frozen=True, slots=True)
class _Token:
    """A lexical element; `before` is the character before it, `""` at the start of the pattern."""

    kind: str
    text: str
    before: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class PathGlob:
    """A folder glob as the server understands it; made by `compile_path_glob`."""

    pattern: str
    _steps: Steps = field(repr=False, compare=False)

    @property
    def is_literal(self) -> bool:
        """Whether the pattern names one folder."""
        return _LITERAL.fullmatch(self.pattern) is not None

    @property
    def base(self) -> str:
        """The deepest folder above every folder that can match: `/a/**` gives `/a`, `/a*` `/`."""
        literal = _LITERAL.match(self.pattern)
        if literal is None or literal.end() == len(self.pattern):
            return self.pattern
        return literal[0].rpartition("/")[0] or "/"

    def matches(self, path: str) -> bool:
        """Tell whether the server would deliver an event of this path, taken as it is written."""
        return len(path) in _walk(self._steps, path, frozenset({0}))


@lru_cache(maxsize=1024)
def compile_path_glob(pattern: str) -> PathGlob:
    """Understand a folder glob; raises ValueError with a sentence that says what to change."""
    try:
        _check_shape(pattern)
        (steps,) = _alternatives(_tokens(pattern), ())
    except ValueError as refusal:
        raise ValueError(f"the path glob {pattern[:64]!r} {refusal}") from None
    return PathGlob(pattern, steps)


def _check_shape(pattern: str) -> None:
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    if not pattern.startswith("/"):
        raise ValueError("must start with '/', as the path of every folder does")
    if "//" in pattern:
        raise ValueError("has an empty folder name: write one '/' instead of two")
    if pattern.endswith("/") and pattern != "/":
        raise ValueError("never matches, for no event's path ends with '/': drop the last '/'")


def _tokens(pattern: str) -> Iterator[_Token]:
    position = 0
    while position < len(pattern):
        found = _TOKEN.match(pattern, position)
        if found is None:
            raise ValueError(_explain_character(pattern[position], position))
        before, position = pattern[position - 1 : position], found.end()
        yield _Token(str(found.lastgroup), found[0], before, is_last=position == len(pattern))


def _explain_character(character: str, position: int) -> str:
    explanations = {
        "[": "opens a class that is not like [abc], [a-z] or [^abc]",
        "(": "has to follow one of @ ? + *, as in @(a|b); or write {a,b}",
        "!": "cannot leave folders out: name those to follow",
    }
    explanation = explanations.get(
        character, "cannot be in a folder's name, which has letters, digits, '-' and '_' only"
    )
    return f"has a {character!r} at character {position + 1}, which {explanation}"


def _alternatives(tokens: Iterator[_Token], openers: tuple[str, ...]) -> tuple[Steps, ...]:
    """Read up to the end of the innermost group; `openers` are those of the groups around."""
    alternatives: list[Steps] = [()]
    for token in tokens:
        if complaint := _complaint(token, openers):
            raise ValueError(complaint)
        if token.kind == "close":
            return tuple(alternatives)
        if token.kind == "separator":
            alternatives.append(())
        elif token.kind == "open":
            alternatives[-1] += (_group(token.text, tokens, openers),)
        else:
            alternatives[-1] += _STEPS[token.kind](token)
    if openers:
        raise ValueError(f"does not close its '{openers[-1]}'")
    return tuple(alternatives)


def _group(opener: str, tokens: Iterator[_Token], openers: tuple[str, ...]) -> Step:
    alternatives = _alternatives(tokens, (*openers, opener))
    if opener == "{" and len(alternatives) == 1:
        raise ValueError("has braces around one alternative: write {a,b}, or no braces")
    once = _Choice(alternatives)
    match opener:
        case "?(":
            return _Choice(((once,), ()))
        case "+(":
            return _Repeated(once)
        case "*(":
            return _Choice(((_Repeated(once),), ()))
    return once


def _complaint(token: _Token, openers: tuple[str, ...]) -> str:
    """Why the server would understand the token in a way that nobody expects, or `""`."""
    innermost = openers[-1][-1] if openers else ""
    match token.kind:
        case "separator" | "close" if innermost != ("{" if token.text in ",}" else "("):
            return f"has a {token.text!r} outside of the {{a,b}} or @(a|b) it would belong to"
        case "open" if len(openers) == MAX_NESTING:
            return f"nests groups more than {MAX_NESTING} deep"
        case "open" if token.text != "{" and any(opener != "{" for opener in openers):
            return "has parentheses within parentheses: use braces for the inner ones"
        case "depths" if openers:
            return "has '/**' within a group: write one glob per alternative"
        case "run" if len(token.text) > 1 and token.before in "/{(),|":
            return "has '**' beside something else: between slashes alone it means any depth"
        case "run" if {"+(", "*("} & set(openers):
            return "has a '*' within a group that repeats"
        case "one" if token.before in "()":
            return "has a '?' beside a parenthesis, where the server takes it for something else"
    return ""


def _text(token: _Token) -> Steps:
    return (_Text(token.text),)


def _one(token: _Token) -> Steps:
    return (_Character(frozenset({"", "/", "."} if token.before == "/" else {"", "/"})),)


def _run(token: _Token) -> Steps:
    begin: Steps = (_SEGMENT_BEGINS,) if token.before == "/" else ()
    return (*begin, _STAR, *_last_slash(token))


def _class(token: _Token) -> Steps:
    negated = token.text.startswith("[^")
    members = token.text[2:-1] if negated else token.text[1:-1]
    characters = {*_class_characters(members), *({"", "/"} if negated else ())}
    return (_Character(frozenset(characters), negated), *_last_slash(token))


def _class_characters(members: str) -> Iterator[str]:
    if not members:
        raise ValueError("has an empty class: write [abc]")
    for first, last, single in re.findall(r"(\w)-(\w)|(.)", members):
        if first > last:
            raise ValueError(f"has a range that runs backwards: write [{last}-{first}]")
        yield from single or map(chr, range(ord(first), ord(last) + 1))


def _last_slash(token: _Token) -> Steps:
    """After a final `*` or class, and nowhere else, a slash may follow (`strictSlashes`)."""
    return (_OPTIONAL_SLASH,) if token.is_last else ()


def _depths(token: _Token) -> Steps:
    """`/**`: folders at any depth, and, except at the start of the pattern, no folder at all."""
    at_start = token.before == ""
    if not token.is_last:
        below = (*_BELOW, _SLASH)
        return below if at_start else (_Choice((below, (_SLASH,), (_END,))),)
    # picomatch, not reason: `/a/**` matches `/a`, but `/a*/**` matches neither `/a` nor `/ab`
    return _BELOW if at_start or token.before == "*" else (_Choice((_BELOW, (_END,))),)


_STEPS: Final = {
    "text": _text,
    "slash": _text,
    "one": _one,
    "run": _run,
    "class": _class,
    "depths": _depths,
}


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which secret keys count: those that an inclusion matches and no exclusion does.

    Without inclusions every key is included. Made by `compile_key_filter`.
    """

    included: tuple[re.Pattern[str], ...] = ()
    excluded: tuple[re.Pattern[str], ...] = ()

    def matches(self, key: str) -> bool:
        """Tell whether changes of this key count; upper and lower case differ."""
        included = not self.included or any(pattern.match(key) for pattern in self.included)
        return included and not any(pattern.match(key) for pattern in self.excluded)


@lru_cache(maxsize=1024)
def compile_key_filter(patterns: tuple[str, ...]) -> KeyFilter:
    """Understand `("DB_*", "!DB_LEGACY_*")`: `*`, `?`, `[abc]`, `[^abc]`, a leading `!` excludes.

    Raises ValueError with a sentence that says what to change.
    """
    return KeyFilter(
        included=tuple(_key_pattern(p) for p in patterns if not p.startswith("!")),
        excluded=tuple(_key_pattern(p[1:]) for p in patterns if p.startswith("!")),
    )


def _key_pattern(pattern: str) -> re.Pattern[str]:
    if not 0 < len(pattern) <= MAX_LENGTH:
        raise ValueError(f"a key pattern has 1 to {MAX_LENGTH} characters besides a leading '!'")
    if not _KEY.fullmatch(pattern):
        raise ValueError(
            f"the key pattern {pattern[:64]!r} may have *, ?, [abc], [a-z] and [^abc] beside plain "
            "characters, but no other bracket, space, '!', '|', ',' or '\\\\': write one pattern per entry"
        )
    return re.compile(fnmatch.translate(pattern.replace("[^", "[!")))
