"""The Secrets and ConfigMaps that fake controllers write, as whole objects."""

from dataclasses import dataclass

from support.fake_controllers import objects
from support.fake_controllers.api_client import Api
from support.fake_controllers.objects import Texts
from support.fake_controllers.resources import CONFIG_MAP, SECRET, Object, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The desired state of a target; `owner` becomes its controller when it is created."""

    name: str
    namespace: str
    data: Texts
    labels: Texts
    annotations: Texts
    manager: str
    resource: Resource = SECRET
    type: str = ""
    owner: Object | None = None

    @property
    def path(self) -> str:
        """The path of the target."""
        return self.resource.path(self.namespace, self.name)

    @property
    def stored(self) -> dict[str, str]:
        """Its data as the object has it."""
        return dict(self.data) if self.resource is CONFIG_MAP else objects.encoded(self.data)


async def write(api: Api, target: Target, existing: Object | None) -> None:
    """Create it or replace the version that was read; write nothing if nothing changes."""
    if existing is None:
        await api.create(target.resource.path(target.namespace), _created(target), target.manager)
        return
    metadata = existing["metadata"] | {"labels": target.labels, "annotations": target.annotations}
    body = existing | {"metadata": metadata, "data": target.stored}
    await api.replace(target.path, body, target.manager)


def _created(target: Target) -> Object:
    owners = [objects.owner_reference(target.owner)] if target.owner else []
    type_of_secret = {"type": target.type} if target.type and target.resource is SECRET else {}
    return {
        "apiVersion": target.resource.api_version,
        "kind": target.resource.kind,
        "metadata": {
            "name": target.name,
            "namespace": target.namespace,
            "labels": dict(target.labels),
            "annotations": dict(target.annotations),
            "ownerReferences": owners,
        },
        "data": target.stored,
        **type_of_secret,
    }
