"""Parsing of a path glob into the steps of `glob_matcher`, by the rules of picomatch 3.

Used by `path_globs` only. Where picomatch is inconsistent, this parser follows it and a comment says so. It
rejects globs that picomatch would interpret in a way that their text does not suggest.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from infisical_events.core.paths.glob_matcher import Character, Choice, Repeated, Run, Step, Steps, Text

MAX_NESTING: Final = 4

# A hyphen is at either end of a class, or between two letters or digits.
CLASS: Final = r"\[\^?(?!\])-?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_])*-?\]"
_LEXEME: Final = re.compile(
    rf"""
      (?P<depths>(?:/\*\*)+(?:/|\Z))
    | (?P<text>/|[A-Za-z0-9_-]+)
    | (?P<open>\{{|[@?+*]\()
    | (?P<separator>[,|])
    | (?P<close>[}})])
    | (?P<run>\*+)
    | (?P<one>\?)
    | (?P<class>{CLASS})
    """,
    re.VERBOSE,
)


def parse_glob(pattern: str) -> Steps:
    """The steps of a path glob that starts with one `/`.

    Raises:
        ValueError: the glob is invalid; the message is a predicate whose subject is the glob.
    """
    (steps,) = _alternatives(_lexemes(pattern), ())
    return steps


def characters_of(text: str) -> frozenset[str]:
    """The characters that a `CLASS` lists, whether it is negated or not.

    Raises:
        ValueError: as in `parse_glob`, for a range that would be empty.
    """
    members: set[str] = set()
    for first, last, single in re.findall(r"(\w)-(\w)|(.)", text.strip("[^]")):
        if first > last:
            raise ValueError(f"has a range in reverse order: write [{last}-{first}]")
        members.update(single or map(chr, range(ord(first), ord(last) + 1)))
    return frozenset(members)


@dataclass(frozen=True, slots=True)
class _Lexeme:
    """A lexical element; `before` is the character before it, `""` at the start of the pattern."""

    kind: str
    text: str
    before: str
    is_last: bool


def _lexemes(pattern: str) -> Iterator[_Lexeme]:
    position = 0
    while position < len(pattern):
        found = _LEXEME.match(pattern, position)
        if found is None:
            raise ValueError(_unexpected_character(pattern[position], position))
        before, position = pattern[position - 1 : position], found.end()
        yield _Lexeme(str(found.lastgroup), found[0], before, is_last=position == len(pattern))


def _unexpected_character(character: str, position: int) -> str:
    explanations = {
        "[": "opens a class that is not like [abc], [a-z] or [^abc]",
        "(": "has to follow one of @ ? + *, as in @(a|b); or write {a,b}",
        "!": "cannot exclude folders: list the folders to watch",
    }
    otherwise = "no folder name can contain: use letters, digits, '-' and '_'"
    return f"has {character!r} as character {position + 1}, which {explanations.get(character, otherwise)}"


def _alternatives(lexemes: Iterator[_Lexeme], openers: tuple[str, ...]) -> tuple[Steps, ...]:
    """Parse to the end of the innermost group; `openers` are those of all enclosing groups."""
    alternatives: list[Steps] = [()]
    for lexeme in lexemes:
        for error in _errors_of(lexeme, openers):
            raise ValueError(error)
        if lexeme.kind == "close":
            return tuple(alternatives)
        if lexeme.kind == "separator":
            alternatives.append(())
        elif lexeme.kind == "open":
            alternatives[-1] += (_group(lexeme.text, lexemes, openers),)
        else:
            alternatives[-1] += _STEPS[lexeme.kind](lexeme)
    if openers:
        raise ValueError(f"does not close its '{openers[-1]}'")
    return tuple(alternatives)


def _group(opener: str, lexemes: Iterator[_Lexeme], openers: tuple[str, ...]) -> Step:
    once = Choice(_alternatives(lexemes, (*openers, opener)))
    match opener:
        case "{" if len(once.alternatives) == 1:
            raise ValueError("has braces around one alternative: write {a,b}, or no braces")
        case "?(":
            return Choice(((once,), ()))
        case "+(":
            return Repeated(once)
        case "*(":
            return Choice(((Repeated(once),), ()))
    return once


def _errors_of(lexeme: _Lexeme, openers: tuple[str, ...]) -> Iterator[str]:
    """Why the server would interpret the lexeme differently from what its text suggests."""
    innermost = openers[-1][-1] if openers else ""
    match lexeme.kind:
        case "separator" | "close" if innermost != ("{" if lexeme.text in ",}" else "("):
            yield f"has {lexeme.text!r} outside of {{a,b}} and @(a|b): add the group, or remove it"
        case "open" if len(openers) == MAX_NESTING:
            yield f"nests groups more than {MAX_NESTING} deep: write several globs"
        case "open" if lexeme.text != "{" and any(opener != "{" for opener in openers):
            yield "has parentheses inside parentheses: use braces for the inner group"
        case "depths" if openers:
            yield "has '/**' inside a group: write one glob for each alternative"
        case "run" if len(lexeme.text) > 1 and lexeme.before in "/{(),|":
            yield "has '**' next to other characters: write '/**/' or a final '/**' to match any depth"
        case "run" if {"+(", "*("} & set(openers):  # this also bounds the work of `Repeated`
            yield "has '*' inside a group that repeats: remove one of the two"
        case "one" if lexeme.before in "()":
            yield "has '?' next to a parenthesis, which the server interprets differently: use braces"


def _text(lexeme: _Lexeme) -> Steps:
    return (Text(lexeme.text),)


def _one(lexeme: _Lexeme) -> Steps:
    return (Character(frozenset({"", "/", "."} if lexeme.before == "/" else {"", "/"})),)


def _run(lexeme: _Lexeme) -> Steps:
    # A name that starts with a wildcard is not empty; the part that a final wildcard matches may be.
    begin = (Character(frozenset({"", "."}), width=0),) if lexeme.before == "/" else ()
    return (*begin, Run("/"), *_last_slash(lexeme))


def _class(lexeme: _Lexeme) -> Steps:
    members = characters_of(lexeme.text)
    if lexeme.text.startswith("[^"):
        return (Character(members | {"", "/"}), *_last_slash(lexeme))
    return (Character(members, negated=False), *_last_slash(lexeme))


def _last_slash(lexeme: _Lexeme) -> Steps:
    """A slash may follow a final `*` or class, and no other element (`strictSlashes: false`)."""
    return (Choice(((Text("/"),), ())),) if lexeme.is_last else ()


def _depths(lexeme: _Lexeme) -> Steps:
    """`/**` matches folders at any depth and, unless the glob starts with it, also no folder at all."""
    at_start = not lexeme.before
    end = Character(frozenset({""}), negated=False, width=0)
    below: Steps = (Text("/"), Character(frozenset({"."}), width=0), Run("/."))
    if not lexeme.is_last:
        below = (*below, Text("/"))
        return below if at_start else (Choice((below, (Text("/"),), (end,))),)
    return below if at_start or lexeme.before == "*" else (Choice((below, (end,))),)


_STEPS: Final[Mapping[str, Callable[[_Lexeme], Steps]]] = {
    "depths": _depths,
    "text": _text,
    "run": _run,
    "one": _one,
    "class": _class,
}
