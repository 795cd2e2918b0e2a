"""What the API server tells of a namespace's Secrets, Deployments and subscriptions, in its own order.

Everything is judged by resourceVersions, no clock is read. Every version is seen: a gap in a watch is
counted, and whoever judges refuses what was seen then.
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from infisical_events.api.resources import GROUP
from support.fake_controllers.calls import Api
from support.fake_controllers.resources import SECRET, Object, Resource
from support.fake_controllers.watching import Mirror

DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments")
SUBSCRIPTION = Resource(GROUP, "v1alpha1", "InfisicalEventSubscription", "infisicaleventsubscriptions")

_RECEIPTS = f"{GROUP}/revision-"


@dataclass(frozen=True, slots=True)
class Content:
    """What a Secret holds from a version on."""

    version: int
    secret: str
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a Deployment stands from a version on.

    `receipts` are those of its pod template: other ones are a restart. It rolls from the change of its
    template until all its pods are new and available, or its progress deadline has passed.
    """

    version: int
    workload: str
    generation: int
    records: tuple[tuple[str, str], ...]
    is_rolling: bool
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a subscription says from a version on: reason and message of `RestartsComplete`, and more."""

    version: int
    reason: str
    message: str
    resumed: str
    seq: int


@dataclass(slots=True)
class Witness:
    """Sees while its block lasts. What it has seen is only added to, so it can be read at any time."""

    api: Api
    namespace: str
    contents: list[Content] = field(default_factory=list)
    workload_states: list[Standing] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    _mirrors: tuple[Mirror, ...] = ()
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        received = {SECRET: self._secret, DEPLOYMENT: self._deployment, SUBSCRIPTION: self._subscription}
        self._mirrors = tuple(
            Mirror(self.api, resource.path(self.namespace), tell) for resource, tell in received.items()
        )
        self._tasks = [asyncio.create_task(mirror.follow()) for mirror in self._mirrors]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def gaps(self) -> int:
        """How often versions may have been missed."""
        return sum(mirror.gaps for mirror in self._mirrors)

    def _secret(self, before: Object | None, now: Object | None) -> None:
        known = now or before or {"metadata": {}}
        data = (now or {}).get("data") or {}
        decoded = {key: base64.b64decode(value).decode() for key, value in data.items()}
        self.contents.append(Content(_version(known), known["metadata"]["name"], decoded))

    def _deployment(self, _: Object | None, now: Object | None) -> None:
        if now is not None:
            self.workload_states.append(standing_of(now))

    def _subscription(self, _: Object | None, now: Object | None) -> None:
        if now is not None:
            self.told.append(told_by(now))


def standing_of(deployment: Object) -> Standing:
    """Read a Deployment, as `kubectl rollout status` does."""
    spec, status, metadata = deployment["spec"], deployment.get("status", {}), deployment["metadata"]
    noted = spec["template"].get("metadata", {}).get("annotations") or {}
    is_seen = status.get("observedGeneration", 0) >= metadata["generation"]
    reasons = {condition.get("reason") for condition in status.get("conditions", ())}
    has_failed = is_seen and "ProgressDeadlineExceeded" in reasons
    return Standing(
        version=_version(deployment),
        workload=metadata["name"],
        generation=metadata["generation"],
        records=tuple(sorted((key, text) for key, text in noted.items() if key.startswith(_RECEIPTS))),
        is_rolling=not has_failed and not (is_seen and _is_complete(spec, status)),
        has_failed=has_failed,
    )


def told_by(subscription: Object) -> Told:
    """Read a subscription."""
    status = subscription.get("status") or {}
    settled = next((c for c in status.get("conditions", ()) if c["type"] == "RestartsComplete"), {})
    return Told(
        version=_version(subscription),
        reason=settled.get("reason", ""),
        message=settled.get("message", ""),
        resumed=status.get("lastHandledResumeAt", ""),
        seq=(status.get("ledger") or {}).get("seq", -1),
    )


def _is_complete(spec: Object, status: Object) -> bool:
    updated = status.get("updatedReplicas", 0)
    return (
        updated >= spec["replicas"]
        and status.get("replicas", 0) <= updated
        and status.get("availableReplicas", 0) >= updated
    )


def _version(thing: Object) -> int:
    return int(thing["metadata"]["resourceVersion"])
