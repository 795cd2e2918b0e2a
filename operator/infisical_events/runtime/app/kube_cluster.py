"""The API server as the subscriptions' loops see it: the kube package behind one port."""

from infisical_events.kube.api_client import Kube
from infisical_events.kube.credential_reader import CredentialReader
from infisical_events.kube.discovery import Groups
from infisical_events.kube.event_recorder import Notice, Recorder
from infisical_events.kube.managed_secrets import ManagedSecrets
from infisical_events.kube.protected_objects import Own
from infisical_events.kube.provider_client import Sources
from infisical_events.kube.secret_client import Secrets
from infisical_events.kube.subscription_client import Subscriptions
from infisical_events.kube.workload_client import Workloads
from infisical_events.runtime.clock import Clock


class KubeCluster:
    """Implements `ports.Cluster`; each method does what the kube package documents.

    `own_secret` is the namespace and name of the Secret that the operator keeps for itself.
    """

    def __init__(self, kube: Kube, clock: Clock, own_secret: tuple[str, str]) -> None:
        own = Own(kube.user, frozenset({own_secret}))
        self._clock = clock
        self._subscriptions = Subscriptions(kube)
        groups = Groups(kube)
        self._workloads = Workloads(kube, groups)
        self._sources = Sources(kube, groups)
        self._secrets = Secrets(kube)
        self._managed = ManagedSecrets(kube, own)
        self._credentials = CredentialReader(kube, own)
        self._recorder = Recorder(kube)
        self.get = self._subscriptions.get
        self.write_status = self._subscriptions.write_status
        self.list_subscriptions = self._subscriptions.list
        self.list_workloads = self._workloads.list
        self.read_workload = self._workloads.read
        self.births_of_pods = self._workloads.births_of_pods
        self.patch_workload = self._workloads.patch
        self.list_sources = self._sources.of_namespace
        self.ask_source = self._sources.ask
        self.secret_metadata = self._secrets.metadata
        self.apply_secret = self._managed.apply
        self.secret_value = self._credentials.secret_value
        self.service_account_token = self._credentials.service_account_token

    async def record(self, notice: Notice) -> None:
        """Write one Kubernetes Event as of now."""
        await self._recorder.record(notice, self._clock())
