"""What is installed in a cluster, and what the user of the kubeconfig may do there."""

from dataclasses import dataclass

from infisical_events.api.resources import GROUP, PLURAL, VERSION
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import path_of
from infisical_events.kube.kubernetes_errors import KubernetesError

_CRDS = ("apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions")


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One right: a verb on a resource of a namespace, `name` for one object."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        """`get secrets/name`, as in `kubectl auth can-i`."""
        parts = (self.resource, self.name, self.subresource)
        return f"{self.verb} {'/'.join(filter(None, parts))}"


async def crd_spec_fields(kube: KubeApi) -> frozenset[str]:
    """The names of the fields of `spec` in the installed CRD.

    Raises:
        NotFoundError: the CRD is not installed, or does not serve this version.
        ForbiddenError: the user may not read CRDs.
        KubernetesError: any other error.
    """
    crd = await kube.get(path_of(*_CRDS, f"{PLURAL}.{GROUP}"))
    try:
        (schema,) = (
            version["schema"]["openAPIV3Schema"]
            for version in crd["spec"]["versions"]
            if version["name"] == VERSION
        )
        return frozenset(schema["properties"]["spec"]["properties"])
    except (KeyError, TypeError, ValueError):
        raise KubernetesError(f"the CRD does not have version {VERSION}, or no schema for it") from None


async def is_allowed_to(kube: KubeApi, namespace: str, access: AccessRequest) -> bool:
    """Whether the user has this right in the namespace, by a SelfSubjectAccessReview.

    Raises:
        KubernetesError: the API server could not be asked.
    """
    attributes = {
        "namespace": namespace,
        "verb": access.verb,
        "group": access.group,
        "resource": access.resource,
        "subresource": access.subresource,
        "name": access.name,
    }
    response = await kube.create(
        path_of("apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    )
    status = response.get("status")
    return isinstance(status, dict) and bool(status.get("allowed"))
