r"""Path globs as the server's picomatch 3 with `strictSlashes: false` reads them.

Used for registered paths (e4) and for `$glob` in permission rules. This is the part of picomatch's
translation that folder paths can meet: `*`, `**`, `?`, `[…]`, `{a,b}`, `\x` and a leading `!`; brace
ranges and extended globs are not. The odd corners are its own: `/**/x` does not match `/x`, `*` matches
`/`, `/a*` matches `/a/`, `[!a]` is no negation.
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
_SHORTCUTS = {
    "*": f"{_NO_DOT}{_ONE_CHAR}{_STAR}/?",
    "***": f"{_NO_DOT}{_ONE_CHAR}{_STAR}/?",
    "*/*": f"{_NO_DOT}{_STAR}/{_ONE_CHAR}{_NO_DOT}{_STAR}/?",
    "**": f"{_NO_DOT}{_GLOBSTAR}/?",
    "**/**": f"{_NO_DOT}{_GLOBSTAR}/?",
    "**/**/**": f"{_NO_DOT}{_GLOBSTAR}/?",
    "**/*": f"(?:{_NO_DOT}{_GLOBSTAR}/)?{_NO_DOT}{_ONE_CHAR}{_STAR}/?",
}
"""What picomatch does not parse but looks up."""
_LONE, _DOUBLE = 1, 2


def matches(pattern: str, text: str) -> bool:
    """Whether the glob `pattern` matches the whole of `text`. The empty pattern matches nothing."""
    if pattern == text:
        return bool(pattern)
    plain = pattern.lstrip("!")
    negated = (len(pattern) - len(plain)) % 2 == 1
    return bool(_compiled(plain).fullmatch(text)) != negated


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    if not pattern:
        return re.compile(r"(?!)")
    return re.compile(_SHORTCUTS.get(pattern) or _Translation(pattern).run(), re.DOTALL)


@dataclass(slots=True)
class _Translation:
    """One walk over a pattern: the kind and the regular expression of each token so far."""

    pattern: str
    at: int = 0
    out: list[str] = field(default_factory=lambda: [""])
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
                self._take(1, "[^./]" if self._at_segment_start() else "[^/]", "qmark")
            case "[" if self._class_end() > 0:
                self._class()
            case "{" if self._is_choice():
                self.braces += 1
                self._take(1, "(?:", "brace")
            case "," if self.braces:
                self._take(1, "|", "brace")
            case "}" if self.braces:
                self.braces -= 1
                self._take(1, ")", "text")
            case "\\" if self.at + 1 < len(self.pattern):
                self._take(2, re.escape(self.pattern[self.at + 1]), "text")
            case "/":
                self._take(1, "/", "slash")
            case _:
                self._take(1, re.escape(char), "text")

    def _take(self, length: int, regex: str, kind: str) -> None:
        self.at += length
        self._push(regex, kind)

    def _push(self, regex: str, kind: str) -> None:
        """Append a token; a globstar with something glued to it was only a star."""
        if self.kinds[-1] == "globstar" and kind not in {"slash", "brace"}:
            self.out[-1], self.kinds[-1] = _STAR, "star"
        self.out.append(regex)
        self.kinds.append(kind)

    def _at_segment_start(self) -> bool:
        return self.kinds[-1] in {"slash", "bos"}

    def _stars(self) -> None:
        rest = self.pattern[self.at :]
        count = len(rest) - len(rest.lstrip("*"))
        self.at += count
        if self._at_segment_start():
            self.out[-1] += _NO_DOT + (_ONE_CHAR if count == _LONE else "")
        if count == _DOUBLE and (self._at_segment_start() or self.kinds[-1] == "brace"):
            self._globstar()
        else:
            self._push(_STAR, "star")

    def _globstar(self) -> None:
        self._swallow_repeats()
        rest = self.pattern[self.at :]
        inner = self.kinds[-1] == "slash" and self.kinds[-2] != "bos"
        if inner and not rest and self.kinds[-2] not in {"star", "globstar"}:
            self._wrap(f"{_GLOBSTAR}|$)")
        elif inner and rest.startswith("/"):
            self._wrap(f"{_GLOBSTAR}/|/{'|$' if rest[1:] else ''})")
            self._take(1, "", "slash")
        elif self.kinds[-1] == "bos" and rest.startswith("/"):
            self.out[-1] = ""
            self._push(f"(?:^|/|{_GLOBSTAR}/)", "globstar")
            self._take(1, "", "slash")
        else:
            self._push(_GLOBSTAR, "globstar")

    def _wrap(self, regex: str) -> None:
        """A globstar that takes the slash before it into its own group."""
        self.out[-1] = "(?:" + self.out[-1]
        self._push(regex, "globstar")

    def _swallow_repeats(self) -> None:
        """`/**/**/` is `/**/`."""
        while self.pattern.startswith("/**", self.at) and self.pattern[self.at + 3 :][:1] in {"", "/"}:
            self.at += 3

    def _class_end(self) -> int:
        return self.pattern.find("]", self.at + 2)

    def _class(self) -> None:
        inner = self.pattern[self.at + 1 : self._class_end()]
        escaped = inner.replace("\\", "\\\\").replace("[", "\\[")
        if inner.startswith("^"):
            regex = f"[{escaped}]" if "/" in inner else f"[{escaped}/]"
        elif _CLASS_MAGIC.search(inner):
            regex = f"[{escaped}]"
        else:
            regex = f"(?:{re.escape(f'[{inner}]')}|[{escaped}])"
        self._take(len(inner) + 2, regex, "class")

    def _is_choice(self) -> bool:
        """Whether the brace here has its partner and a comma between; without, it is text."""
        depth, comma = 0, False
        for char in self.pattern[self.at :]:
            depth += (char == "{") - (char == "}")
            comma = comma or (char == "," and depth == 1)
            if depth == 0:
                return comma
        return False
