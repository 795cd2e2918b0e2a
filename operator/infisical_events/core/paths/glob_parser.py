"""How a path glob is read: its text into the steps of `patterns`, by the rules of picomatch 3.

Used by `globs` alone. Where picomatch is not consistent this is not either, and says so; what it
would take for something else than it says is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from infisical_events.core.paths.glob_matcher import Character, Choice, Repeated, Run, Step, Steps, Text

MAX_NESTING: Final = 4

# A hyphen stands at either end of a class, or between two letters or digits.
CLASS: Final = r"\[\^?(?!\])-?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_])*-?\]"
_TOKEN: Final = re.compile(
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


def read(pattern: str) -> Steps:
    """The steps of a path glob that starts with one `/`.

    Raises:
        ValueError: a predicate to the pattern: what it has that it must not have.
    """
    (steps,) = _alternatives(_tokens(pattern), ())
    return steps


def characters_of(text: str) -> frozenset[str]:
    """The characters that a `CLASS` names, whether it means them or all others.

    Raises:
        ValueError: as `read` does, for a range that would be empty.
    """
    members: set[str] = set()
    for first, last, single in re.findall(r"(\w)-(\w)|(.)", text.strip("[^]")):
        if first > last:
            raise ValueError(f"has a range that runs backwards: write [{last}-{first}]")
        members.update(single or map(chr, range(ord(first), ord(last) + 1)))
    return frozenset(members)


@dataclass(frozen=True, slots=True)
class _Token:
    """A lexical element; `before` is the character before it, `""` at the start of the pattern."""

    kind: str
    text: str
    before: str
    is_last: bool


def _tokens(pattern: str) -> Iterator[_Token]:
    position = 0
    while position < len(pattern):
        found = _TOKEN.match(pattern, position)
        if found is None:
            raise ValueError(_strange_character(pattern[position], position))
        before, position = pattern[position - 1 : position], found.end()
        yield _Token(str(found.lastgroup), found[0], before, is_last=position == len(pattern))


def _strange_character(character: str, position: int) -> str:
    explanations = {
        "[": "opens a class that is not like [abc], [a-z] or [^abc]",
        "(": "has to follow one of @ ? + *, as in @(a|b); or write {a,b}",
        "!": "cannot leave folders out: name those to follow",
    }
    otherwise = "cannot be in a folder's name: that has letters, digits, '-' and '_' only"
    return f"has {character!r} as character {position + 1}, which {explanations.get(character, otherwise)}"


def _alternatives(tokens: Iterator[_Token], openers: tuple[str, ...]) -> tuple[Steps, ...]:
    """Read to the end of the innermost group; `openers` are those of the groups around."""
    alternatives: list[Steps] = [()]
    for token in tokens:
        for complaint in _complaints(token, openers):
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
    once = Choice(_alternatives(tokens, (*openers, opener)))
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


def _complaints(token: _Token, openers: tuple[str, ...]) -> Iterator[str]:
    """Why the server would take the token for something else than it says."""
    innermost = openers[-1][-1] if openers else ""
    match token.kind:
        case "separator" | "close" if innermost != ("{" if token.text in ",}" else "("):
            yield f"has {token.text!r} outside of the {{a,b}} or @(a|b) it would belong to"
        case "open" if len(openers) == MAX_NESTING:
            yield f"nests groups more than {MAX_NESTING} deep"
        case "open" if token.text != "{" and any(opener != "{" for opener in openers):
            yield "has parentheses within parentheses: use braces for the inner ones"
        case "depths" if openers:
            yield "has '/**' within a group: write one glob for each alternative"
        case "run" if len(token.text) > 1 and token.before in "/{(),|":
            yield "has '**' beside something else: only alone between slashes it means any depth"
        case "run" if {"+(", "*("} & set(openers):  # also what keeps `Repeated` cheap
            yield "has '*' within a group that repeats"
        case "one" if token.before in "()":
            yield "has '?' beside a parenthesis, where the server takes it for something else"


def _text(token: _Token) -> Steps:
    return (Text(token.text),)


def _one(token: _Token) -> Steps:
    return (Character(frozenset({"", "/", "."} if token.before == "/" else {"", "/"})),)


def _run(token: _Token) -> Steps:
    # A name that begins with a wildcard is not empty; one that ends with a wildcard may be.
    begin = (Character(frozenset({"", "."}), width=0),) if token.before == "/" else ()
    return (*begin, Run("/"), *_last_slash(token))


def _class(token: _Token) -> Steps:
    members = characters_of(token.text)
    if token.text.startswith("[^"):
        return (Character(members | {"", "/"}), *_last_slash(token))
    return (Character(members, negated=False), *_last_slash(token))


def _last_slash(token: _Token) -> Steps:
    """After a final `*` or class, and after nothing else, a slash may follow (`strictSlashes`)."""
    return (Choice(((Text("/"),), ())),) if token.is_last else ()


def _depths(token: _Token) -> Steps:
    """`/**` means folders at any depth and, unless the pattern starts with it, also none."""
    at_start = not token.before
    end = Character(frozenset({""}), negated=False, width=0)
    below: Steps = (Text("/"), Character(frozenset({"."}), width=0), Run("/."))
    if not token.is_last:
        below = (*below, Text("/"))
        return below if at_start else (Choice((below, (Text("/"),), (end,))),)
    return below if at_start or token.before == "*" else (Choice((below, (end,))),)


_STEPS: Final[Mapping[str, Callable[[_Token], Steps]]] = {
    "depths": _depths,
    "text": _text,
    "run": _run,
    "one": _one,
    "class": _class,
}
