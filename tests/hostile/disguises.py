"""Forms in which a server may give back the credentials that it got, and how to find them in the output."""

import base64
import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

_KEPT = 24
"""Characters of a canary that a truncated form keeps."""
_PIECE = 12
"""Characters in a row of a canary, in any form, that are a leak; two canaries have none of them in common."""

DISGUISES: Mapping[str, Callable[[str], str]] = {
    "verbatim": str,
    "truncated": lambda text: text[:_KEPT],
    "end": lambda text: text[-_KEPT:],
    "upper": str.upper,
    "swapped-case": str.swapcase,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64-of-pair": lambda text: base64.b64encode(f"id:{text}".encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex-upper": lambda text: text.encode().hex().upper(),
    "hex-colons": lambda text: text.encode().hex(":"),
    "url": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "url-twice": lambda text: quote("".join(f"%{byte:02x}" for byte in text.encode())),
    "json": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "json-twice": lambda text: json.dumps(json.dumps(text)),
    "html": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "reversed": lambda text: text[::-1],
    "split-by-space": lambda text: f"{text[: len(text) // 2]} {text[len(text) // 2 :]}",
    "split-by-zero-width": "\u200b".join,
    "split-by-lines": "\n".join,
    "fullwidth": lambda text: "".join(chr(ord(letter) + 0xFEE0) for letter in text),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "decimal": lambda text: " ".join(str(ord(letter)) for letter in text),
}
"""Each takes a canary of ASCII letters, digits and `-`."""


def leaked(canary: str, seen: str) -> tuple[str, ...]:
    """The names of the forms of which a piece is in the output.

    A piece counts also if blanks, backslashes or other capitals are in between: a wrapped line hides nothing.
    Several forms are the same without them, so then the names are those of all of these.
    """
    exact = tuple(name for name, form in _forms(canary) if _has_piece(form, canary, seen))
    if exact:
        return exact
    output = _plain(seen)
    return tuple(name for name, form in _forms(canary) if _has_piece(_plain(form), canary, output))


def _forms(canary: str) -> Iterator[tuple[str, str]]:
    return ((name, disguise(canary)) for name, disguise in DISGUISES.items())


def _has_piece(form: str, canary: str, output: str) -> bool:
    return any(piece in output for piece in _pieces(form, max(1.0, len(form) / len(canary))))


def _plain(text: str) -> str:
    return "".join(text.split()).replace("\\", "").replace("\u200b", "").lower()


def _pieces(form: str, letters: float) -> Iterator[str]:
    """Pieces that stand for `_PIECE` characters of the canary, each of which has so many letters."""
    size = min(len(form), round(_PIECE * letters))
    return (form[at : at + size] for at in range(0, len(form) - size + 1, max(1, round(2 * letters))))
