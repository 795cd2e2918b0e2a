"""Which folders and which secret keys are meant: path globs and key filters.

The server tests the path of every event against the subscribed glob with picomatch 3
(`strictSlashes: false`), whose rules are its own: `/**/a` does not match `/a`, and `/a/**` matches
`/a` but `/a*/**` does not match `/ab`. The operator has to reach the same verdict, or it would not
look where the server speaks of; so this module follows picomatch, not reason, and
`tests/wire/test_globs_against_picomatch.py` holds it against the original.

Refused, with a sentence that says what to write instead, is what the server takes but could never
match, or takes for something else than it says. Names of folders consist of ASCII letters, digits,
`-` and `_`.
"""

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from infisical_events.core.paths.glob_matcher import Steps, fits
from infisical_events.core.paths.glob_parser import CLASS, characters_of, read

MAX_LENGTH: Final = 512

MOST_PATTERNS: Final = 100
"""Of one filter, as in the CRD: an annotation of a workload may be 256 KiB long."""

LONGEST_PATH: Final = 2048
LONGEST_KEY: Final = 32_768
"""Characters of what is matched: what is longer no Infisical has, and matching takes time."""

_LITERAL: Final = re.compile(r"[A-Za-z0-9_/-]*")
_LITERAL_FOLDERS: Final = re.compile(r"\A(?:/[A-Za-z0-9_-]+(?=/))*")
_KEY: Final = re.compile(rf"(?:{CLASS}|[^][(){{}}!|,\\\s])+")


@dataclass(frozen=True, slots=True)
class PathGlob:
    """A folder glob as the server understands it; made by `compile_path_glob`."""

    pattern: str

    @property
    def is_literal(self) -> bool:
        """Whether the pattern names one folder."""
        return _LITERAL.fullmatch(self.pattern) is not None

    @property
    def base(self) -> str:
        """The deepest folder at or above all that can match: `/a/**` gives `/a`, `/a*` gives `/`."""
        if self.is_literal:
            return self.pattern
        return _LITERAL_FOLDERS.findall(self.pattern)[0].rstrip("/") or "/"

    def matches(self, path: str) -> bool:
        """Tell whether the server would deliver an event of this path, taken as it is written."""
        if self.is_literal:
            return path == self.pattern
        return len(path) <= LONGEST_PATH and _is_match(self.pattern, path)


@lru_cache(maxsize=1024)
def compile_path_glob(pattern: str) -> PathGlob:
    """Understand a folder glob.

    Raises:
        ValueError: the glob is not acceptable, with a sentence that says what to change.
    """
    try:
        _check_shape(pattern)
        _steps_of(pattern)
    except ValueError as refusal:
        raise ValueError(f"the path glob {pattern[:64]!r} {refusal}") from None
    return PathGlob(pattern)


@lru_cache(maxsize=1024)
def _steps_of(pattern: str) -> Steps:
    return read(pattern)


@lru_cache(maxsize=4096)
def _is_match(pattern: str, path: str) -> bool:
    """Remembered, for ten thousand changes are in few folders."""
    return fits(_steps_of(pattern), path)


def _check_shape(pattern: str) -> None:
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    if not pattern.startswith("/"):
        raise ValueError("must start with '/', as the path of every folder does")
    if "//" in pattern:
        raise ValueError("has an empty folder name: write one '/' instead of two")
    if pattern.endswith("/") and pattern != "/":
        raise ValueError("would never match, for no event's path ends with '/': drop the last '/'")


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which secret keys are meant: `("DB_*", "!DB_LEGACY_*")`.

    A pattern has `*`, `?`, `[abc]`, `[a-z]` and `[^abc]`; one with a leading `!` excludes. Without
    inclusions every key is included. Upper and lower case differ.

    Raises:
        ValueError: a pattern is not acceptable, with a sentence that says what to change.
    """

    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.patterns) > MOST_PATTERNS:
            raise ValueError(f"there are more than {MOST_PATTERNS} key patterns: use wider ones")
        _compile_keys(self.patterns)

    def matches(self, key: str) -> bool:
        """Tell whether the key is included and not excluded."""
        if not self.patterns or len(key) > LONGEST_KEY:
            return not self.patterns
        included, excluded = _compile_keys(self.patterns)
        return (not included or _any_matches(included, key)) and not _any_matches(excluded, key)


_Keys = tuple[re.Pattern[str], ...]


def _any_matches(patterns: _Keys, key: str) -> bool:
    return any(pattern.match(key) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compile_keys(patterns: tuple[str, ...]) -> tuple[_Keys, _Keys]:
    included = tuple(_compile_key(p) for p in patterns if not p.startswith("!"))
    excluded = tuple(_compile_key(p[1:]) for p in patterns if p.startswith("!"))
    return included, excluded


def _compile_key(pattern: str) -> re.Pattern[str]:
    try:
        _check_key(pattern)
    except ValueError as refusal:
        raise ValueError(f"the key pattern {pattern[:64]!r} {refusal}") from None
    return re.compile(fnmatch.translate(pattern.replace("[^", "[!")))


def _check_key(pattern: str) -> None:
    if not pattern:
        raise ValueError("is empty: write '*' for every key")
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    if not _KEY.fullmatch(pattern):
        raise ValueError(
            "may have *, ?, [abc], [a-z] and [^abc] beside plain characters, but no space, no other "
            "bracket and none of '!' '|' ',' '\\': write one pattern for each alternative"
        )
    for members in re.findall(CLASS, pattern):
        characters_of(members)
