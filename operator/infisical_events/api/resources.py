"""The names under which Kubernetes knows the custom resource and the workloads."""

from dataclasses import dataclass
from enum import Enum, auto

GROUP = "events.infisical.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "InfisicalEventSubscription"
PLURAL = "infisicaleventsubscriptions"

FIELD_MANAGER = "infisical-events"
"""The field manager of every write (`kubectl get --show-managed-fields`)."""

MANAGED_BY = "app.kubernetes.io/managed-by"
"""The label of all objects that the operator creates; its value is the field manager."""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A kind of object, in the version that is preferred."""

    kind: str
    plural: str
    group: str
    version: str

    @property
    def api_version(self) -> str:
        """`group/version`, as in a manifest."""
        return f"{self.group}/{self.version}"


TOKEN_TYPES = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
"""Types of Secrets with tokens for the API server: the operator neither reads nor writes such Secrets."""


class Restarting(Enum):
    """How a kind of workload is restarted."""

    BY_TEMPLATE = auto()
    """By a change of its pod template."""
    BY_RESTART_AT = auto()
    """By `spec.restartAt` of an Argo Rollout, which restarts its pods without a new canary."""
    NEVER = auto()
    """Not at all: it runs once, and the next run starts with the current secrets."""


@dataclass(frozen=True, slots=True)
class WorkloadKind(ResourceKind):
    """A kind of workload."""

    restarting: Restarting = Restarting.BY_TEMPLATE
    is_builtin: bool = True


def _apps(kind: str, plural: str) -> WorkloadKind:
    return WorkloadKind(kind, plural, "apps", "v1")


WORKLOAD_KINDS = (
    _apps("Deployment", "deployments"),
    _apps("StatefulSet", "statefulsets"),
    _apps("DaemonSet", "daemonsets"),
    WorkloadKind("CronJob", "cronjobs", "batch", "v1", Restarting.NEVER),
    WorkloadKind("Job", "jobs", "batch", "v1", Restarting.NEVER),
    WorkloadKind(
        "Rollout", "rollouts", "argoproj.io", "v1alpha1", Restarting.BY_RESTART_AT, is_builtin=False
    ),
)

INFISICAL_SECRET = ResourceKind("InfisicalSecret", "infisicalsecrets", "secrets.infisical.com", "v1alpha1")
STATIC_SECRET = ResourceKind(
    "InfisicalStaticSecret", "infisicalstaticsecrets", "secrets.infisical.com", "v1beta1"
)
EXTERNAL_SECRET = ResourceKind("ExternalSecret", "externalsecrets", "external-secrets.io", "v1")
SECRET_STORE = ResourceKind("SecretStore", "secretstores", "external-secrets.io", "v1")
CLUSTER_SECRET_STORE = ResourceKind("ClusterSecretStore", "clustersecretstores", "external-secrets.io", "v1")
