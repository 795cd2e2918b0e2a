r"""Path globs as the server's picomatch 3 with `strictSlashes: false` reads them.

Used for registered paths (E4) and for `$glob` in permission rules. This is the part of picomatch's
translation that folder paths can meet: `*`, `**`, `?`, `[…]`, `{a,b}`, `\x` and a leading `!`. The odd
corners are its own: `/**/x` does not match `/x`, `*` matches `/`, `/a*` matches `/a/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

_STAR = "[^/]*?"
_GLOBSTAR = r"(?:(?!(?:/|^)\.).)*?"
_NO_DOT = r"(?!\.)"
_ONE_CHAR = "(?=.)"
_CLASS_MAGIC = re.compile(r"[-*+?.^${}(|)[\]]")


def matches(pattern: str, text: str) -> bool:
    """Whether the glob `pattern` matches the whole of `text`. The empty pattern matches nothing."""
    if pattern == text:
        return bool(pattern)
    negated = (len(pattern) - len(pattern.lstrip("!"))) % 2 == 1
    return bool(_compiled(pattern.lstrip("!")).fullmatch(text)) != negated


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_Translation(pattern).run() if pattern else r"(?!)", re.DOTALL)


@dataclass(slots=True)
class _Translation:
    """One walk over a pattern. `kinds` holds what was seen, `out` the regular expression so far."""

    pattern: str
    at: int = 0
    out: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=lambda: ["bos"])
    braces: int = 0

    def run(self) -> str:
        while self.at < len(self.pattern):
            self._step(self.pattern[self.at])
        if self.kinds[-1] in {"star", "class"}:
            self._push("/?", "maybe-slash")
        return "".join(self.out)

    def _step(self, char: str) -> None:
        match char:
            case "*":
                self._stars()
            case "?":
                self._take(1, "[^./]" if self.kinds[-1] in {"slash", "bos"} else "[^/]", "qmark")
            case "[" if self._class_end() > 0:
                self._class()
            case "{" if "}" in self.pattern[self.at :] and self._is_choice():
                self.braces += 1
                self._take(1, "(?:", "brace")
            case "," if self.braces:
                self._take(1, "|", "comma")
            case "}" if self.braces:
                self.braces -= 1
                self._take(1, ")", "close")
            case "\\" if self.at + 1 < len(self.pattern):
                self._take(2, re.escape(self.pattern[self.at + 1]), "text")
            case "/":
                self._take(1, "/", "slash")
            case _:
                self._take(1, re.escape(char), "dot" if char == "." else "text")

    def _take(self, length: int, regex: str, kind: str) -> None:
        self.at += length
        self._push(regex, kind)

    def _push(self, regex: str, kind: str) -> None:
        self.out.append(regex)
        self.kinds.append(kind)

    def _stars(self) -> None:
        count = len(self.pattern[self.at :]) - len(self.pattern[self.at :].lstrip("*"))
        starts = self.kinds[-1] in {"slash", "bos", "brace", "comma"}
        self.at += count
        if count == 1 or not starts:
            self._star(lone=count == 1)
        else:
            self._globstar()

    def _star(self, *, lone: bool) -> None:
        guard = _NO_DOT + (_ONE_CHAR if lone else "") if self.kinds[-1] in {"slash", "bos"} else ""
        self._push(guard + _STAR, "star")

    def _globstar(self) -> None:
        self._swallow_repeats()
        rest = self.pattern[self.at :]
        nested = self.kinds[-1] == "slash" and self.kinds[-2] != "bos"
        if nested and not rest:
            self.out[-1] = "(?:/"
            self._push(_GLOBSTAR + "|$)", "globstar")
        elif nested and rest[0] == "/":
            self.out[-1] = "(?:/"
            self._take(1, f"{_GLOBSTAR}/|/{'|$' if rest[1:] else ''})", "slash")
        elif self.kinds[-1] == "bos" and rest[:1] == "/":
            self._take(1, f"(?:^|/|{_GLOBSTAR}/)", "slash")
        elif self.kinds[-1] == "bos" and not rest:
            self._push(_NO_DOT + _GLOBSTAR + "/?", "globstar")
        else:
            self._push(_GLOBSTAR, "globstar")

    def _swallow_repeats(self) -> None:
        """`/**/**/` is `/**/`."""
        while self.pattern.startswith("/**", self.at) and self.pattern[self.at + 3 :][:1] in {
            "",
            "/",
        }:
            self.at += 3

    def _class_end(self) -> int:
        return self.pattern.find("]", self.at + 2)

    def _class(self) -> None:
        body = self.pattern[self.at + 1 : self._class_end()]
        length = len(body) + 2
        inner = "^" + body[1:] if body[0] in "!^" else body
        regex = f"[{inner.replace(chr(92), chr(92) * 2).replace('[', chr(92) + '[')}]"
        if not _CLASS_MAGIC.search(inner):
            regex = f"(?:{re.escape('[' + inner + ']')}|{regex})"
        self._take(length, regex, "class")

    def _is_choice(self) -> bool:
        return "," in self.pattern[self.at : self.pattern.index("}", self.at)]
