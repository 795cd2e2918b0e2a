"""All requests of one subscription to Infisical, with one client and one machine identity."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from urllib.parse import urlencode

from infisical_events.api.specs import Grade, Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.paths.scopes import Folder, Scope, scopes_of
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, Snapshot
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKey, DigestKeySource
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.event_stream import StreamItem, StreamLimits, open_stream, register_of
from infisical_events.infisical.http_client import MAX_SHARED_REQUESTS, NamespaceSharing, decoded, new_client
from infisical_events.infisical.infisical_errors import (
    FolderMissingError,
    InfisicalError,
    UnknownRouteError,
)
from infisical_events.infisical.secret_lists import SecretLists
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.infisical.tokens import TokenProvider

_READ_ADVICE = "observe: Values needs Read Value for the watched folders and all folders that they reference."
_WRITE_ADVICE = (
    "resync.secrets needs Read Value for its folders and all folders that they import or reference."
)

_PROJECT_ERRORS = {Reason.PROJECT_NOT_FOUND, Reason.PERMISSION_DENIED}


@dataclass(frozen=True, slots=True)
class SessionDependencies:
    """Shared by all sessions of a namespace, and most of it by all namespaces."""

    shared_logins: SharedLogins
    digest_key: DigestKeySource
    egress: EgressPolicy
    sharing: NamespaceSharing = field(default_factory=NamespaceSharing)


class Session:
    """A project of one Infisical, read with the permissions of one machine identity."""

    def __init__(
        self,
        client: AuthorizedClient,
        spec: Spec,
        now: Callable[[], datetime],
        shared: "SessionDependencies",
    ) -> None:
        self._client = client
        self._spec = spec
        self._now = now
        self._digest_key = shared.digest_key
        self._sharing = shared.sharing
        self._reads_values = spec.observe is Grade.VALUES
        self._lists: SecretLists | None = None
        self._project_id = spec.project_id

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        address: str,
        spec: Spec,
        credentials: CredentialsSource,
        now: Callable[[], datetime],
        shared: "SessionDependencies",
    ) -> AsyncIterator["Session"]:
        """A session; leaving the context closes its connections."""
        new = partial(new_client, address, shared.egress, shared.sharing)
        shared_client = shared.sharing.request_client(
            address, partial(new, most_requests=MAX_SHARED_REQUESTS)
        )
        async with shared_client as client, new() as streams:
            tokens = TokenProvider(client, credentials, shared.shared_logins)
            session = cls(AuthorizedClient(client, tokens, streams), spec, now, shared)
            try:
                yield session
            finally:
                session._forget_lists()

    async def login(self) -> None:
        """Ensure that there is an access token.

        Raises:
            LoginError: the credentials cannot be read or are rejected.
        """
        await self._client.token()

    async def project_id(self) -> str:
        """The project's id; a slug is resolved once, and again if the project is not found any more.

        Raises:
            InfisicalError: the project does not exist, or the identity has no access to it.
        """
        if self._project_id is None:
            self._project_id = await self._resolve_slug(str(self._spec.project_slug))
        return self._project_id

    async def read_snapshot(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """Read all scopes, one after the other; with digests of values in mode `Values`.

        Raises:
            InfisicalError: a scope cannot be read; the others are discarded then.
        """
        return await self._read(scopes, await self._digest_key() if self._reads_values else None)

    async def read_versions(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """Read all scopes without values, in every observation mode; raises InfisicalError."""
        return await self._read(scopes, None)

    async def _read(self, scopes: tuple[Scope, ...], key: DigestKey | None) -> Snapshot:
        started = self._now()
        partitions: dict[Partition, PartitionState] = {}
        missing: list[Scope] = []
        with self._forgetting_project(), _with_advice(_READ_ADVICE if key else ""):
            lists = await self._opened_lists()
            for scope in scopes:
                try:
                    partitions.update(await lists.read(scope, key))
                except FolderMissingError:
                    missing.append(scope)
        key_id = key.id if key else ""
        return Snapshot(scopes, partitions, started, self._now(), key_id=key_id, missing=tuple(missing))

    async def environments(self) -> frozenset[str]:
        """The slugs of the project's environments; raises InfisicalError."""
        project_id = await self.project_id()
        with self._forgetting_project():
            routes = (f"/api/v1/projects/{project_id}", f"/api/v1/workspace/{project_id}")
            return _environments_in(await self._get(*routes))

    async def subfolders(self, folder: Folder) -> frozenset[str]:
        """The names of the folders directly in this one.

        Raises:
            FolderMissingError: the folder or the environment does not exist.
            InfisicalError: the list failed.
        """
        project_id = await self.project_id()
        where = {"environment": folder.environment, "path": folder.path}
        newer, older = (
            urlencode({"projectId": project_id, **where}),
            urlencode({"workspaceId": project_id, **where}),
        )
        with self._forgetting_project():
            return _subfolders_in(await self._get(f"/api/v2/folders?{newer}", f"/api/v1/folders?{older}"))

    async def read_values(self, folder: Folder) -> FolderValues:
        """Read one folder and its imports with values, and with their digests in every observation mode.

        So a value that changes by a reference is a change, even in a mode that observes only versions.

        Raises:
            InfisicalError: FOLDER_NOT_FOUND; PERMISSION_DENIED if a value is hidden; or any other.
        """
        key = await self._digest_key()
        with self._forgetting_project(), _with_advice(_WRITE_ADVICE):
            lists = await self._opened_lists()
            return await lists.read_values(folder, key)

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Whether a secret that a list omits does not exist, rather than being hidden.

        Raises:
            InfisicalError: the read failed; PERMISSION_DENIED if the identity may not describe the secret.
        """
        with self._forgetting_project():
            lists = await self._opened_lists()
            return await lists.is_gone(folder, key)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[StreamItem]]:
        """An open stream of the spec's events; see `event_stream.open_stream`."""
        register = register_of(self._spec)
        async with AsyncExitStack() as stack:
            with self._forgetting_project():
                limits = StreamLimits(self._sharing.pace, self._sharing.event_permit)
                subscribing = open_stream(self._client, await self.project_id(), register, limits)
                items = await stack.enter_async_context(subscribing)
            yield items

    @contextmanager
    def _forgetting_project(self) -> Iterator[None]:
        """Forget the id of a slug if the project is not found or denied: another may have the slug now."""
        try:
            yield
        except InfisicalError as error:
            if error.reason in _PROJECT_ERRORS and self._spec.project_id is None:
                self._project_id = None
            raise

    def _forget_lists(self) -> None:
        if self._lists is not None:
            self._lists.forget()

    async def _opened_lists(self) -> SecretLists:
        project_id = await self.project_id()
        if self._lists is None or self._lists.project_id != project_id:
            self._forget_lists()
            self._lists = SecretLists(self._client, project_id, scopes_of(self._spec), self._sharing)
        return self._lists

    async def _resolve_slug(self, slug: str) -> str:
        body = await self._get(f"/api/v1/projects/slug/{slug}", f"/api/v2/workspace/{slug}")
        identifier = body.get("id") if isinstance(body, dict) else None
        if not isinstance(identifier, str):
            raise InfisicalError(
                Reason.PROJECT_NOT_FOUND,
                "The response for the project has no id: set spec.projectId instead.",
            )
        return identifier

    async def _get(self, path: str, older_path: str) -> object:
        """The JSON body of a route, or of its predecessor on an older server; raises InfisicalError."""
        try:
            return decoded(await self._client.send("GET", path))
        except UnknownRouteError:
            return decoded(await self._client.send("GET", older_path))


@contextmanager
def _with_advice(advice: str) -> Iterator[None]:
    """Add advice to PERMISSION_DENIED: values, and all that they reference, need another permission."""
    try:
        yield
    except InfisicalError as error:
        if not advice or error.reason is not Reason.PERMISSION_DENIED:
            raise
        raise InfisicalError(error.reason, f"{error} {advice}", error.retry_after, error.quote) from None


def _environments_in(body: object) -> frozenset[str]:
    """The slugs of the environments in the body of a project's response; raises InfisicalError."""
    project = _member(body, "project") or _member(body, "workspace")
    return _names(_member(project, "environments"), "slug")


def _subfolders_in(body: object) -> frozenset[str]:
    """The names in the body of a list of folders; raises InfisicalError."""
    return _names(_member(body, "folders"), "name")


def _member(body: object, name: str) -> object:
    return body.get(name) if isinstance(body, dict) else None


def _names(entries: object, name: str) -> frozenset[str]:
    """This member of each entry; raises InfisicalError unless each entry has it as a text."""
    try:
        names = [entry[name] for entry in entries]  # type: ignore[attr-defined] # caught
    except (KeyError, TypeError):
        names = [None]
    if all(isinstance(each, str) for each in names):
        return frozenset(names)
    raise InfisicalError(
        Reason.UNEXPECTED_RESPONSE,
        "The response for a project or its folders has an unexpected structure: check spec.address.",
    )
