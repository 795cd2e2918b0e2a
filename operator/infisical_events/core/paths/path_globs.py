"""Path globs, which select folders, and key filters, which select secret keys.

The server matches the path of every event against the subscribed glob with picomatch 3
(`strictSlashes: false`), which has rules of its own: `/**/a` does not match `/a`, and `/a/**` matches
`/a` but `/a*/**` does not match `/ab`. The operator must match exactly the same paths, or it would not
read folders that events come from. So this module follows picomatch even where that is surprising, and
`tests/wire/test_globs_against_picomatch.py` compares the two.

Rejected, with a sentence that says what to write instead, are globs that the server accepts but that could
never match, or that it interprets differently from what their text suggests. Folder names consist of ASCII
letters, digits, `-` and `_`.
"""

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from infisical_events.core.paths.glob_matcher import Steps, fits
from infisical_events.core.paths.glob_parser import CLASS, characters_of, parse_glob

MAX_PATTERN_LENGTH: Final = 512

MAX_PATTERNS: Final = 100
"""Patterns in one filter, as in the CRD: an annotation of a workload may be 256 KiB long."""

MAX_PATH_LENGTH: Final = 2048
MAX_KEY_LENGTH: Final = 32_768
"""Characters. Infisical has no longer paths and keys, and matching takes time."""

_LITERAL: Final = re.compile(r"[A-Za-z0-9_/-]*")
_LITERAL_FOLDERS: Final = re.compile(r"\A(?:/[A-Za-z0-9_-]+(?=/))*")
_KEY: Final = re.compile(rf"(?:{CLASS}|[^][(){{}}!|,\\\s])+")


@dataclass(frozen=True, slots=True)
class PathGlob:
    """A folder glob as the server interprets it; made by `compile_path_glob`."""

    pattern: str

    @property
    def is_literal(self) -> bool:
        """Whether the glob has no wildcard, so that it selects one folder."""
        return _LITERAL.fullmatch(self.pattern) is not None

    @property
    def base(self) -> str:
        """The deepest common folder of all paths that can match: `/a` for `/a/**`, `/` for `/a*`."""
        if self.is_literal:
            return self.pattern
        return _LITERAL_FOLDERS.findall(self.pattern)[0].rstrip("/") or "/"

    def matches(self, path: str) -> bool:
        """Whether the server delivers an event with this path, which is compared as it is written."""
        if self.is_literal:
            return path == self.pattern
        return len(path) <= MAX_PATH_LENGTH and _is_match(self.pattern, path)


@lru_cache(maxsize=1024)
def compile_path_glob(pattern: str) -> PathGlob:
    """Check and parse a folder glob.

    Raises:
        ValueError: the glob is invalid; the message says what to change.
    """
    try:
        _check_shape(pattern)
        _steps_of(pattern)
    except ValueError as error:
        raise ValueError(f"the path glob {pattern[:64]!r} {error}") from None
    return PathGlob(pattern)


@lru_cache(maxsize=1024)
def _steps_of(pattern: str) -> Steps:
    return parse_glob(pattern)


@lru_cache(maxsize=4096)
def _is_match(pattern: str, path: str) -> bool:
    """Cached: ten thousand changes are in few folders."""
    return fits(_steps_of(pattern), path)


def _check_shape(pattern: str) -> None:
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ValueError(f"is longer than {MAX_PATTERN_LENGTH} characters")
    if not pattern.startswith("/"):
        raise ValueError("must start with '/', as the path of every folder does")
    if "//" in pattern:
        raise ValueError("has an empty folder name: write one '/' instead of two")
    if pattern.endswith("/") and pattern != "/":
        raise ValueError("never matches, since no event's path ends with '/': remove the last '/'")


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Selects secret keys: `("DB_*", "!DB_LEGACY_*")`.

    A pattern may have `*`, `?`, `[abc]`, `[a-z]` and `[^abc]`; a leading `!` excludes. Without an including
    pattern, every key is included. Matching is case-sensitive.

    Raises:
        ValueError: a pattern is invalid; the message says what to change.
    """

    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.patterns) > MAX_PATTERNS:
            raise ValueError(f"there are more than {MAX_PATTERNS} key patterns: use wildcards to need fewer")
        _compile_keys(self.patterns)

    def matches(self, key: str) -> bool:
        """Whether the key is included and not excluded."""
        if not self.patterns or len(key) > MAX_KEY_LENGTH:
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
    except ValueError as error:
        raise ValueError(f"the key pattern {pattern[:64]!r} {error}") from None
    return re.compile(fnmatch.translate(pattern.replace("[^", "[!")))


def _check_key(pattern: str) -> None:
    if not pattern:
        raise ValueError("is empty: write '*' for every key")
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ValueError(f"is longer than {MAX_PATTERN_LENGTH} characters")
    if not _KEY.fullmatch(pattern):
        raise ValueError(
            "has an unsupported character: only plain characters, *, ?, [abc], [a-z] and [^abc] are allowed, "
            "no space, no other bracket and none of '!' '|' ',' '\\'; write one pattern for each alternative"
        )
    for members in re.findall(CLASS, pattern):
        characters_of(members)
