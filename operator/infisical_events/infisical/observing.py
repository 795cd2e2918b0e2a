"""Reading the state of folders without values: ids and versions only.

Needs no more than the right to describe secrets. An unchanged scope costs a 304, which stands for
the body last received.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from infisical_events.core.folders import Folder, canonical
from infisical_events.core.observations import Body, Part, Sighting, short_id
from infisical_events.core.reasons import Reason
from infisical_events.core.scopes import Scope
from infisical_events.infisical.calls import decoded
from infisical_events.infisical.errors import FolderMissingError, InfisicalError, UnknownRouteError
from infisical_events.infisical.requests import AuthorizedClient

Parts = Mapping[Part, Body]


@dataclass(frozen=True, slots=True)
class _Cached:
    etag: str
    parts: Parts


@dataclass(frozen=True, slots=True)
class _Route:
    path: str
    project: str
    """What it calls the project."""


_V4 = _Route("/api/v4/secrets", "projectId")
_V3 = _Route("/api/v3/secrets/raw", "workspaceId")


class SecretLists:
    """The list endpoint of one project, with the tag of what was last received of each scope."""

    def __init__(self, client: AuthorizedClient, project_id: str) -> None:
        self._client = client
        self._project_id = project_id
        self._cache: dict[Scope, _Cached] = {}
        self._route = _V4

    async def read(self, scope: Scope) -> Parts:
        """All parts of one scope; none when the folder does not exist.

        Raises:
            InfisicalError: the list could not be had or makes no sense.
        """
        cached = self._cache.get(scope)
        headers = {"If-None-Match": cached.etag} if cached else {}
        try:
            response = await self._list(scope, headers)
        except FolderMissingError:
            self._cache.pop(scope, None)
            return {}
        if cached and response.status_code == 304:  # noqa: PLR2004 - Not Modified
            return cached.parts
        parts = parse_list(scope, decoded(response))
        if etag := response.headers.get("etag"):
            self._cache[scope] = _Cached(etag, parts)
        return parts

    async def _list(self, scope: Scope, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - a response
        """By the route that answered last, or by the other one: a proxy's 404 must not decide for ever."""
        try:
            return await self._ask(self._route, scope, headers)
        except UnknownRouteError:
            other = _V3 if self._route is _V4 else _V4
        response = await self._ask(other, scope, headers)
        self._route = other
        return response

    async def _ask(self, route: _Route, scope: Scope, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - ditto
        query = self._query(scope, route.project)
        return await self._client.send("GET", route.path, params=query, headers=headers)

    def _query(self, scope: Scope, project: str) -> dict[str, str]:
        """Everything explicit: defaults differ between servers, and so does the spelling of imports."""
        return {
            project: self._project_id,
            "environment": scope.folder.environment,
            "secretPath": scope.folder.path,
            "recursive": "true" if scope.recursive else "false",
            "viewSecretValue": "false",
            "expandSecretReferences": "false",
            "include_imports": "true",
            "includeImports": "true",
        }


def parse_list(scope: Scope, answer: object) -> Parts:
    """A list's body as parts; personal overrides are nobody's workload's business.

    Raises:
        InfisicalError: the body has not the shape that every server version has.
    """
    try:
        return _parts(scope, answer)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise InfisicalError(
            Reason.NOT_INFISICAL, "The list of secrets has an unknown shape: check spec.address."
        ) from None


def _parts(scope: Scope, answer: Any) -> Parts:  # noqa: ANN401 - JSON; every miss raises
    own: dict[Folder, dict[str, Sighting]] = defaultdict(dict)
    for secret in _shared(answer["secrets"]):
        path = canonical(secret.get("secretPath") or "/") if scope.recursive else scope.folder.path
        own[Folder(scope.folder.environment, path)][_text(secret["secretKey"])] = _sighting(secret)
    parts = {Part.own(folder): Body.of(sightings) for folder, sightings in own.items()}
    for rank, entry in enumerate(answer.get("imports") or ()):
        source = Folder(_text(entry["environment"]), canonical(entry["secretPath"]))
        sightings = {_text(secret["secretKey"]): _sighting(secret) for secret in _shared(entry["secrets"])}
        if sightings:
            parts[Part(scope, source)] = Body.of(sightings, rank)
    return parts


def _shared(secrets: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (secret for secret in secrets if secret.get("type", "shared") == "shared")


def _sighting(secret: Mapping[str, Any]) -> Sighting:
    return Sighting(short_id(str(secret["id"])), int(secret["version"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
