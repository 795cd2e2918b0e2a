"""One attack: what its Infisical says, what its tenant creates, and what the tenant does meanwhile."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import httpx

from hostile.hostile_server import Server
from hostile.replies import server
from support.manifests import Manifest, credentials, subscription, workload

SUBSCRIPTIONS = "/apis/events.infisical.com/v1alpha1/namespaces/{}/infisicaleventsubscriptions"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"


@dataclass(frozen=True, slots=True)
class Tenant:
    """The hostile tenant: its namespace, its Infisical and its credentials there, which are canaries."""

    namespace: str
    port: int
    client_secret: str
    client_id: str = "client"
    project_id: str = "project"

    @property
    def url(self) -> str:
        """The address of its Infisical."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a tenant acts on: the API server, and the operator's address `host, port`."""

    tenant: Tenant
    api: httpx.AsyncClient
    operator: tuple[str, int]

    @property
    def subscriptions(self) -> str:
        """The path of the tenant's subscriptions."""
        return SUBSCRIPTIONS.format(self.tenant.namespace)

    @property
    def deployments(self) -> str:
        """The path of the tenant's Deployments."""
        return DEPLOYMENTS.format(self.tenant.namespace)

    async def merge(self, path: str, patch: Manifest) -> None:
        """Apply a merge patch; a refusal is no concern of an attacker."""
        await self.api.patch(path, json=patch, headers={"Content-Type": "application/merge-patch+json"})

    async def create(self, path: str, body: Manifest) -> None:
        """Create an object; as `merge`."""
        await self.api.post(path, json=body)

    async def delete(self, path: str) -> None:
        """Delete an object; as `merge`."""
        await self.api.delete(path)


Objects = Callable[[Tenant], Iterable[Manifest]]
Act = Callable[[Stage], Awaitable[None]]


def one(tenant: Tenant, **spec: object) -> list[Manifest]:
    """The usual objects: credentials, a Deployment that opted in, and one subscription."""
    return [credentials(tenant), workload(), subscription(tenant, "hostile", **spec)]


def many(number: int, **spec: object) -> Objects:
    """The usual objects with so many subscriptions."""

    def objects(tenant: Tenant) -> list[Manifest]:
        named = (subscription(tenant, f"hostile-{each:03}", **spec) for each in range(number))
        return [credentials(tenant), workload(), *named]

    return objects


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack; `acts` runs until the end, and `seconds` is how long it is kept up."""

    name: str
    server: Server = field(default_factory=server)
    objects: Objects = one
    acts: Act | None = None
    seconds: float = 8.0

    def __str__(self) -> str:
        """The name of the case in a test report."""
        return self.name
