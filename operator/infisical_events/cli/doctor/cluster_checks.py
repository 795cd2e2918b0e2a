"""The checks of a cluster: API server, CRD, the user's rights, the operator, and the Secrets of workloads."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from infisical_events.api.resources import GROUP, PLURAL, VERSION
from infisical_events.api.specs import Spec
from infisical_events.cli.cluster_access import ClusterOptions
from infisical_events.cli.doctor.checklist import Checklist, FaultFoundError
from infisical_events.cli.infisical_access import InfisicalOptions, Subject, subject_in_cluster
from infisical_events.core.diagnosis.network_remedies import local_remedy_for
from infisical_events.core.diagnosis.operator_status import operator_checks
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, object_name, preview
from infisical_events.core.workloads.workloads import Workload
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import path_of
from infisical_events.kube.kubernetes_errors import ForbiddenError, NotFoundError
from infisical_events.kube.preflight import AccessRequest, crd_spec_fields, is_allowed_to
from infisical_events.kube.secret_client import SecretClient
from infisical_events.kube.workload_client import WorkloadClient
from infisical_events.runtime.clock import utc_now

API_SERVER = "API server"
_MAX_NAMED = 10
_INSTALL_CRD = "Apply the CRD of this version (crds/, or helm with crds.enabled)."


@dataclass(slots=True)
class ClusterChecks:
    """The checks around one subscription of the cluster."""

    checks: Checklist
    cluster: ClusterOptions
    kube: KubeApi

    async def find(self, name: str, options: InfisicalOptions) -> Subject | None:
        """Check what it takes to read the subscription, and read it; None if it cannot be read."""
        found: list[Subject] = []

        async def read() -> str:
            try:
                found.append(await subject_in_cluster(self.kube, self.cluster, name, options))
            except NotFoundError:
                reason = Reason.SUBSCRIPTION_NOT_FOUND
                where = f"there is no subscription {name} in namespace {self.cluster.namespace()}"
                raise FaultFoundError(reason, where, "Check the name and the namespace (-n).") from None
            return f"generation {found[0].stored.generation if found[0].stored else 0}"

        await self.checks.run(API_SERVER, self._server)
        await self.checks.run("CRD", self._crd, is_essential=False)
        await self.checks.run("Subscription", read)
        return found[0] if found else None

    async def inspect(self, subject: Subject) -> None:
        """Check the user's rights, the operator's report and the Secrets of the workloads."""
        for access in _needed(subject.raw_spec):
            await self.checks.run(f"May {access}", partial(self._may, access), is_essential=False)
        serving = subject.serving()
        spec = getattr(serving, "spec", None)
        if subject.stored and isinstance(spec, Spec):
            suspended = spec.model_copy(update={"suspend": bool(subject.raw_spec.get("suspend"))})
            self.checks.results += operator_checks(subject.stored, suspended, utc_now())
        await self.checks.run("Workloads", partial(self._workloads, subject.name), is_essential=False)

    async def _server(self) -> str:
        version = (await self.kube.get(path_of("version"))).get("gitVersion")
        return f"Kubernetes {version}"

    async def _crd(self) -> str:
        try:
            fields = await crd_spec_fields(self.kube)
        except ForbiddenError:
            return f"{VERSION}; its fields were not compared, because you may not read CRDs"
        except NotFoundError:
            raise FaultFoundError("", f"the CRD {PLURAL}.{GROUP} is not installed", _INSTALL_CRD) from None
        ours = {field.alias or name for name, field in Spec.model_fields.items()}
        if missing := sorted(ours - fields):
            found = f"the installed CRD is another version: it lacks {preview(missing, _MAX_NAMED)}"
            raise FaultFoundError("", found, _INSTALL_CRD)
        if unknown := sorted(fields - ours):
            found = f"the installed CRD is newer: this program does not know {preview(unknown, _MAX_NAMED)}"
            raise FaultFoundError("", found, "Use the version of this program that the operator has.")
        return f"{VERSION}, with all {counted(len(ours), 'field')} of this version"

    async def _may(self, access: AccessRequest) -> str:
        if await is_allowed_to(self.kube, self.cluster.namespace(), access):
            return "you have this right"
        found = f"you may not {access}, so what needs it fails here; the operator has its own rights"
        raise FaultFoundError(
            Reason.KUBERNETES_API_ERROR, found, local_remedy_for(Reason.KUBERNETES_API_ERROR)
        )

    async def _workloads(self, subscription: str) -> str:
        """Whether the Secrets exist that the workloads of the subscription read."""
        namespace = self.cluster.namespace()
        client = WorkloadClient(self.kube, Discovery(self.kube))
        listed = (await client.list(namespace)).workloads
        workloads = [each for each in listed if each.is_subscribed_to(subscription)]
        if not workloads:
            found = "no workload has opted in to this subscription"
            remedy = f'Annotate a workload with {GROUP}/auto-reload: "true".'
            raise FaultFoundError(Reason.NO_MATCHING_WORKLOAD, found, remedy)
        missing = [text for each in workloads for text in await self._missing_of(client, namespace, each)]
        if missing:
            found = f"Secrets that workloads read do not exist: {preview(missing, _MAX_NAMED)}"
            remedy = local_remedy_for(Reason.SECRET_NOT_FOUND)
            raise FaultFoundError(Reason.SECRET_NOT_FOUND, found, remedy)
        return f"{counted(len(workloads), 'workload')}, all Secrets that they read exist"

    async def _missing_of(self, client: WorkloadClient, namespace: str, workload: Workload) -> list[str]:
        state = await client.read(namespace, workload.kind.kind, workload.name)
        secrets = SecretClient(self.kube)
        return [
            f"{secret} ({object_name(workload.kind.kind, workload.name)})"
            for secret in sorted(state.secrets if state else ())
            if await secrets.metadata(namespace, secret) is None
        ]


def _needed(raw_spec: dict[str, Any]) -> Iterator[AccessRequest]:
    """The rights for the checks that follow."""
    authentication = raw_spec.get("authentication") or {}
    universal = authentication.get("universalAuth") or {}
    references = (*universal.values(), authentication.get("accessTokenRef"))
    for name in dict.fromkeys(ref.get("name") for ref in references if isinstance(ref, dict)):
        yield AccessRequest("get", "secrets", name=str(name))
    if account := (authentication.get("kubernetesAuth") or {}).get("serviceAccountName"):
        yield AccessRequest("create", "serviceaccounts", subresource="token", name=str(account))
    yield AccessRequest("list", "deployments", group="apps")
    yield AccessRequest("get", "secrets")
