"""The fields of Kubernetes objects that the demo compares, each with the time of the observation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROUP = "events.infisical.com"
VERSION = "v1alpha1"
PLURAL = "infisicaleventsubscriptions"


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A Deployment; `at` is seconds of the monotonic clock."""

    at: float
    generation: int
    observed_generation: int
    wanted: int
    total: int
    updated: int
    available: int
    revisions: Mapping[str, str]
    """The operator's revision annotations in the pod template."""
    reason: str
    """Event, folder and keys of the annotation `last-restart`; empty before the first restart."""

    @property
    def is_rolled_out(self) -> bool:
        """Whether the rollout is complete, by the rule of `kubectl rollout status`."""
        counts = {self.updated, self.available, self.total}
        return self.observed_generation >= self.generation and counts == {self.wanted}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a subscription."""

    status: str
    reason: str
    message: str
    observed_generation: int


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """An InfisicalEventSubscription; `at` is seconds of the monotonic clock."""

    at: float
    generation: int
    conditions: Mapping[str, Condition]
    received: int
    matched: int
    restarts: int
    skip_reason: str
    skip_message: str

    def is_true(self, condition: str) -> bool:
        """Whether a condition is True for the current spec."""
        found = self.conditions.get(condition)
        return found is not None and found.status == "True" and found.observed_generation == self.generation

    def message(self, condition: str) -> str:
        """The message of a condition."""
        found = self.conditions.get(condition)
        return found.message if found else f"Condition {condition} is missing."


def deployment(raw: Mapping[str, Any], at: float) -> DeploymentView:
    """Read a Deployment from the API server's JSON."""
    status = raw.get("status", {})
    template = raw["spec"]["template"]["metadata"].get("annotations", {})
    return DeploymentView(
        at=at,
        generation=raw["metadata"]["generation"],
        observed_generation=status.get("observedGeneration", 0),
        wanted=raw["spec"]["replicas"],
        total=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        revisions={key: value for key, value in template.items() if key.startswith(f"{GROUP}/revision-")},
        reason=_reason(raw["metadata"].get("annotations", {}).get(f"{GROUP}/last-restart", "")),
    )


def subscription(raw: Mapping[str, Any], at: float) -> SubscriptionView:
    """Read an InfisicalEventSubscription from the API server's JSON."""
    status = raw.get("status", {})
    counters, skip = status.get("counters", {}), status.get("lastSkip") or {}
    return SubscriptionView(
        at=at,
        generation=raw["metadata"]["generation"],
        conditions={condition["type"]: _condition(condition) for condition in status.get("conditions", ())},
        received=counters.get("eventsReceived", 0),
        matched=counters.get("eventsMatched", 0),
        restarts=counters.get("restarts", 0),
        skip_reason=skip.get("reason", ""),
        skip_message=skip.get("message", ""),
    )


def _condition(raw: Mapping[str, Any]) -> Condition:
    return Condition(raw["status"], raw["reason"], raw["message"], raw.get("observedGeneration", 0))


def _reason(last_restart: str) -> str:
    if not last_restart:
        return ""
    record = json.loads(last_restart)
    keys = ", ".join(record["keys"])
    return f"{record['event']} {record['environmentSlug']}:{record['secretPath']} {keys}"
