"""The versions of a namespace's Secrets, Deployments and subscriptions, in the order of the API server.

The order is that of resourceVersions, without a clock. The watch delivers every version; gaps are counted,
and a proof with a gap fails.
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from infisical_events.api.resources import GROUP
from support.fake_controllers.api_client import Api
from support.fake_controllers.mirror import Mirror
from support.fake_controllers.resources import SECRET, Object, Resource

DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments")
SUBSCRIPTION = Resource(GROUP, "v1alpha1", "InfisicalEventSubscription", "infisicaleventsubscriptions")

_REVISIONS = f"{GROUP}/revision-"


@dataclass(frozen=True, slots=True)
class SecretContent:
    """The content of a Secret from a version on."""

    version: int
    secret: str
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WorkloadVersion:
    """The state of a Deployment from a version on.

    `records` are the revision annotations of its pod template: other ones mean a restart. It rolls from a
    change of its template until all pods are new and available, or until its progress deadline passes.
    """

    version: int
    workload: str
    generation: int
    records: tuple[tuple[str, str], ...]
    is_rolling: bool
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class SubscriptionVersion:
    """The status of a subscription from a version on: reason and message of `RestartsComplete`, and more."""

    version: int
    reason: str
    message: str
    resumed: str
    seq: int


@dataclass(slots=True)
class NamespaceWatcher:
    """Records versions until the block ends. The lists only grow, so they can be read at any time."""

    api: Api
    namespace: str
    contents: list[SecretContent] = field(default_factory=list)
    workload_versions: list[WorkloadVersion] = field(default_factory=list)
    subscription_versions: list[SubscriptionVersion] = field(default_factory=list)
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
        """The number of gaps, in which versions may be missing."""
        return sum(mirror.gaps for mirror in self._mirrors)

    def _secret(self, before: Object | None, now: Object | None) -> None:
        known = now or before or {"metadata": {}}
        data = (now or {}).get("data") or {}
        decoded = {key: base64.b64decode(value).decode() for key, value in data.items()}
        self.contents.append(SecretContent(_version(known), known["metadata"]["name"], decoded))

    def _deployment(self, _: Object | None, now: Object | None) -> None:
        if now is not None:
            self.workload_versions.append(workload_version_of(now))

    def _subscription(self, _: Object | None, now: Object | None) -> None:
        if now is not None:
            self.subscription_versions.append(subscription_version_of(now))


def workload_version_of(deployment: Object) -> WorkloadVersion:
    """Read a Deployment by the rules of `kubectl rollout status`."""
    spec, status, metadata = deployment["spec"], deployment.get("status", {}), deployment["metadata"]
    noted = spec["template"].get("metadata", {}).get("annotations") or {}
    is_seen = status.get("observedGeneration", 0) >= metadata["generation"]
    reasons = {condition.get("reason") for condition in status.get("conditions", ())}
    has_failed = is_seen and "ProgressDeadlineExceeded" in reasons
    return WorkloadVersion(
        version=_version(deployment),
        workload=metadata["name"],
        generation=metadata["generation"],
        records=tuple(sorted((key, text) for key, text in noted.items() if key.startswith(_REVISIONS))),
        is_rolling=not has_failed and not (is_seen and _is_complete(spec, status)),
        has_failed=has_failed,
    )


def subscription_version_of(subscription: Object) -> SubscriptionVersion:
    """Read the status of a subscription."""
    status = subscription.get("status") or {}
    complete = next((c for c in status.get("conditions", ()) if c["type"] == "RestartsComplete"), {})
    return SubscriptionVersion(
        version=_version(subscription),
        reason=complete.get("reason", ""),
        message=complete.get("message", ""),
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
