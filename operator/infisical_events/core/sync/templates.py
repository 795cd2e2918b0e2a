"""The text of a Secret's keys with the values of secrets in it: `postgres://{{ .USER }}@db`.

Placeholders mean what they mean in Go's text/template, of which there is no more than this:

* `{{ .NAME }}`: the value of a secret whose name has no blanks, braces, brackets, bars or quotes in it;
* `{{ index . "NAME" }}`: the same, of any name without a quote;
* `{{ "text" }}`: the text itself, such as `{{ "{{" }}` for two braces.

A value is put in as it is: what stands in it is no placeholder. `}}` alone is text, as it is in JSON. A
name that has no value is an error and never `<no value>`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from infisical_events.api.specs import Spec

_PLACEHOLDER: Final = re.compile(
    r"""\{\{\s*(?:
        \.(?P<plain>[^\s{}()|"'`]+)
        | index\s+\.\s+"(?P<quoted>[^"]+)"
        | "(?P<text>[^"]*)"
    )\s*\}\}""",
    re.VERBOSE,
)
_OPENED: Final = "{{"
_LONGEST_QUOTE: Final = 40
"""Characters of an invalid placeholder that are repeated."""


class TemplateError(ValueError):
    """A template is invalid, or lacks values; the message names keys, never values."""


def rendered(template: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The text under each key of the template, with values by the names of secrets.

    Raises:
        TemplateError: placeholders are invalid, or values are missing; the message names all of them.
    """
    mistakes = [*mistakes_of(template), *_missing(template, values)]
    if mistakes:
        raise TemplateError("; ".join(mistakes))
    return {key: _PLACEHOLDER.sub(lambda found: _text(found, values), text) for key, text in template.items()}


def length_of(template: Mapping[str, str], values: Mapping[str, str]) -> int:
    """How many characters the result will have, without making it: a value may occur a thousand times.

    Names without a value count as empty.
    """
    return sum(
        len(text) + sum(len(_text(found, values)) - len(found[0]) for found in _PLACEHOLDER.finditer(text))
        for text in template.values()
    )


def names_of(template: Mapping[str, str]) -> frozenset[str]:
    """The names of all secrets that the template refers to."""
    return frozenset(name for text in template.values() for name in _names(text))


def mistakes_of(template: Mapping[str, str]) -> tuple[str, ...]:
    """One message for each key with an invalid placeholder; it quotes the template alone."""
    found = ((key, _stray(text)) for key, text in sorted(template.items()))
    return tuple(
        f"template key {key} has the invalid placeholder {quote!r}: write {{{{ .NAME }}}} for a value "
        f'and {{{{ "{{{{" }}}} for two braces'
        for key, quote in found
        if quote
    )


def check_templates(spec: Spec) -> None:
    """Reject a spec with an invalid template.

    Raises:
        ValueError: one message per mistake, each with its field.
    """
    mistakes = [
        f"spec.resync.secrets[{place}]: {mistake}"
        for place, managed in enumerate(spec.resync.secrets)
        for mistake in mistakes_of(managed.template)
    ]
    if mistakes:
        raise ValueError("; ".join(mistakes))


def _missing(template: Mapping[str, str], values: Mapping[str, str]) -> Iterator[str]:
    for key, text in sorted(template.items()):
        names = sorted(_names(text) - values.keys())
        if names:
            yield f"template key {key} refers to missing secrets: {', '.join(names)}"


def _names(text: str) -> frozenset[str]:
    names = (found["plain"] or found["quoted"] for found in _PLACEHOLDER.finditer(text))
    return frozenset(name for name in names if name)


def _text(found: re.Match[str], values: Mapping[str, str]) -> str:
    name = found["plain"] or found["quoted"]
    return values.get(name, "") if name else found["text"]


def _stray(text: str) -> str:
    """The text after the first two braces that open no placeholder; empty if there are none."""
    end = 0
    for found in [*_PLACEHOLDER.finditer(text), None]:
        between = text[end : found.start() if found else len(text)]
        if _OPENED in between:
            return text[end + between.index(_OPENED) :][:_LONGEST_QUOTE]
        end = found.end() if found else end
    return ""
