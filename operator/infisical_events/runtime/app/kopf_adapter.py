"""An adapter of kopf: it watches the custom resource and hands over; nothing else.

Only `on.event` is used: no finalizers, no annotations, no daemons, so nothing hangs on the objects
when the operator is gone. A handler never waits.
"""

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
from infisical_events.kube.kubeconfig import ClusterAccess, load_connection
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.sharding.supervisor import Supervisor

_LOGIN_PAUSE = 10.0
"""Seconds between looks for a usable configuration."""

WATCH_ERRORS = (APIError, WatchingError, kopf.LoginError, aiohttp.ClientError)
"""What ends kopf although nothing is wrong with it: the resource is gone, a list went stale, a refusal."""


class _Forever:
    """Pauses between tries that never run out, or an API server away for a minute ends the operator."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 5.0, 10.0), itertools.repeat(30.0))


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing is compared with the past, so nothing is copied and kept."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ANN401, ARG002 - kopf's signature
        return {}

    def fetch(self, *, body: Any) -> None:  # noqa: ANN401, ARG002 - kopf's signature
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:  # noqa: ANN401 - kopf's signature
        pass


class _NoProgress(kopf.ProgressStorage):
    """Handlers finish at once, so there is no progress to keep."""

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
    """Leave it to the caller to tell how kopf ended: it raises all that it writes down here with traces."""
    for module in ("orchestration", "running"):
        logging.getLogger(f"kopf._core.reactor.{module}").setLevel(logging.CRITICAL)


def kopf_settings() -> kopf.OperatorSettings:
    """Settings without what is not used: no peering, no scanning, no posting, no bookkeeping on objects."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    # It would kill the process ten minutes after kopf has ended, though kopf may have begun again.
    settings.process.ultimate_exiting_timeout = None
    settings.queueing.idle_timeout = 0.05
    settings.watching.chunk_size = 500
    settings.watching.reconnect_backoff = 1.0
    settings.networking.error_backoffs = _Forever()
    settings.networking.request_timeout = 30.0
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    return settings


def registry_for(supervisor: Supervisor, access: ClusterAccess) -> kopf.OperatorRegistry:
    """Handlers on a registry of their own, closed over what they hand over to."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:  # noqa: ANN401 - kopf's keywords
        try:
            connection = await load_connection(access)
        except KubernetesError as error:
            raise kopf.TemporaryError(str(error), delay=_LOGIN_PAUSE) from None
        return kopf.ConnectionInfo(
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

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002, ANN401 - kopf's keywords
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
