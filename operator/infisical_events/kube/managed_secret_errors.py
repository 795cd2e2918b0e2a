"""Explanations of why the API server rejects a managed Secret, without any value of the Secret.

The API server's message is foreign text, and policies of a cluster may write anything into it, including
values. So known causes get a message of our own, and the API server's message is quoted only if no part of it
can be part of a value.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

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
_WORD: Final = re.compile(r"\w")

_MAX_COMPARED: Final = 5_000
"""Values; a message about a Secret with more of them is not quoted, because the comparison takes too long."""

_MIN_COMMON_LENGTH: Final = 8
"""A text counts as containing a value if they have this number of consecutive characters in common."""

_GRAM_LENGTH: Final = _MIN_COMMON_LENGTH // 2
"""Characters. Every common substring contains one of the value's aligned groups of this length completely.

Only aligned groups are searched: a mebibyte of values takes half a second at most, instead of several.
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
        r"exceeds the quota \1 of its namespace: raise the quota, or delete unused objects",
    ),
    (
        r'admission webhook "([^"\s]+)" denied',
        r"is rejected by the admission webhook \1: change the entry in resync.secrets, or the webhook",
    ),
    (
        r"ValidatingAdmissionPolicy '([^'\s]+)'",
        r"is rejected by the policy \1: change the entry in resync.secrets, or the policy",
    ),
    (
        r"cannot (?:get|create|patch) resource",
        "cannot be written: grant the operator's ServiceAccount get, create and patch (rbac.writeSecrets)",
    ),
    (r"", "is rejected by the API server: change the entry in resync.secrets"),
)
"""Predicates of the message, by patterns of the API server's message; the first match counts."""


def error_for_managed_secret(
    error: KubernetesError, managed: ManagedSecret, data: Mapping[str, str]
) -> KubernetesError:
    """The error to raise instead: SecretRejectedError if a retry does not help, else the same class."""
    if isinstance(error, SecretRejectedError):
        return error
    if isinstance(error, ConflictError) and str(error).startswith(_APPLY_CONFLICT):
        return _conflict_error(error, managed)
    quote = _quotable(str(error), managed, data)
    if isinstance(error, (ForbiddenError, InvalidError)):
        quoted = (
            f' (API server: "{quote}")'
            if quote
            else " (the API server's message may contain a value and is omitted)"
        )
        return SecretRejectedError(f"secret/{managed.name} {_advice(str(error))}{quoted}.")
    return type(error)(
        quote or f"the API server's message about secret/{managed.name} may contain a value and is omitted"
    )


def _advice(message: str) -> str:
    found = ((re.search(pattern, message), sentence) for pattern, sentence in _ADVICE)
    return next(match.expand(sentence) for match, sentence in found if match)


def _conflict_error(error: ConflictError, managed: ManagedSecret) -> KubernetesError:
    """The error for fields of other field managers: final for Merge, else a conflict that is retried."""
    if managed.creation_policy is not CreationPolicy.MERGE:
        return ConflictError(f"secret/{managed.name} was created by another client at the same time")
    fields = _FIELD.findall(str(error))
    listed = ", ".join(fields[:_MAX_FIELDS]) or "some fields"
    more = " and others" if len(fields) > _MAX_FIELDS else ""
    managers = ", ".join(dict.fromkeys(_MANAGER.findall(str(error)))) or "another client"
    return SecretRejectedError(
        f"secret/{managed.name} has {listed}{more} of field manager {managers}, and creationPolicy Merge "
        "takes over no field: remove them there, or from the entry in resync.secrets."
    )


def _quotable(message: str, managed: ManagedSecret, data: Mapping[str, str]) -> str:
    """The message; empty if it may contain a value. Names from the spec are not confidential."""
    if len(data) > _MAX_COMPARED:
        return ""
    foreign = message
    for known in sorted({managed.name, managed.type, *data}, key=len, reverse=True):
        foreign = foreign.replace(known, "\0")
    pieces = _Pieces.of(foreign)
    return "" if any(pieces.have(form) for form in _forms(data.values())) else message


def _forms(values: Iterable[str]) -> Iterator[str]:
    """The forms that a message can contain: on one line, or in base64 as sent."""
    for value in values:
        yield single_line(value)
        yield b64encode(value.encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class _Pieces:
    """What a text contains, computed once for all values that it is compared with.

    Attributes:
        words: Its short parts between two borders of words.
        grams: Its parts of `_GRAM_LENGTH`.
        windows: Its parts of `_MIN_COMMON_LENGTH`.
    """

    words: frozenset[str]
    grams: frozenset[str]
    windows: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Self:
        """Of a text."""
        begins = [at for at in range(len(text)) if not (at and _is_word(text[at - 1]))]
        ends = frozenset(at for at in range(1, len(text) + 1) if not _is_word(text[at : at + 1]))
        words = (
            text[begin:end]
            for begin in begins
            for end in range(begin + 1, begin + _MIN_COMMON_LENGTH)
            if end in ends
        )
        return cls(frozenset(words), _windows(text, _GRAM_LENGTH), _windows(text, _MIN_COMMON_LENGTH))

    def have(self, form: str) -> bool:
        """Whether the text contains a short form as a whole word, or any part of a long form."""
        if len(form) < _MIN_COMMON_LENGTH:
            return bool(form.strip()) and form in self.words
        starts = (
            at for at in range(0, len(form), _GRAM_LENGTH) if form[at : at + _GRAM_LENGTH] in self.grams
        )
        around = (max(at - back, 0) for at in starts for back in range(_GRAM_LENGTH + 1))
        return any(form[at : at + _MIN_COMMON_LENGTH] in self.windows for at in around)


def _is_word(character: str) -> bool:
    return _WORD.match(character) is not None


def _windows(text: str, length: int) -> frozenset[str]:
    return frozenset(text[at : at + length] for at in range(len(text) - length + 1))
