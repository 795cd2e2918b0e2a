"""Kubernetes Events as values: the input of the event recorder."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InvolvedObject:
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class KubeEvent:
    """One Event: `reason` in CamelCase, `note` a sentence.

    With `is_once`, an equal Event that still exists is not repeated, whichever process wrote it.
    """

    about: InvolvedObject
    reason: str
    note: str
    is_warning: bool = False
    is_once: bool = False

    @property
    def digest(self) -> str:
        """What two equal Events on one object have in common."""
        return hashlib.sha256(f"{self.about.uid} {self.reason} {self.note}".encode()).hexdigest()
