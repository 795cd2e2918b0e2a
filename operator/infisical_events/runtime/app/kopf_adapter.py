"""The adapter to kopf: it watches the custom resource and notifies the supervisor; nothing else.

Only `on.event` is used: no finalizers, no annotations, no daemons, so that the objects stay free of
traces of the operator. A handler never waits.
"""

import asyncio
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import kopf
from kopf._cogs.clients.errors import APIError  # noqa: TID251 - kopf has no public name for them
from kopf._cogs.clients.watching import WatchingError  # noqa: TID251 - as above

from infisical_events.api.resources import GROUP, PLURAL, VERSION
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.http.api_requests import METADATA, METADATA_LIST
from infisical_events.kube.kubeconfig import ClusterAccess, Connection, load_connection
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.sharding.supervisor import Supervisor

_LOGIN_PAUSE = 10.0
"""Seconds between two attempts to load a usable configuration."""

_PAGE = 50
"""Objects in a page of a list: the annotations of each may have 256 KiB."""

WATCH_ERRORS = (APIError, WatchingError, kopf.LoginError, aiohttp.ClientError)
"""Errors that end kopf without a defect: the CRD was deleted, a list expired, a request was rejected."""


class _Forever:
    """Pauses between tries without an end, in seconds: an API server may be unavailable for any time."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 5.0, 10.0), itertools.repeat(30.0))


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stores no copy of an object: the operator does not compare it with its past."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ANN401, ARG002 - kopf's signature
        return {}

    def fetch(self, *, body: Any) -> None:  # noqa: ANN401, ARG002 - kopf's signature
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:  # noqa: ANN401 - kopf's signature
        pass


class _NoProgress(kopf.ProgressStorage):
    """Stores no progress: handlers finish at once."""

    def fetch(self, *, key: Any, body: Any) -> None:  # noqa: ANN401, ARG002 - kopf's signature
        return None

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:  # noqa: ANN401 - kopf's signature
        pass

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:  # noqa: ANN401 - kopf's signature
        pass

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:  # noqa: ANN401 - kopf's signature
        pass

    def clear(self, *, essence: Any) -> Any:  # noqa: ANN401 - kopf's signature
        return essence


def quiet_kopf() -> None:
    """Silence what is no defect: errors that kopf raises as well, and the generators that it leaves open.

    The loggers are those with which kopf logs, with stack traces, what it raises. Called in the event loop.
    """
    for module in ("orchestration", "running"):
        logging.getLogger(f"kopf._core.reactor.{module}").setLevel(logging.CRITICAL)
    asyncio.get_running_loop().set_exception_handler(_without_open_generators)


def _without_open_generators(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle an error of the loop, but for those of asynchronous generators that it closes at its end.

    kopf leaves its watches to the loop, which closes a generator and those that it awaits at the same time.
    """
    if "asyncgen" not in context:
        loop.default_exception_handler(context)


def kopf_settings() -> kopf.OperatorSettings:
    """Settings with all unused parts off: no peering, no scanning, no posting, no state on objects."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    # It would kill the process ten minutes after kopf has ended, although kopf may run again by then.
    settings.process.ultimate_exiting_timeout = None
    settings.queueing.idle_timeout = 0.05
    settings.watching.chunk_size = _PAGE
    settings.watching.reconnect_backoff = 1.0
    settings.networking.error_backoffs = _Forever()
    settings.networking.request_timeout = 30.0
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    return settings


def _session(connection: Connection) -> kopf.AiohttpSession:
    """Kopf's own session, but it asks for the metadata of subscriptions alone.

    A subscription may have 1.5 MiB, and nothing but its identity, generation and annotations is used here.
    """
    info = kopf.ConnectionInfo(
        server=connection.server,
        ca_path=connection.ca_path,
        certificate_path=connection.certificate_path,
        private_key_path=connection.private_key_path,
        insecure=connection.is_insecure,
        scheme=connection.scheme,
        token=connection.token,
        proxy_url=connection.proxy,
        trust_env=connection.trusts_environment,
    )
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=connection.trusts_environment,
        middlewares=(_metadata_only,),
    )
    return kopf.AiohttpSession(server=connection.server, aiohttp_session=session)


async def _metadata_only(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    if request.url.path.endswith(f"/{PLURAL}"):
        request.headers["Accept"] = METADATA if "watch" in request.url.query else METADATA_LIST
    return await handler(request)


def registry_for(supervisor: Supervisor, access: ClusterAccess) -> kopf.OperatorRegistry:
    """A registry with the handlers that notify the supervisor."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's keywords
        try:
            connection = await load_connection(access)
        except KubernetesError as error:
            raise kopf.TemporaryError(str(error), delay=_LOGIN_PAUSE) from None
        return _session(connection)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def on_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002, ANN401 - kopf's keywords
        metadata = body["metadata"]
        if type == "DELETED":
            supervisor.remove(metadata["uid"])
            return
        key = SubscriptionKey(metadata["namespace"], metadata["name"], metadata["uid"])
        supervisor.upsert(key, metadata["generation"], UserRequests.of(metadata.get("annotations") or {}))

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:  # noqa: ANN401 - kopf's keywords
        await supervisor.close()

    return registry
