"""What the API server has against a Secret, in a sentence that says what to change and repeats no value.

Its own words are foreign text, and the policies of a cluster write what they like into them, values
included. So the known causes are told in our words, and its words are quoted only if nothing in them can
be a piece of a value.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from infisical_events.api.specs import CreationPolicy, ManagedSecret
from infisical_events.core.status.text import single_line
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubernetesError,
    SecretRejectedError,
)

_APPLY_CONFLICT: Final = "Apply failed with"
_MANAGER: Final = re.compile(r'conflicts? with ("[^"]+")')
_FIELD: Final = re.compile(r"(?<=[ :])\.((?:data|metadata|type)\S*)")
_MAX_FIELDS: Final = 5

_MIN_COMMON_LENGTH: Final = 8
"""Characters in a row that a text and a value have in common before the text counts as repeating it."""

_GRAM_LENGTH: Final = _MIN_COMMON_LENGTH // 2
"""Each piece of a value has one of its fourth, eighth, twelfth... groups of so many characters in it whole.

Only these are looked for: a mebibyte of values takes half a second at most, and not several.
"""

_ADVICE: Final = (
    (
        r"field is immutable when `immutable` is set",
        "is immutable: delete it, or choose another name in resync.secrets",
    ),
    (
        r'\btype: Invalid value: "[^"]*": field is immutable',
        "has another type, and a type cannot be changed: delete it, or keep its type in resync.secrets",
    ),
    (
        r"exceeded quota: ([-.a-z0-9]+)",
        r"does not fit into the quota \1 of its namespace: raise the quota, or delete what is not needed",
    ),
    (
        r'admission webhook "([^"\s]+)" denied',
        r"is refused by the admission webhook \1: change the entry in resync.secrets, or that webhook",
    ),
    (
        r"ValidatingAdmissionPolicy '([^'\s]+)'",
        r"is refused by the policy \1: change the entry in resync.secrets, or that policy",
    ),
    (
        r"cannot (?:get|create|patch) resource",
        "cannot be written: grant the operator's ServiceAccount get, create and patch (rbac.writeSecrets)",
    ),
    (r"", "is refused by the API server: change the entry in resync.secrets"),
)
"""Beginnings of sentences by what the API server says; the first that is found counts."""


def error_for_managed_secret(
    error: KubernetesError, managed: ManagedSecret, data: Mapping[str, str]
) -> KubernetesError:
    """The error to raise in its place: refused if trying again does not help, else one of the same class."""
    if isinstance(error, SecretRejectedError):
        return error
    if isinstance(error, ConflictError) and str(error).startswith(_APPLY_CONFLICT):
        return _conflict_error(error, managed)
    quote = _quotable(str(error), managed, data)
    if isinstance(error, (ForbiddenError, InvalidError)):
        quoted = f' (the API server says: "{quote}")' if quote else " (what the API server says is left out)"
        return SecretRejectedError(f"Secret {managed.name} {_advice(str(error))}{quoted}.")
    return type(error)(quote or f"the API server's answer to Secret {managed.name} repeats a value of it")


def _advice(message: str) -> str:
    found = ((re.search(pattern, message), sentence) for pattern, sentence in _ADVICE)
    return next(match.expand(sentence) for match, sentence in found if match)


def _conflict_error(error: ConflictError, managed: ManagedSecret) -> KubernetesError:
    """Fields that others manage: final where nothing may be taken away, else somebody was faster."""
    if managed.creation_policy is not CreationPolicy.MERGE:
        return ConflictError(f"Secret {managed.name} was made by somebody else a moment ago")
    fields = _FIELD.findall(str(error))
    listed = ", ".join(fields[:_MAX_FIELDS]) or "some fields"
    more = " and others" if len(fields) > _MAX_FIELDS else ""
    managers = ", ".join(dict.fromkeys(_MANAGER.findall(str(error)))) or "somebody else"
    return SecretRejectedError(
        f"Secret {managed.name} has {listed}{more} of {managers}, and Merge takes nothing away: remove them "
        "there, or leave them out of the entry in resync.secrets."
    )


def _quotable(message: str, managed: ManagedSecret, data: Mapping[str, str]) -> str:
    """The message; empty if it may repeat a value. Names that the spec has are no secret."""
    foreign = message
    for known in sorted({managed.name, managed.type, *data}, key=len, reverse=True):
        foreign = foreign.replace(known, "\0")
    return "" if any(_repeats(foreign, form) for form in _forms(data.values())) else message


def _forms(values: Iterable[str]) -> Iterator[str]:
    """As a message can have them: plain, on one line, or as they are sent."""
    for value in values:
        yield single_line(value)
        yield b64encode(value.encode()).decode().rstrip("=")


def _repeats(text: str, form: str) -> bool:
    """Whether the text has the form in it: a short one as a word of its own, of a long one any piece."""
    if len(form) < _MIN_COMMON_LENGTH:
        return bool(form.strip()) and re.search(rf"(?<!\w){re.escape(form)}(?!\w)", text) is not None
    pieces, grams = _windows(text, _MIN_COMMON_LENGTH), _windows(text, _GRAM_LENGTH)
    starts = (at for at in range(0, len(form), _GRAM_LENGTH) if form[at : at + _GRAM_LENGTH] in grams)
    around = (max(at - back, 0) for at in starts for back in range(_GRAM_LENGTH + 1))
    return any(form[at : at + _MIN_COMMON_LENGTH] in pieces for at in around)


def _windows(text: str, length: int) -> frozenset[str]:
    return frozenset(text[at : at + length] for at in range(len(text) - length + 1))
