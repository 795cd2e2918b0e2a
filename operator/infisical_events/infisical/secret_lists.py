"""Reading the state of folders: ids and versions, and digests of values for who asks for them.

Ids and versions need no more than the right to describe secrets. An unchanged scope costs a 304, which
stands for the body last received. A list leaves out what one may not describe, so what is missing in a
list can be asked for by its name: only that answer tells the two apart.

Values themselves are read of single folders, for the Secrets that are made of them, and always in full.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from infisical_events.core.paths.folders import Folder
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError, UnknownRouteError
from infisical_events.infisical.responses import Response, decoded
from infisical_events.infisical.secret_list_parser import PartitionStates, parse_list, parse_values


@dataclass(frozen=True, slots=True)
class _Cached:
    etag: str
    partitions: PartitionStates
    key: DigestKey | None


@dataclass(frozen=True, slots=True)
class _Route:
    path: str
    project: str
    """What it calls the project."""


_V4 = _Route("/api/v4/secrets", "projectId")
_V3 = _Route("/api/v3/secrets/raw", "workspaceId")

_NO_VALUES = {"viewSecretValue": "false", "expandSecretReferences": "false"}
_VALUES = {"viewSecretValue": "true", "expandSecretReferences": "true"}
_IMPORTS = {"include_imports": "true", "includeImports": "true"}
_ONE = {**_NO_VALUES, "include_imports": "false", "includeImports": "false", "type": "shared"}
"""Everything explicit: defaults differ between servers, and so does the spelling of imports."""


class SecretLists:
    """The list endpoint of one project, with the tag of what was last received of each of these scopes."""

    def __init__(self, client: AuthorizedClient, project_id: str, scopes: Iterable[Scope]) -> None:
        self._client = client
        self._scopes = frozenset(scopes)
        self.project_id = project_id
        self._cache: dict[Scope, _Cached] = {}
        self._route = _V4

    async def read(self, scope: Scope, key: DigestKey | None = None) -> PartitionStates:
        """All parts of one scope, with digests of the values under a key; none when there is no such folder.

        Raises:
            InfisicalError: the list could not be had or makes no sense.
        """
        cached = self._cache.get(scope)
        if cached and cached.key != key:
            cached = None
        headers = {"If-None-Match": cached.etag} if cached else {}
        query = _IMPORTS | (_VALUES if key else _NO_VALUES)
        try:
            response = await self._list(scope, query, headers)
        except FolderMissingError:
            self._cache.pop(scope, None)
            return {}
        if cached and response.status_code == 304:  # noqa: PLR2004 - Not Modified
            return cached.partitions
        partitions = parse_list(scope, decoded(response), key)
        etag = response.headers.get("etag")
        if etag and scope in self._scopes:  # single folders are looked at because they changed
            self._cache[scope] = _Cached(etag, partitions, key)
        return partitions

    async def read_values(self, folder: Folder, key: DigestKey | None = None) -> FolderValues:
        """One folder and its imports with values that are expanded; no tag stands for any of it.

        Raises:
            FolderMissingError: there is no such folder or environment.
            InfisicalError: PERMISSION_DENIED, a value is hidden; or the list makes no sense.
        """
        scope = Scope(folder)
        return parse_values(scope, decoded(await self._list(scope, _IMPORTS | _VALUES, {})), key)

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Whether the folder has no secret of its own of this name; imports do not count.

        Also true when there is no such folder, environment or project any more.

        Raises:
            InfisicalError: it cannot be told; PERMISSION_DENIED when this secret may not be described.
        """
        try:
            response = await self._read(f"/{_segment(key)}", self._location(folder) | _ONE, {})
        except FolderMissingError:
            return True
        except InfisicalError as error:
            if error.reason is Reason.PROJECT_NOT_FOUND:  # every other 404 of the application
                return True
            raise
        _check_secret(decoded(response))
        return False

    async def _list(self, scope: Scope, query: dict[str, str], headers: Mapping[str, str]) -> Response:
        recursive = {"recursive": "true" if scope.recursive else "false"}
        return await self._read("", self._location(scope.folder) | recursive | query, headers)

    async def _read(self, below: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        """By the route that answered last, or by the other one: a proxy's 404 must not decide for ever."""
        try:
            return await self._read_by(self._route, below, query, headers)
        except UnknownRouteError:
            other = _V3 if self._route is _V4 else _V4
        response = await self._read_by(other, below, query, headers)
        self._route = other
        return response

    async def _read_by(
        self, route: _Route, below: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Response:
        query_string = urlencode({route.project: self.project_id, **query}, errors="surrogatepass")
        return await self._client.send("GET", f"{route.path}{below}?{query_string}", headers=headers)

    @staticmethod
    def _location(folder: Folder) -> dict[str, str]:
        return {"environment": folder.environment, "secretPath": folder.path}


def _segment(key: str) -> str:
    """A name as one segment of a path, whatever is in it: neither `a/b` nor `..` leads elsewhere."""
    return quote(key, safe="", errors="surrogatepass").replace(".", "%2E")


def _check_secret(body: object) -> None:
    if not (isinstance(body, dict) and isinstance(body.get("secret"), dict)):
        raise InfisicalError(
            Reason.UNEXPECTED_RESPONSE, "The answer about a secret has an unknown shape: check spec.address."
        )
