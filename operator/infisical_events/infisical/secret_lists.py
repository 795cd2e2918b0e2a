"""Lists of secrets: ids and versions and, on request, keyed digests of values or the values themselves.

Ids and versions need only the permission to describe secrets. The response for an unchanged scope is a 304,
which stands for the last received body. A list omits secrets that the identity may not describe; reading a
missing secret by name tells whether it is removed or hidden.

Values are read for single folders only, for managed Secrets, and always without cache. Only shared secrets
count: no workload uses a personal override.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.snapshots import (
    ABSENT,
    Partition,
    PartitionState,
    SecretVersion,
    short_id,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.http_client import decoded
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError, UnknownRouteError
from infisical_events.infisical.responses import Response

PartitionStates = Mapping[Partition, PartitionState]

_HIDDEN = "<hidden-by-infisical>"
"""Infisical's placeholder for a hidden value; it must never be written to a Secret."""

_MAX_NAME_LENGTH = 64
"""Characters of a secret's name in a message."""


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
        partitions = _parsed_list(scope, decoded(response), key)
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
        return _parsed_values(scope, decoded(await self._list(scope, _IMPORTS | _VALUES, {})), key)

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


# -- parsing ------------------------------------------------------------------------------------------


def _parsed_list(scope: Scope, body: object, key: DigestKey | None = None) -> PartitionStates:
    """The partition states in the body of a list response.

    Raises:
        InfisicalError: the body is malformed; all server versions have this structure.
    """
    try:
        return _partition_states(scope, body, key)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _unknown_shape() from None


def _unknown_shape() -> InfisicalError:
    return InfisicalError(
        Reason.UNEXPECTED_RESPONSE, "The list of secrets has an unexpected structure: check spec.address."
    )


def _parsed_values(scope: Scope, body: object, key: DigestKey | None = None) -> FolderValues:
    """The states and values in the body of a list response; always with the folder's own partition.

    Raises:
        InfisicalError: PERMISSION_DENIED, a value is hidden; UNEXPECTED_RESPONSE as in `_parsed_list`.
    """
    partitions = {Partition(scope): ABSENT, **_parsed_list(scope, body, key)}
    values = {
        partition: _values(partition, listed.secrets)
        for partition, listed in _listed_by_partition(scope, body).items()
    }
    return FolderValues(partitions, {Partition(scope): {}, **values})


@dataclass(frozen=True, slots=True)
class _ListedSecrets:
    """The listed secrets of one partition."""

    rank: int
    secrets: list[Mapping[str, Any]] = field(default_factory=list, repr=False)


def _partition_states(scope: Scope, body: Any, key: DigestKey | None) -> PartitionStates:  # noqa: ANN401 - JSON; a missing key raises
    return {
        partition: PartitionState.of(
            {_text(secret["secretKey"]): _secret_version(secret, key) for secret in listed.secrets},
            listed.rank,
        )
        for partition, listed in _listed_by_partition(scope, body).items()
    }


def _listed_by_partition(scope: Scope, body: Any) -> dict[Partition, _ListedSecrets]:  # noqa: ANN401 - as above
    found: dict[Partition, _ListedSecrets] = {}
    for secret in _shared(body["secrets"]):
        path = canonical(secret.get("secretPath") or "/") if scope.recursive else scope.folder.path
        partition = Partition.own(Folder(scope.folder.environment, path))
        found.setdefault(partition, _ListedSecrets(0)).secrets.append(secret)
    for rank, entry in enumerate(body.get("imports") or ()):
        source = Folder(_text(entry["environment"]), canonical(entry["secretPath"]))
        secrets = list(_shared(entry["secrets"]))
        if secrets:
            found[Partition(scope, source)] = _ListedSecrets(rank, secrets)
    return found


def _values(partition: Partition, secrets: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The values of one partition, whose secrets are already known to be well-formed.

    Raises:
        InfisicalError: a value is hidden or is not text.
    """
    values = {}
    for secret in secrets:
        name, value = secret["secretKey"], secret.get("secretValue")
        if secret.get("secretValueHidden") or value == _HIDDEN:
            raise InfisicalError(
                Reason.PERMISSION_DENIED,
                f"Infisical hides the value of {name[:_MAX_NAME_LENGTH]!a} in "
                f"{partition.source or partition.folder}.",
            )
        if not isinstance(value, str):
            raise _unknown_shape()
        values[name] = value
    return values


def _shared(secrets: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (secret for secret in secrets if secret.get("type", "shared") == "shared")


def _secret_version(secret: Mapping[str, Any], key: DigestKey | None) -> SecretVersion:
    identifier, version = str(secret["id"]), int(secret["version"])
    digest = _digest(secret, identifier, key)
    return SecretVersion(short_id(identifier), version, digest)


def _digest(secret: Mapping[str, Any], identifier: str, key: DigestKey | None) -> str:
    """The keyed digest of a value; empty without a key or for a hidden value."""
    value = secret.get("secretValue")
    is_shown = isinstance(value, str) and not secret.get("secretValueHidden")
    return key.digest(identifier, str(value)) if key and is_shown else ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
