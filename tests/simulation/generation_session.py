"""The operator's real session over servers of several generations; only its HTTP exchanges are the model's.

So routes that are tried one after the other, the classification of errors, ETags, the shapes of lists and of
events, and rejected tokens are the product's own code here.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, cast

import httpx

from infisical_events.api.specs import Spec
from infisical_events.core.credentials import UniversalCredentials
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame, decode_frame
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, Snapshot, short_id
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical import tokens
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.error_responses import error_for
from infisical_events.infisical.event_stream import StreamItem, _subscribe_error
from infisical_events.infisical.infisical_errors import TokenRejectedError
from infisical_events.infisical.responses import Response
from infisical_events.infisical.session import Session, SessionDependencies
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.infisical.tokens import HeldToken, TokenProvider
from infisical_sandbox.server.domain import events, subscriptions
from infisical_sandbox.server.domain.generations import EventType
from simulation.infisical_model import InfisicalModel, items_of
from simulation.server_generations import OpenStream, ServerGeneration, Servers
from simulation.server_responses import login_response, response_to, stream_generation
from support.virtual_time import virtual_now

_METHOD, _CREDENTIALS = "universal-auth", UniversalCredentials("client", "secret")

_BOUNDS = frozenset({"max_bytes", "admit"})
"""Arguments of a request that bound its response: the model's responses are far shorter."""


class _PlainKey(DigestKey):
    """The digests of the model are its values: the truth is compared with what the operator stores."""

    @property
    def id(self) -> str:
        return "key"

    def digest(self, identifier: str, value: str) -> str:  # noqa: ARG002 - of DigestKey
        return value


async def _plain_key() -> DigestKey:
    return _PlainKey(b"")


class _Logins(TokenProvider):
    """Logs in at some replica."""

    def __init__(self, servers: Servers, call: Callable[[], Awaitable[None]]) -> None:
        self._servers, self._call = servers, call

    async def new_token(self, now: float) -> HeldToken:
        await self._call()
        response = login_response(self._servers)
        if not httpx.codes.is_success(response.status_code):
            raise tokens._login_error(error_for(response), _METHOD, _CREDENTIALS)
        return tokens._token_from(json.loads(response.content), now)

    def drop(self, token: HeldToken) -> None:
        """Nobody else has it: each subscription of the model has an identity of its own."""


class _Client(AuthorizedClient):
    """Sends to some replica; may fail on the way as any request."""

    def __init__(self, servers: Servers, call: Callable[[], Awaitable[None]]) -> None:
        super().__init__(cast("httpx.AsyncClient", None), _Logins(servers, call))
        self._servers, self._call = servers, call

    async def _send_once(
        self, method: str, path: str, headers: Mapping[str, str], arguments: Mapping[str, Any]
    ) -> Response:
        assert arguments.keys() <= _BOUNDS, "the model reads only what is in the URL"
        token = await self.token()
        await self._call()
        response = response_to(self._servers, method, path, headers, token)
        if response.status_code in {httpx.codes.OK, httpx.codes.NOT_MODIFIED}:
            return response
        error = error_for(response)
        if isinstance(error, TokenRejectedError):
            self.invalidate(token)
        raise error


class GenerationSession(Session):
    """Implements `runtime.ports.Infisical` over the servers."""

    def __init__(
        self,
        infisical: InfisicalModel,
        servers: Servers,
        spec: Spec,
        clock: Callable[[], datetime] = virtual_now,
    ) -> None:
        self._infisical, self._servers = infisical, servers
        client = _Client(servers, infisical.request)
        shared = SessionDependencies(SharedLogins(), _plain_key, EgressPolicy())
        super().__init__(client, spec, clock, shared)

    async def read_snapshot(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """With the ids of the model."""
        snapshot = await super().read_snapshot(scopes)
        await self._infisical.faults.crash_point("read")
        return replace(snapshot, partitions=self._with_ids(snapshot.partitions))

    async def read_versions(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """With the ids of the model."""
        snapshot = await super().read_versions(scopes)
        return replace(snapshot, partitions=self._with_ids(snapshot.partitions))

    async def read_values(self, folder: Folder) -> FolderValues:
        """With the ids of the model."""
        read = await super().read_values(folder)
        return replace(read, partitions=self._with_ids(read.partitions))

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[StreamItem]]:
        """Receive the events of one replica, in the payload of its generation."""
        try:
            generation = await self._subscribed()
        except TokenRejectedError:
            generation = await self._subscribed()
        stream = self._infisical.open_stream()
        opened = OpenStream(generation, lambda: stream.queue.put_nowait(None))
        self._servers.streams.append(opened)
        try:
            yield self._delivered(items_of(stream), generation)
        finally:
            self._servers.streams.remove(opened)
            self._infisical.close_stream(stream)

    async def _subscribed(self) -> ServerGeneration:
        token = await self._client.token()
        await self._infisical.request()
        answer = stream_generation(self._servers, token)
        if isinstance(answer, ServerGeneration):
            return answer
        error = _subscribe_error(answer)
        if isinstance(error, TokenRejectedError):
            self._client.invalidate(token)
        raise error

    async def _delivered(
        self, items: AsyncIterator[SecretEvent | UnrecognizedFrame], generation: ServerGeneration
    ) -> AsyncIterator[StreamItem]:
        entries = tuple(
            subscriptions.Entry(
                EventType(entry.event), entry.conditions.environment_slug, entry.conditions.secret_path
            )
            for entry in self._spec.events
        )
        async for item in items:
            if isinstance(item, UnrecognizedFrame):
                yield item
                continue
            event = _as_sent(item)
            if subscriptions.wants(entries, event, generation.contract) and not self._servers.loses_event():
                for frame in decode_frame(event.type, json.dumps(events.payload(event, generation.contract))):
                    yield cast("StreamItem", frame)

    def _with_ids(self, partitions: Mapping[Partition, PartitionState]) -> dict[Partition, PartitionState]:
        """The partitions with the ids of the model instead of their digests."""
        created = range(1, self._infisical.created + 1)
        ids = {_short(f"id{number}"): f"id{number}" for number in created}
        return {
            part: PartitionState.of(
                {key: replace(secret, id=ids[secret.id]) for key, secret in state.versions.items()},
                state.rank,
            )
            for part, state in partitions.items()
        }


_short = cache(short_id)


def _as_sent(event: SecretEvent) -> events.Event:
    folder = event.folder
    return events.Event(
        EventType(event.type), "project", folder.environment, folder.path, tuple(sorted(event.keys))
    )
