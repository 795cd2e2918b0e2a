"""Kubernetes Events as values: the input of the event recorder."""

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
    """One Event: `reason` in CamelCase, `note` a sentence."""

    about: InvolvedObject
    reason: str
    note: str
    is_warning: bool = False
