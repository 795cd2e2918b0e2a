"""The API server as the loops of a subscription use it: the kube package behind one port."""

from functools import partial

from infisical_events.core.status.kube_events import KubeEvent
from infisical_events.core.workloads.workloads import WorkloadList
from infisical_events.kube.credential_reader import CredentialReader
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.event_recorder import EventRecorder
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.managed_secrets import ManagedSecretClient
from infisical_events.kube.provider_client import ProviderClient
from infisical_events.kube.secret_client import SecretClient
from infisical_events.kube.subscription_client import SubscriptionClient
from infisical_events.kube.workload_client import WorkloadClient
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.tasks import SharedCall

_LONG_LIST = 0.5
"""Seconds of a list above which the namespace waits for the next one; 10,000 workloads take two."""

_LONGEST_PAUSE = 10.0
"""Seconds between two lists of one namespace, at most."""


def _pause_after_list(seconds: float) -> float:
    """A namespace with long lists leaves the API server to others for most of the time."""
    return min(2 * seconds, _LONGEST_PAUSE) if seconds > _LONG_LIST else 0.0


class KubeCluster:
    """Implements `ports.Cluster`; the kube package documents each method.

    `own_secret` is the namespace and name of the Secret with the digest key, which no subscription may use.
    """

    def __init__(self, kube: KubeApi, clock: Clock, own_secret: tuple[str, str]) -> None:
        protected = kube.protected_with(own_secret)
        self._clock = clock
        self._subscriptions = SubscriptionClient(kube)
        discovery = Discovery(kube)
        self._workloads = WorkloadClient(kube, discovery)
        self._providers = ProviderClient(kube, discovery)
        self._secrets = SecretClient(kube)
        self._managed = ManagedSecretClient(kube, protected)
        self._credentials = CredentialReader(kube, protected)
        self._events = EventRecorder(kube)
        self._lists: dict[str, SharedCall[WorkloadList]] = {}
        self.get = self._subscriptions.get
        self.write_status = self._subscriptions.write_status
        self.list_subscriptions = self._subscriptions.list
        self.read_workload = self._workloads.read
        self.pod_creation_times = self._workloads.pod_creation_times
        self.list_pods = self._workloads.list_pods
        self.patch_workload = self._workloads.patch
        self.evict_pod = self._workloads.evict_pod
        self.list_providers = self._providers.list
        self.request_sync = self._providers.request_sync
        self.secret_metadata = self._secrets.metadata
        self.config_map = self._secrets.config_map
        self.apply_secret = self._managed.apply
        self.claim_secret = self._managed.claim
        self.secret_value = self._credentials.secret_value
        self.service_account_token = self._credentials.service_account_token

    async def list_workloads(self, namespace: str) -> WorkloadList:
        """As the client, but all subscriptions of a namespace that need a list at the same time share one."""
        shared = self._lists.get(namespace)
        if shared is None:
            call = partial(self._workloads.list, namespace)
            shared = self._lists[namespace] = SharedCall(call, _pause_after_list)
        try:
            return await shared()
        finally:
            if shared.is_idle:
                self._lists.pop(namespace, None)

    async def emit_event(self, event: KubeEvent) -> None:
        """Write one Kubernetes Event with the current time."""
        await self._events.record(event, self._clock())
