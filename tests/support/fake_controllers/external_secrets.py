"""External Secrets: ExternalSecret (external-secrets.io/v1).

Each change of an object or of its Secret makes it check whether a refresh is due: if generation, labels or
annotations differ from `syncedResourceVersion`, or if others have edited the Secret. A failure changes
neither `refreshTime` nor `syncedResourceVersion`. Two traps: CreatedOnce and an interval of 0 ignore
triggers; labels and annotations are copied to the Secret unless there is a template.
"""

import re

from support.fake_controllers import objects, targets
from support.fake_controllers.api_client import Api
from support.fake_controllers.controller import Controller
from support.fake_controllers.mirror import Mirror
from support.fake_controllers.options import PROMPT, Fetch, FetchError, Options, Outcome
from support.fake_controllers.resources import EXTERNAL_SECRET, SECRET, Object
from support.fake_controllers.targets import Target

READY = "Ready"
SYNCED, ERROR = "SecretSynced", "SecretSyncedError"

_PREFIX = "reconcile.external-secrets.io"
_MANAGED = f"{_PREFIX}/managed"
_CREATED_BY = f"{_PREFIX}/created-by"


class ExternalSecrets(Controller):
    """The fake controller of the ExternalSecrets of one namespace."""

    resource = EXTERNAL_SECRET

    def __init__(self, api: Api, namespace: str, fetch: Fetch, options: Options = PROMPT) -> None:
        super().__init__(api, namespace, options)
        self._fetch = fetch
        self._mirrors.append(Mirror(api, SECRET.path(namespace), self._heard_of_secret))

    def is_trigger(self, before: Object | None, now: Object) -> bool:
        """Any change that may make a refresh due; the real one also reacts to its own status."""
        return before is None or resource_version(before) != resource_version(now)

    async def reconcile(self, thing: Object, *, by_itself: bool) -> Outcome:
        """Fetch if it is due, write the Secret, write the status."""
        name = target_of(thing)
        existing = await self.api.find(SECRET.path(self.namespace, name))
        if not by_itself and not is_due(thing) and _is_valid(existing):
            return Outcome.NOT_DUE
        began = objects.timestamp(self.options.skew)
        try:
            self.fail_if_due()
            data = await self._fetch()
        except FetchError:
            await self._tell(thing, _ready("False", ERROR, "could not get secret data from provider"))
            return Outcome.FAILED
        await targets.write(self.api, _target(thing, data, existing), existing)
        synced = {
            "refreshTime": began,
            "syncedResourceVersion": resource_version(thing),
            "binding": {"name": name},
        }
        await self._tell(thing, _ready("True", SYNCED, "secret synced"), synced)
        return Outcome.SYNCED

    def _heard_of_secret(self, before: Object | None, now: Object | None) -> None:
        names = {thing["metadata"]["name"] for thing in (before, now) if thing}
        for name, thing in self._mirrors[0].things.items():
            if target_of(thing) in names:
                self.call(name)

    async def _tell(self, thing: Object, ready: Object, status: Object | None = None) -> None:
        """Merge into the status without a version: a newer request is not synced yet."""
        workload_state = thing.get("status", {}).get("conditions", ())
        conditions = objects.with_conditions(workload_state, objects.timestamp(self.options.skew), [ready])
        path = f"{self.resource.path(self.namespace, thing['metadata']['name'])}/status"
        body = {"status": {"conditions": conditions, **(status or {})}}
        await self.api.patch(path, body, "external-secrets")


def target_of(thing: Object) -> str:
    """Return the name of its Secret: its own name by default."""
    name: str = thing["spec"].get("target", {}).get("name") or thing["metadata"]["name"]
    return name


def resource_version(thing: Object) -> str:
    """Return the `syncedResourceVersion` of a sync."""
    asked = {"annotations": objects.annotations_of(thing), "labels": objects.labels_of(thing)}
    return f"{thing['metadata']['generation']}-{objects.digest(asked)}"


def is_due(thing: Object) -> bool:
    """Whether it reacts to triggers; its own interval is left to `Options.interval`."""
    status, spec = thing.get("status", {}), thing["spec"]
    has_synced = bool(status.get("syncedResourceVersion")) and bool(status.get("refreshTime"))
    if has_synced and spec.get("refreshPolicy") == "CreatedOnce":
        return False
    is_periodic = spec.get("refreshPolicy", "Periodic") == "Periodic"
    if has_synced and is_periodic and not re.search("[1-9]", spec["refreshInterval"]):
        return False
    return not has_synced or bool(status["syncedResourceVersion"] != resource_version(thing))


def _is_valid(secret: Object | None) -> bool:
    """Whether a Secret is as the controller wrote it."""
    if secret is None or _MANAGED not in objects.labels_of(secret):
        return False
    return objects.annotations_of(secret).get(objects.DATA_HASH) == objects.digest(secret.get("data") or {})


def _target(thing: Object, data: dict[str, str], existing: Object | None) -> Target:
    namespace, name = thing["metadata"]["namespace"], thing["metadata"]["name"]
    manager = f"externalsecrets.external-secrets.io/{name}"
    wanted = thing["spec"]["target"]
    labels, annotations = _metadata(thing, existing, manager)
    ours = {_MANAGED: "true", _CREATED_BY: objects.digest(f"{namespace}/{name}")}
    return Target(
        name=target_of(thing),
        namespace=namespace,
        data=data,
        labels=labels | ours,
        annotations=annotations | {objects.DATA_HASH: objects.digest(objects.encoded(data))},
        manager=manager,
        owner=thing if wanted["creationPolicy"] == "Owner" else None,
    )


def _metadata(thing: Object, existing: Object | None, manager: str) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of the Secret: those of others, and those of the template or the object."""
    template = thing["spec"]["target"].get("template")
    source = {"metadata": template.get("metadata", {})} if template else thing
    labels, annotations = objects.labels_of(source), objects.annotations_of(source)
    if existing is None:
        return labels, annotations
    return (
        _of_others(objects.labels_of(existing), existing, manager, "f:labels") | labels,
        _of_others(objects.annotations_of(existing), existing, manager, "f:annotations") | annotations,
    )


def _of_others(values: dict[str, str], secret: Object, manager: str, where: str) -> dict[str, str]:
    """Return the keys that the field manager has not written."""
    ours = {
        key.removeprefix("f:")
        for entry in secret["metadata"].get("managedFields", ())
        if entry["manager"] == manager
        for key in entry["fieldsV1"].get("f:metadata", {}).get(where, {})
    }
    return {key: value for key, value in values.items() if key not in ours}


def _ready(status: str, reason: str, message: str) -> Object:
    return {"type": READY, "status": status, "reason": reason, "message": message}
