"""Reads one namespace for the explanations: subscriptions, workloads, and who writes their Secrets.

A right that the user lacks leaves out what it is for, and is named.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from infisical_events.api.resources import KIND, WORKLOAD_KINDS, WorkloadKind
from infisical_events.cli.cluster_access import or_message
from infisical_events.core.explanations.event_explanation import NamespaceView
from infisical_events.core.explanations.subscription_view import SubscriptionView, subscription_view_of
from infisical_events.core.explanations.workload_explanation import SecretUse, WorkloadView
from infisical_events.core.status.text import object_name
from infisical_events.core.sync.secret_metadata import SecretMetadata, config_map_of
from infisical_events.core.sync.secret_providers import ProviderList
from infisical_events.core.sync.unlisted_writers import unlisted_provider
from infisical_events.core.workloads.other_reloaders import (
    OtherReloader,
    ReadSecret,
    is_marked,
    other_reloader,
)
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload, WorkloadList
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError
from infisical_events.kube.provider_client import ProviderClient
from infisical_events.kube.secret_client import SecretClient
from infisical_events.kube.subscription_client import SubscriptionClient
from infisical_events.kube.workload_client import WorkloadClient

_NO_CRD = f"the cluster has no CRD of kind {KIND}: install the chart, or apply crds/"

_SHORT_NAMES = {
    "deploy": "Deployment",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "cj": "CronJob",
    "ro": "Rollout",
}
_BY_NAME = {
    name: kind
    for kind in WORKLOAD_KINDS
    for name in (kind.kind.lower(), kind.plural, f"{kind.plural}.{kind.group}")
} | {short: next(k for k in WORKLOAD_KINDS if k.kind == kind) for short, kind in _SHORT_NAMES.items()}


def workload_kind_of(text: str) -> WorkloadKind | None:
    """The kind by the names that kubectl takes for it; None if it is none that can be restarted."""
    return _BY_NAME.get(text.lower())


@dataclass(slots=True)
class NamespaceReader:
    """Reads with the rights of the user; `gaps` names what could not be read."""

    kube: KubeApi
    namespace: str
    gaps: list[str] = field(default_factory=list)
    _discovery: Discovery = field(init=False)

    def __post_init__(self) -> None:
        """One discovery for all kinds of other projects."""
        self._discovery = Discovery(self.kube)

    async def subscriptions(self) -> tuple[SubscriptionView, ...]:
        """All subscriptions of the namespace, or of all namespaces if it is empty; raises KubernetesError."""
        try:
            stored = await SubscriptionClient(self.kube).read_all(self.namespace)
        except NotFoundError:
            raise KubernetesError(_NO_CRD) from None
        return tuple(subscription_view_of(key, each) for key, each in stored)

    async def workloads(self) -> WorkloadList:
        """All workloads of the namespace; raises KubernetesError."""
        listed = await WorkloadClient(self.kube, self._discovery).list(self.namespace)
        self.gaps += [f"workloads of kind {kind}: {why}" for kind, why in listed.failures.items()]
        return listed

    async def view(self) -> NamespaceView:
        """Subscriptions and workloads; raises KubernetesError."""
        return NamespaceView(self.namespace, await self.subscriptions(), (await self.workloads()).workloads)

    async def workload(
        self, kind: WorkloadKind, name: str, view: NamespaceView
    ) -> tuple[WorkloadView, OtherReloader | None] | None:
        """One workload with what its pods use, and the other tool that restarts it; None if there is none.

        Raises:
            KubernetesError: it cannot be read.
        """
        client = WorkloadClient(self.kube, self._discovery)
        found = await client.read_annotated(self.namespace, kind, name)
        state = await client.read(self.namespace, kind.kind, name) if found else None
        if found is None or state is None:
            return None
        providers = await self._providers()
        metadata = {each: await self._metadata(each) for each in sorted(state.references)}
        uses = tuple(_use(each, metadata[each], providers, view) for each in metadata)
        return WorkloadView(found, uses), _other_reloader(state, metadata, providers)

    async def other_reloaders(self, workloads: Iterable[Workload]) -> dict[str, OtherReloader]:
        """The other tools that restart workloads, by uid; workloads that cannot be read are left out."""
        client = WorkloadClient(self.kube, self._discovery)
        found, providers = {}, None
        for workload in workloads:
            state, gap = await or_message(
                client.read(self.namespace, workload.kind.kind, workload.name), None
            )
            self.gaps += [gap] if gap else []
            if state is None or workload.ignores_other_reloaders or not is_marked(state):
                continue
            providers = providers or await self._providers()
            metadata = {each: await self._metadata(each) for each in sorted(state.read_secrets)}
            if other := _other_reloader(state, metadata, providers):
                found[workload.uid] = other
        return found

    async def _providers(self) -> ProviderList:
        listed, gap = await or_message(
            ProviderClient(self.kube, self._discovery).list(self.namespace), ProviderList()
        )
        self.gaps += [gap] if gap else [f"{kind}: {why}" for kind, why in listed.failures.items()]
        return listed

    async def _metadata(self, reference: str) -> SecretMetadata | None:
        client, config_map = SecretClient(self.kube), config_map_of(reference)
        request = (
            client.config_map(self.namespace, config_map)
            if config_map
            else client.metadata(self.namespace, reference)
        )
        try:
            return await request
        except KubernetesError as error:
            self.gaps.append(f"{_reference_name(reference)}: {error}")
            return None


def _reference_name(reference: str) -> str:
    config_map = config_map_of(reference)
    return object_name("ConfigMap", config_map) if config_map else object_name("Secret", reference)


def _use(
    reference: str, metadata: SecretMetadata | None, providers: ProviderList, view: NamespaceView
) -> SecretUse:
    """Who writes a Secret or ConfigMap: a provider, a subscription, or somebody that its marks show."""
    writers = [str(each) for each in providers.providers if reference in each.references]
    writers += [
        object_name(KIND, each.name)
        for each in view.subscriptions
        if each.spec and reference in {managed.name for managed in each.spec.resync.secrets}
    ]
    if not writers and metadata is not None:
        stand_in = unlisted_provider(metadata)
        is_waited_for = stand_in is not None and stand_in.is_waited_for
        writers = ["a controller that was not found"] if is_waited_for else []
    name = _reference_name(reference)
    return SecretUse(name, ", ".join(writers) or ("not known" if metadata else "unknown, it was not found"))


def _other_reloader(
    state: WorkloadState, metadata: dict[str, SecretMetadata | None], providers: ProviderList
) -> OtherReloader | None:
    """The tool that acts on every Secret that the containers read."""
    if not is_marked(state) or not state.read_secrets or state.workload.ignores_other_reloaders:
        return None
    by_infisical = {
        name
        for each in providers.providers
        if each.kind.group == "secrets.infisical.com"
        for name in each.secrets
    }
    read = [
        ReadSecret(name, found.annotations if (found := metadata.get(name)) else {}, name in by_infisical)
        for name in sorted(state.read_secrets)
    ]
    return other_reloader(state, read)
