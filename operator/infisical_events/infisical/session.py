"""Everything one subscription needs of Infisical, over one client and one identity."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from infisical_events.api.specs import Grade, Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.paths.folders import Folder
from infisical_events.core.paths.scopes import Scope, scopes_of
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, Snapshot
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.event_stream import StreamItem, open_stream, register_of
from infisical_events.infisical.http_client import new_client
from infisical_events.infisical.infisical_errors import InfisicalError, UnknownRouteError
from infisical_events.infisical.login_guard import LoginGuard
from infisical_events.infisical.responses import decoded
from infisical_events.infisical.secret_lists import SecretLists
from infisical_events.infisical.tokens import TokenProvider

_TO_OBSERVE = "observe: Values needs Read Value for the watched folders and all that they refer to."
_TO_WRITE = "resync.secrets needs Read Value for their folders and all that they import or refer to."

_DOUBTS = {Reason.PROJECT_NOT_FOUND, Reason.PERMISSION_DENIED}


@dataclass(frozen=True, slots=True)
class SessionDependencies:
    """What all sessions share: what is known of logins, the key of values' digests, where they may lead."""

    login_guard: LoginGuard
    digest_key: DigestKeySource
    egress: EgressPolicy


class Session:
    """A project of one Infisical, seen with the rights of one machine identity."""

    def __init__(
        self, client: AuthorizedClient, spec: Spec, now: Callable[[], datetime], digest_key: DigestKeySource
    ) -> None:
        self._client = client
        self._spec = spec
        self._now = now
        self._digest_key = digest_key
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
        """A session whose connections are closed with the context."""
        async with new_client(address, shared.egress) as http:
            tokens = TokenProvider(http, credentials, shared.login_guard)
            yield cls(AuthorizedClient(http, tokens), spec, now, shared.digest_key)

    async def login(self) -> None:
        """Make sure that there is a token.

        Raises:
            LoginError: the credentials cannot be read or were refused.
        """
        await self._client.tokens.current()

    async def project_id(self) -> str:
        """The project's id; a slug is looked up once, and again when the project proves to be another.

        Raises:
            InfisicalError: no such project, or no right to see it.
        """
        if self._project_id is None:
            self._project_id = await self._look_up(str(self._spec.project_slug))
        return self._project_id

    async def read_snapshot(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """Look at all the scopes, one after the other; at values, too, if the spec says so.

        Raises:
            InfisicalError: some scope cannot be read; nothing is told of the others then.
        """
        key = await self._digest_key() if self._spec.observe is Grade.VALUES else None
        started = self._now()
        partitions: dict[Partition, PartitionState] = {}
        with self._forgetting_project(), _advising(_TO_OBSERVE if key else ""):
            lists = await self._opened_lists()
            for scope in scopes:
                partitions.update(await lists.read(scope, key))
        return Snapshot(scopes, partitions, started, self._now(), key_id=key.id if key else "")

    async def read_values(self, folder: Folder) -> FolderValues:
        """Read one folder and its imports with their values, with digests of them whatever the grade is.

        So a value that changed by reference is another one, also where versions are all that is observed.

        Raises:
            InfisicalError: FOLDER_NOT_FOUND; PERMISSION_DENIED when a value is not shown; or any other.
        """
        key = await self._digest_key()
        with self._forgetting_project(), _advising(_TO_WRITE):
            lists = await self._opened_lists()
            return await lists.read_values(folder, key)

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Whether a secret that a list does not show is not there, rather than hidden.

        Raises:
            InfisicalError: it cannot be told; PERMISSION_DENIED when it may not be described.
        """
        with self._forgetting_project():
            lists = await self._opened_lists()
            return await lists.is_gone(folder, key)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[StreamItem]]:
        """An open stream of the spec's events; see `streaming.subscribed`."""
        register = register_of(self._spec)
        async with AsyncExitStack() as stack:
            with self._forgetting_project():
                subscribing = open_stream(self._client, await self.project_id(), register)
                items = await stack.enter_async_context(subscribing)
            yield items

    @contextmanager
    def _forgetting_project(self) -> Iterator[None]:
        """Forget what a slug led to when that is not found or closed: another may have its name now."""
        try:
            yield
        except InfisicalError as error:
            if error.reason in _DOUBTS and self._spec.project_id is None:
                self._project_id = None
            raise

    async def _opened_lists(self) -> SecretLists:
        project_id = await self.project_id()
        if self._lists is None or self._lists.project_id != project_id:
            self._lists = SecretLists(self._client, project_id, scopes_of(self._spec))
        return self._lists

    async def _look_up(self, slug: str) -> str:
        try:
            response = await self._client.send("GET", f"/api/v1/projects/slug/{slug}")
        except UnknownRouteError:
            response = await self._client.send("GET", f"/api/v2/workspace/{slug}")
        answer = decoded(response)
        identifier = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(identifier, str):
            raise InfisicalError(
                Reason.PROJECT_NOT_FOUND, "The project's answer has no id: set spec.projectId instead."
            )
        return identifier


@contextmanager
def _advising(advice: str) -> Iterator[None]:
    """Reading values takes another right than describing secrets, and so does all that they refer to."""
    try:
        yield
    except InfisicalError as error:
        if not advice or error.reason is not Reason.PERMISSION_DENIED:
            raise
        raise InfisicalError(error.reason, f"{error} {advice}", error.retry_after, error.quote) from None
