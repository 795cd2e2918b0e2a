"""Lists of secrets: ids and versions and, on request, keyed digests of values or the values themselves.

Ids and versions need only the permission to describe secrets. The response for an unchanged scope is a 304,
which stands for the last received body. A list omits secrets that the identity may not describe; reading a
missing secret by name tells whether it is removed or hidden.

Values are read for single folders only, for managed Secrets, and always without cache. Only shared secrets
count: no workload uses a personal override.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.snapshots import (
    ABSENT,
    Partition,
    PartitionState,
    SecretVersion,
    short_id,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.http_client import (
    LARGE_BYTES,
    MAX_BODY_BYTES,
    MAX_LIST_BYTES,
    Admit,
    NamespaceSharing,
    admit_all,
    decoded,
    not_json,
)
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError, UnknownRouteError
from infisical_events.infisical.responses import Response

T = TypeVar("T")

PartitionStates = Mapping[Partition, PartitionState]

_HIDDEN = "<hidden-by-infisical>"
"""Infisical's placeholder for a hidden value; it must never be written to a Secret."""

_MAX_QUOTED_LENGTH = 64
"""Characters of a secret's name in a message."""

_MAX_SECRETS = 100_000
"""Secrets in one list, with those of imports."""

_SHORT_BYTES = 256 * 1024
"""Bytes of a list that is parsed at once: 350 secrets, in about 10 ms."""

_FEW_SECRETS = 100
"""Secrets of a list that are not worth counting."""

_MAX_FOLDERS = 4_000
"""Folders and imports in one list: of more, the status of a subscription could not store the state."""

_MAX_OBJECTS = 6 * _MAX_SECRETS
"""JSON objects in one list: each secret has one, and some for its metadata, its tags and its author."""

_MAX_ID_LENGTH = 256
"""Characters of a secret's id, which is a UUID today."""

_MAX_PATH_LENGTH = 2_048
"""Characters of a secret's name, of a path and of an environment's slug."""


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


@dataclass(frozen=True, slots=True)
class _SecretsRequest:
    """A request by any route: what follows its path, its parameters and headers, and its bounds."""

    below: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = MAX_BODY_BYTES
    admit: Admit = admit_all


_V4 = _Route("/api/v4/secrets", "projectId")
_V3 = _Route("/api/v3/secrets/raw", "workspaceId")

_NO_VALUES = {"viewSecretValue": "false", "expandSecretReferences": "false"}
_VALUES = {"viewSecretValue": "true", "expandSecretReferences": "true"}
_IMPORTS = {"include_imports": "true", "includeImports": "true"}
_ONE = {**_NO_VALUES, "include_imports": "false", "includeImports": "false", "type": "shared"}
"""All parameters are explicit: defaults differ between server versions, and so does the name for imports."""


class SecretLists:
    """The list endpoint of one project, with the ETag and body of the last response for each scope."""

    def __init__(
        self,
        client: AuthorizedClient,
        project_id: str,
        scopes: Iterable[Scope],
        sharing: NamespaceSharing | None = None,
    ) -> None:
        self._client = client
        self._sharing = sharing or NamespaceSharing()
        self._scopes = frozenset(scopes)
        self.project_id = project_id
        self._cache: dict[Scope, _Cached] = {}
        self._kept = Counter[Scope]()
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
        async with AsyncExitStack() as memory:
            try:
                response = await self._list(scope, query, headers, memory)
            except FolderMissingError:
                self._cache.pop(scope, None)
                raise
            if cached and response.status_code == 304:  # noqa: PLR2004 - Not Modified
                return cached.partitions
            partitions = await self._parsed(response, partial(_parsed_list, scope, response, key))
            self._keep(scope, partitions)
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
        async with AsyncExitStack() as memory:
            response = await self._list(scope, _IMPORTS | _VALUES, {}, memory)
            return await self._parsed(response, partial(_parsed_values, scope, response, key))

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Whether the folder has no own secret of this name; imports do not count.

        Also true if the folder, the environment or the project does not exist any more.

        Raises:
            InfisicalError: the read failed; PERMISSION_DENIED if the identity may not describe this secret.
        """
        try:
            response = await self._read(_SecretsRequest(f"/{_segment(key)}", self._location(folder) | _ONE))
        except FolderMissingError:
            return True
        except InfisicalError as error:
            if error.reason is Reason.PROJECT_NOT_FOUND:  # any other 404 of the application
                return True
            raise
        _check_secret(decoded(response))
        return False

    async def _list(
        self, scope: Scope, query: dict[str, str], headers: Mapping[str, str], memory: AsyncExitStack
    ) -> Response:
        """A list, whose body may stay in memory until the stack ends."""

        async def admit(*, is_large: bool) -> None:
            await memory.enter_async_context(self._sharing.permit(is_large=is_large))

        parameters = self._location(scope.folder) | {"recursive": "true" if scope.recursive else "false"}
        request = _SecretsRequest("", parameters | query, headers, MAX_LIST_BYTES, admit)
        return await self._read(request)

    def _keep(self, scope: Scope, partitions: PartitionStates) -> None:
        """Account for the secrets of one scope, which the ledger keeps.

        Raises:
            InfisicalError: TOO_MANY_SECRETS.
        """
        count = sum(len(state.versions) for state in partitions.values())
        if scope not in self._scopes or max(count, self._kept[scope]) < _FEW_SECRETS:
            return
        kept = self._kept.total() - self._kept[scope] + count
        if not self._sharing.keep(id(self), kept):
            raise InfisicalError(
                Reason.TOO_MANY_SECRETS,
                f"The list has {counted(count, 'secret')}, and the operator keeps the state of too many for "
                "this namespace already: watch fewer folders, or remove subscriptions.",
            )
        self._kept[scope] = count

    def forget(self) -> None:
        """Do not account for any secret any more."""
        if self._kept:
            self._sharing.keep(id(self), 0)

    async def _parsed(self, response: Response, parse: Callable[[], T]) -> T:
        if len(response.content) <= _SHORT_BYTES:
            return parse()
        return await self._sharing.run_large(parse)

    async def _read(self, request: _SecretsRequest) -> Response:
        """By the route that worked last, else by the other one: a proxy's 404 must not decide permanently."""
        try:
            return await self._read_by(self._route, request)
        except UnknownRouteError:
            other = _V3 if self._route is _V4 else _V4
        response = await self._read_by(other, request)
        self._route = other
        return response

    async def _read_by(self, route: _Route, request: _SecretsRequest) -> Response:
        parameters = {route.project: self.project_id, **request.query}
        query = urlencode(parameters, errors="surrogatepass")
        return await self._client.send(
            "GET",
            f"{route.path}{request.below}?{query}",
            headers=request.headers,
            max_bytes=request.max_bytes,
            admit=request.admit,
        )

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


class _Secret(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """The part of a listed secret that counts; the rest is skipped without taking memory."""

    secret_key: str
    id: str | int
    version: int | str
    type: str | None = "shared"
    secret_path: str | None = None
    secret_value: str | bool | int | float | None = None
    secret_value_hidden: bool | None = None

    @property
    def is_shared(self) -> bool:
        """Whether it is no personal override."""
        return self.type == "shared"


class _Import(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    environment: str
    secret_path: str
    secrets: list[_Secret]


class _SecretList(msgspec.Struct, gc=False, frozen=True):
    """The body of a list; all server versions have this structure."""

    secrets: list[_Secret]
    imports: list[_Import] | None = None


_DECODER = msgspec.json.Decoder(_SecretList)


def _parsed_list(scope: Scope, response: Response, key: DigestKey | None = None) -> PartitionStates:
    """The partition states in the body of a list response.

    Raises:
        InfisicalError: the body is malformed, or has too much in it.
    """
    return _partition_states(_listed_by_partition(scope, _decoded_list(response)), key)


def _parsed_values(scope: Scope, response: Response, key: DigestKey | None = None) -> FolderValues:
    """The states and values in the body of a list response; always with the folder's own partition.

    Raises:
        InfisicalError: PERMISSION_DENIED, a value is hidden; or as in `_parsed_list`.
    """
    listed = _listed_by_partition(scope, _decoded_list(response))
    partitions = {Partition(scope): ABSENT, **_partition_states(listed, key)}
    values = {partition: _values(partition, found.secrets) for partition, found in listed.items()}
    return FolderValues(partitions, {Partition(scope): {}, **values})


def _decoded_list(response: Response) -> _SecretList:
    content = response.content
    if content.count(b"{") > _MAX_OBJECTS or _has_long_text(content):
        raise _too_large()
    try:
        return _DECODER.decode(content)
    except (msgspec.ValidationError, OverflowError):
        if len(content) <= MAX_BODY_BYTES:
            decoded(response)  # of what is no JSON at all, the start may have been
        raise _unknown_shape() from None
    except (ValueError, RecursionError):  # of which msgspec.DecodeError is one
        raise not_json(response) from None


def _has_long_text(content: bytes | bytearray) -> bool:
    """Whether half a large body or more may be one text: such a text can take four times its bytes."""
    step = LARGE_BYTES // 2
    return any(content.find(b'"', begin, begin + step) < 0 for begin in range(0, len(content) - step, step))


def _unknown_shape() -> InfisicalError:
    return InfisicalError(
        Reason.UNEXPECTED_RESPONSE, "The list of secrets has an unexpected structure: check spec.address."
    )


def _too_large() -> InfisicalError:
    return InfisicalError(
        Reason.RESPONSE_TOO_LARGE,
        f"The list has more than {counted(_MAX_SECRETS, 'secret')} or {counted(_MAX_FOLDERS, 'folder')}, or "
        "a very long text: watch fewer folders, or check that spec.address is an Infisical server.",
    )


@dataclass(frozen=True, slots=True)
class _ListedSecrets:
    """The listed secrets of one partition."""

    rank: int
    secrets: list[_Secret] = field(default_factory=list, repr=False)


def _partition_states(
    listed: Mapping[Partition, _ListedSecrets], key: DigestKey | None
) -> dict[Partition, PartitionState]:
    return {
        partition: PartitionState.of(
            {_name(secret.secret_key): _secret_version(secret, key) for secret in found.secrets}, found.rank
        )
        for partition, found in listed.items()
    }


def _listed_by_partition(scope: Scope, body: _SecretList) -> dict[Partition, _ListedSecrets]:
    imports = body.imports or []
    if len(body.secrets) + sum(len(entry.secrets) for entry in imports) > _MAX_SECRETS:
        raise _too_large()
    found: dict[Partition, _ListedSecrets] = {}
    for secret in body.secrets:
        if secret.is_shared:
            path = _path(secret.secret_path or "/") if scope.recursive else scope.folder.path
            partition = Partition.own(Folder(scope.folder.environment, path))
            found.setdefault(partition, _ListedSecrets(0)).secrets.append(secret)
    for rank, entry in enumerate(imports):
        source = Folder(_name(entry.environment), _path(entry.secret_path))
        if secrets := [secret for secret in entry.secrets if secret.is_shared]:
            found[Partition(scope, source)] = _ListedSecrets(rank, secrets)
    if len(found) > _MAX_FOLDERS:
        raise _too_large()
    return found


def _values(partition: Partition, secrets: Iterable[_Secret]) -> dict[str, str]:
    """The values of one partition.

    Raises:
        InfisicalError: a value is hidden or is not text.
    """
    values = {}
    for secret in secrets:
        name, value = secret.secret_key, secret.secret_value
        if secret.secret_value_hidden or value == _HIDDEN:
            raise InfisicalError(
                Reason.PERMISSION_DENIED,
                f"Infisical hides the value of {name[:_MAX_QUOTED_LENGTH]!a} in "
                f"{partition.source or partition.folder}.",
            )
        if not isinstance(value, str):
            raise _unknown_shape()
        values[name] = value
    return values


def _secret_version(secret: _Secret, key: DigestKey | None) -> SecretVersion:
    identifier = str(secret.id)
    if len(identifier) > _MAX_ID_LENGTH:
        raise _unknown_shape()
    try:
        version = int(secret.version)
    except ValueError:
        raise _unknown_shape() from None
    return SecretVersion(short_id(identifier), version, _digest(secret, identifier, key))


def _digest(secret: _Secret, identifier: str, key: DigestKey | None) -> str:
    """The keyed digest of a value; empty without a key or for a hidden value."""
    value = secret.secret_value
    is_shown = isinstance(value, str) and not secret.secret_value_hidden
    return key.digest(identifier, str(value)) if key and is_shown else ""


def _path(text: str) -> str:
    return canonical(_name(text))


def _name(text: str) -> str:
    if len(text) > _MAX_PATH_LENGTH:
        raise _too_large()
    return text
