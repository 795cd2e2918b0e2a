"""Infisical's operator, second API: InfisicalStaticSecret (secrets.infisical.com/v1beta1).

Any label or annotation triggers it. It reports the time of its last success, in seconds of its own clock,
as the message of a condition. A trap: it copies its object's annotations to the targets, so a trigger changes
their resourceVersion without new data; their version annotation changes only with the data.
"""

from support.fake_controllers import objects, targets
from support.fake_controllers.infisical import MANAGER, InfisicalController
from support.fake_controllers.options import FetchError, Outcome
from support.fake_controllers.resources import CONFIG_MAP, SECRET, STATIC_SECRET, Object
from support.fake_controllers.targets import Target

_PREFIX = "secrets.infisical.com"
SUCCESS_AT = f"{_PREFIX}/LastSuccessfulReconcileAt"
STATUS = f"{_PREFIX}/LastReconcileStatus"
AUTH_METHOD = f"{_PREFIX}/LastReconcileAuthMethod"
AFFECTED = f"{_PREFIX}/LastReconcileAffectedDeployments"


class StaticSecrets(InfisicalController):
    """The fake controller of the InfisicalStaticSecrets of one namespace."""

    resource = STATIC_SECRET

    def is_trigger(self, before: Object | None, now: Object) -> bool:
        """A new object, or another generation, label or annotation; its own status does not trigger."""
        return before is None or _asked(before) != _asked(now)

    async def reconcile(self, thing: Object, *, by_itself: bool) -> Outcome:  # noqa: ARG002 - no matter to it
        """Fetch, write each target, write the status."""
        generation = thing["metadata"]["generation"]
        try:
            data = await self.fetched()
        except FetchError as error:
            why = f"Reconciliation failed: unable to fetch all secret sources: {error}"
            await self.tell(thing, [_condition(STATUS, generation, why, "False", "Error")])
            return Outcome.FAILED
        for wanted in thing["spec"]["targets"]:
            await self._write(thing, wanted, data)
        conditions = (
            _condition(AUTH_METHOD, generation, "universal"),
            _condition(AFFECTED, generation, "0 deployments were redeployed due to secret changes"),
            _condition(STATUS, generation, "Reconciliation successful"),
            _condition(SUCCESS_AT, generation, objects.timestamp(self.options.skew)),
        )
        await self.tell(thing, conditions)
        return Outcome.SYNCED

    async def _write(self, thing: Object, wanted: Object, data: dict[str, str]) -> None:
        resource = CONFIG_MAP if wanted["kind"] == "ConfigMap" else SECRET
        existing = await self.api.find(resource.path(wanted["namespace"], wanted["name"]))
        labels, annotations = _metadata(thing, wanted, existing)
        target = Target(
            name=wanted["name"],
            namespace=wanted["namespace"],
            data=data,
            labels=labels,
            annotations=annotations | {objects.VERSION: objects.etag(data)},
            manager=MANAGER,
            resource=resource,
            type=wanted.get("secretType", ""),
            owner=thing if wanted["creationPolicy"] == "Owner" else None,
        )
        if existing is None or not _is_taken_for(target, existing):
            await targets.write(self.api, target, existing)


class EarlyStaticSecrets(StaticSecrets):
    """The controller in its first releases, which reacts to the generation only."""

    def is_trigger(self, before: Object | None, now: Object) -> bool:
        """A new object or a new generation."""
        return before is None or before["metadata"]["generation"] != now["metadata"]["generation"]


def _asked(thing: Object) -> tuple[object, ...]:
    return thing["metadata"]["generation"], objects.labels_of(thing), objects.annotations_of(thing)


def _metadata(
    thing: Object, wanted: Object, existing: Object | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return labels and annotations of a target: those of the spec, or those of the object."""
    if "metadata" not in wanted:
        return objects.inherited(thing, existing)
    kept = {key: value for key, value in _annotations(existing).items() if key.startswith(objects.SYSTEM)}
    return dict(wanted["metadata"]["labels"]), kept | wanted["metadata"]["annotations"]


def _annotations(existing: Object | None) -> dict[str, str]:
    return objects.annotations_of(existing) if existing else {}


def _is_taken_for(target: Target, existing: Object) -> bool:
    """Whether its annotation says that it is up to date, so that data of others are kept."""
    return (
        objects.labels_of(existing) == target.labels
        and objects.annotations_of(existing) == target.annotations
    )


def _condition(kind: str, generation: int, message: str, status: str = "True", reason: str = "OK") -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }
