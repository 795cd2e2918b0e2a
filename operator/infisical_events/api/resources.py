"""The names under which Kubernetes knows the custom resource and the workloads."""

from dataclasses import dataclass

GROUP = "events.infisical.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "InfisicalEventSubscription"
PLURAL = "infisicaleventsubscriptions"

FIELD_MANAGER = "infisical-events"
"""The field manager of every write (`kubectl get --show-managed-fields`)."""


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """A kind of workload that can be rolled out by changing its pod template."""

    kind: str
    plural: str
    group: str = "apps"
    version: str = "v1"

    @property
    def api_version(self) -> str:
        """`group/version`, as in a manifest."""
        return f"{self.group}/{self.version}"


WORKLOAD_KINDS = (
    WorkloadKind("Deployment", "deployments"),
    WorkloadKind("StatefulSet", "statefulsets"),
    WorkloadKind("DaemonSet", "daemonsets"),
)
