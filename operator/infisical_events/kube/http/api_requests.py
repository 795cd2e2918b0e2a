"""A request to the API server as a value: paths, media types and how it gets its credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.api_client import RequestSerialized
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from infisical_events.kube.kubernetes_errors import KubernetesError

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

JSONObject = dict[str, Any]


def path_of(*segments: str) -> str:
    """A path of the API; a segment from a user can neither become two segments nor refer to a parent.

    Raises:
        KubernetesError: a segment is not a name.
    """
    if any(segment in {"", ".", ".."} for segment in segments):
        raise KubernetesError("a name in the request is empty, '.' or '..'")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request without its credentials."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: JSONObject | None = None
    accept: str = JSON
    content_type: str = JSON

    @property
    def verb(self) -> str:
        """The method, but `LIST` and `WATCH` for those reads, as in the API server's own metrics."""
        if "watch" in self.query:
            return "WATCH"
        return "LIST" if "limit" in self.query else self.method


async def prepared(client: ApiClient, request: Request) -> RequestSerialized:
    """The request with its credentials, which may be read from a file for each request."""
    try:
        return await client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params={"Accept": request.accept, "Content-Type": request.content_type},
            body=request.body,
            auth_settings=["BearerToken"],
        )
    except (ApiException, ConfigException, OSError, ValueError) as error:
        raise request_error(error) from None


def request_error(error: Exception) -> KubernetesError:
    """The error for a request that was not sent, without the cause's text: that may contain a token."""
    return KubernetesError(
        f"cannot create the request to the API server ({type(error).__name__}): check its credentials"
    )
