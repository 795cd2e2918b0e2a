"""Reading of the state of folders: ids and versions and, on request, keyed digests of values.

Ids and versions need only the permission to describe secrets. The response for an unchanged scope is a 304,
which stands for the last received body. A list omits secrets that the identity may not describe; reading a
missing secret by name tells whether it is removed or hidden.

Values are read for single folders only, for managed Secrets, and always without cache.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.http_client import decoded
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError, UnknownRouteError
from infisical_events.infisical.responses import Response
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
    """The name of the query parameter with the project id."""


_V4 = _Route("/api/v4/secrets", "projectId")
_V3 = _Route("/api/v3/secrets/raw", "workspaceId")

_NO_VALUES = {"viewSecretValue": "false", "expandSecretReferences": "false"}
_VALUES = {"viewSecretValue": "true", "expandSecretReferences": "true"}
_IMPORTS = {"include_imports": "true", "includeImports": "true"}
_ONE = {**_NO_VALUES, "include_imports": "false", "includeImports": "false", "type": "shared"}
"""All parameters are explicit: defaults differ between server versions, and so does the name for imports."""


class SecretLists:
    """The list endpoint of one project, with the ETag and body of the last response for each scope."""

    def __init__(self, client: AuthorizedClient, project_id: str, scopes: Iterable[Scope]) -> None:
        self._client = client
        self._scopes = frozenset(scopes)
        self.project_id = project_id
        self._cache: dict[Scope, _Cached] = {}
        self._route = _V4

    async def read(self, scope: Scope, key: DigestKey | None = None) -> PartitionStates:
        """The states of all partitions of one scope; with a key, they have digests of values.

        Raises:
            FolderMissingError: the folder or the environment does not exist.
            InfisicalError: the list could not be read or is malformed.
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
            raise
        if cached and response.status_code == 304:  # noqa: PLR2004 - Not Modified
            return cached.partitions
        partitions = parse_list(scope, decoded(response), key)
        etag = response.headers.get("etag")
        if etag and scope in self._scopes:  # other reads are of single folders that have just changed
            self._cache[scope] = _Cached(etag, partitions, key)
        return partitions

    async def read_values(self, folder: Folder, key: DigestKey | None = None) -> FolderValues:
        """One folder and its imports with values and expanded references; never cached.

        Raises:
            FolderMissingError: the folder or the environment does not exist.
            InfisicalError: PERMISSION_DENIED, a value is hidden; or the list is malformed.
        """
        scope = Scope(folder)
        return parse_values(scope, decoded(await self._list(scope, _IMPORTS | _VALUES, {})), key)

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Whether the folder has no own secret of this name; imports do not count.

        Also true if the folder, the environment or the project does not exist any more.

        Raises:
            InfisicalError: the read failed; PERMISSION_DENIED if the identity may not describe this secret.
        """
        try:
            response = await self._read(f"/{_segment(key)}", self._location(folder) | _ONE, {})
        except FolderMissingError:
            return True
        except InfisicalError as error:
            if error.reason is Reason.PROJECT_NOT_FOUND:  # any other 404 of the application
                return True
            raise
        _check_secret(decoded(response))
        return False

    async def _list(self, scope: Scope, query: dict[str, str], headers: Mapping[str, str]) -> Response:
        recursive = {"recursive": "true" if scope.recursive else "false"}
        return await self._read("", self._location(scope.folder) | recursive | query, headers)

    async def _read(self, below: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        """By the route that worked last, else by the other one: a proxy's 404 must not decide permanently."""
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
    """Any name as one segment of a path: neither `a/b` nor `..` changes the path."""
    return quote(key, safe="", errors="surrogatepass").replace(".", "%2E")


def _check_secret(body: object) -> None:
    if not (isinstance(body, dict) and isinstance(body.get("secret"), dict)):
        raise InfisicalError(
            Reason.UNEXPECTED_RESPONSE,
            "The response for a secret has an unexpected structure: check spec.address.",
        )
