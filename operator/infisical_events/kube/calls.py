"""One request to the API server with plain JSON in and out.

The typed methods of the client cost a millisecond each in models that nobody reads here; its
transport, its configuration and its authentication are used as they are.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.kube.errors import KubernetesError, UnknownOutcomeError, error_of

MERGE_PATCH = "application/merge-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 500
_LONGEST_QUOTE = 500
"""Characters of the API server's own sentence that are repeated."""
_TIMEOUT = 30.0
"""Seconds for a request as a whole."""

JSONObject = dict[str, Any]


def path_of(*segments: str) -> str:
    """A path of the API; a segment that comes from a user can never become two, or climb.

    Raises:
        KubernetesError: a segment is no name.
    """
    if any(segment in {"", ".", ".."} for segment in segments):
        raise KubernetesError("a name in a request is empty or made of dots")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


class Kube:
    """The API server, by the verbs that are used."""

    def __init__(self, client: ApiClient, timeout: float = _TIMEOUT) -> None:
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=timeout / 3)

    async def get(self, path: str) -> JSONObject:
        """Read one object; raises KubernetesError."""
        return await self._call("GET", path)

    async def create(self, path: str, body: JSONObject) -> JSONObject:
        """Create one object; raises KubernetesError."""
        return await self._call("POST", path, body=body, query={"fieldManager": FIELD_MANAGER})

    async def merge_patch(self, path: str, body: JSONObject) -> JSONObject:
        """Patch one object; a resourceVersion in the body makes it a compare-and-swap.

        Raises:
            ConflictError: the object is not the one that was read.
            UnknownOutcomeError: the patch may have been applied all the same.
            KubernetesError: for every other refusal.
        """
        return await self._call(
            "PATCH", path, body=body, query={"fieldManager": FIELD_MANAGER}, content_type=MERGE_PATCH
        )

    async def list_metadata(self, path: str) -> AsyncIterator[JSONObject]:
        """The metadata of all objects, read consistently and page by page; raises KubernetesError."""
        query: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            page = await self._call("GET", path, query=query, accept=METADATA_LIST)
            for metadata in _metadata_of(page):
                yield metadata
            following = page.get("metadata", {}).get("continue")
            if not following:
                return
            query = {**query, "continue": following}

    async def _call(  # noqa: PLR0913 - one place for all that a request can carry
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JSONObject | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> JSONObject:
        request = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._client.call_api(*request, _request_timeout=self._timeout)
            data: bytes = await response.read()  # type: ignore[no-untyped-call] # theirs
        except (aiohttp.ClientError, TimeoutError, ApiException) as error:
            raise UnknownOutcomeError(f"no answer from the API server ({type(error).__name__})") from None
        return _decoded(response.status, data)


def _metadata_of(page: JSONObject) -> list[JSONObject]:
    """An empty list of metadata is null; anything else that is no list must not pass for an empty one."""
    try:
        return [item["metadata"] for item in page["items"] or ()]
    except (KeyError, TypeError):
        raise KubernetesError("the API server's answer is no list") from None


def _decoded(status: int, data: bytes) -> JSONObject:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not 200 <= status < 300:  # noqa: PLR2004 - the statuses of success
        raise error_of(status, _message_of(answer))
    if not isinstance(answer, dict):
        raise KubernetesError("the API server's answer is no object")
    return answer


def _message_of(answer: object) -> str:
    """The sentence of a Status object, on one line and capped; empty for whatever a proxy says."""
    message = answer.get("message") if isinstance(answer, dict) else None
    return "".join(c if c.isprintable() else " " for c in str(message or ""))[:_LONGEST_QUOTE]
