"""Infisical's operator, first API: InfisicalSecret (secrets.infisical.com/v1alpha1).

It reacts to changes of the generation only. It writes no time and no observed generation, so a sync without
new data changes nothing. It keeps the ETag of the data until the generation changes; with the same ETag it
does not read the Secrets, so a deleted Secret stays deleted.
"""

from support.fake_controllers import objects, targets
from support.fake_controllers.api_client import Api
from support.fake_controllers.infisical import MANAGER, InfisicalController
from support.fake_controllers.options import PROMPT, Fetch, FetchError, Options, Outcome
from support.fake_controllers.resources import INFISICAL_SECRET, SECRET, Object
from support.fake_controllers.targets import Target

_PREFIX = "secrets.infisical.com"
READY = f"{_PREFIX}/ReadyToSyncSecrets"
TOKEN = f"{_PREFIX}/LoadedInfisicalToken"
REDEPLOY = f"{_PREFIX}/AutoRedeployReady"


class InfisicalSecrets(InfisicalController):
    """The fake controller of the InfisicalSecrets of one namespace."""

    resource = INFISICAL_SECRET

    def __init__(self, api: Api, namespace: str, fetch: Fetch, options: Options = PROMPT) -> None:
        super().__init__(api, namespace, fetch, options)
        self._remembered: dict[str, tuple[int, str]] = {}

    def is_trigger(self, before: Object | None, now: Object) -> bool:
        """A new object or a new generation; labels and annotations do not trigger."""
        return before is None or before["metadata"]["generation"] != now["metadata"]["generation"]

    async def reconcile(self, thing: Object, *, by_itself: bool) -> Outcome:  # noqa: ARG002 - no matter to it
        """Fetch, write new data, write the status."""
        try:
            data = await self.fetched()
        except FetchError as error:
            await self.tell(thing, _failure(error))
            return Outcome.FAILED
        await self._write(thing, data)
        await self.tell(thing, _success(len(data)))
        return Outcome.SYNCED

    async def _write(self, thing: Object, data: dict[str, str]) -> None:
        uid, fetched = thing["metadata"]["uid"], (thing["metadata"]["generation"], objects.etag(data))
        if self._remembered.get(uid) == fetched:
            return
        for reference in _references(thing):
            await self._write_one(thing, reference, data)
        self._remembered[uid] = fetched

    async def _write_one(self, thing: Object, reference: Object, data: dict[str, str]) -> None:
        namespace, name = reference["secretNamespace"], reference["secretName"]
        existing = await self.api.find(SECRET.path(namespace, name))
        labels, annotations = objects.inherited(thing, existing)
        target = Target(
            name=name,
            namespace=namespace,
            data=data,
            labels=labels,
            annotations=annotations | {objects.VERSION: objects.etag(data)},
            manager=MANAGER,
            type=reference.get("secretType", ""),
            owner=thing if reference.get("creationPolicy") == "Owner" else None,
        )
        await targets.write(self.api, target, existing)


def _references(thing: Object) -> list[Object]:
    single = thing["spec"].get("managedSecretReference")
    return [*thing["spec"].get("managedKubeSecretReferences", ()), *([single] if single else ())]


def _success(count: int) -> tuple[Object, ...]:
    synced = f"Infisical controller has started syncing your secrets. Last reconcile synced {count} secrets"
    loaded = "Infisical controller has loaded the Infisical token in provided Kubernetes secret"
    found = "Infisical has found 0 deployments which are ready to be auto redeployed when secrets change"
    return (
        {"type": TOKEN, "status": "True", "reason": "OK", "message": loaded},
        {"type": READY, "status": "True", "reason": "OK", "message": synced},
        {"type": REDEPLOY, "status": "True", "reason": "OK", "message": found},
    )


def _failure(error: FetchError) -> tuple[Object, ...]:
    why = f"failed to fetch secrets from API for managed secrets [err={error}]"
    failed = (
        f"Failed to sync secrets. This can be caused by invalid access token or an invalid API host. {why}"
    )
    stopped = f"Auto redeployment has been stopped because the operator failed to sync secrets. {why}"
    return (
        {"type": READY, "status": "False", "reason": "Error", "message": failed},
        {"type": REDEPLOY, "status": "False", "reason": "Stopped", "message": stopped},
    )
