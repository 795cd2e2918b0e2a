"""Pure functions of the fake controllers: hashes, conditions, metadata."""

import base64
import hashlib
import json
import time
import zlib
from collections.abc import Iterable, Mapping

from support.fake_controllers.resources import Object

VERSION = "secrets.infisical.com/version"
DATA_HASH = "reconcile.external-secrets.io/data-hash"

_MANAGED_LABELS = "secrets.infisical.com/managed-labels"
_MANAGED_ANNOTATIONS = "secrets.infisical.com/managed-annotations"
SYSTEM = ("kubectl.kubernetes.io/", "kubernetes.io/", "k8s.io/", "helm.sh/")

Texts = Mapping[str, str]


def timestamp(skew: float = 0.0) -> str:
    """Return the present time in RFC 3339 and whole seconds, by a clock that is some seconds ahead."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + skew))


def encoded(data: Texts) -> dict[str, str]:
    """Return data in base64, as a Secret has it."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def etag(data: Texts) -> str:
    """Return a version as Infisical's operator writes it: length and CRC of all rendered data."""
    rendered = "".join(f"{key}\0{value}\0" for key, value in sorted(data.items())).encode()
    return f'W/"secrets-{len(rendered)}-{zlib.crc32(rendered):08X}"'


def digest(value: object) -> str:
    """Return a hash as External Secrets writes it: SHA3-224 in hexadecimal."""
    return hashlib.sha3_224(json.dumps(value, sort_keys=True).encode()).hexdigest()


def labels_of(thing: Object) -> dict[str, str]:
    """Return the labels of an object."""
    return dict(thing["metadata"].get("labels") or {})


def annotations_of(thing: Object) -> dict[str, str]:
    """Return the annotations of an object."""
    return dict(thing["metadata"].get("annotations") or {})


def condition_of(thing: Object, kind: str) -> Object:
    """Return one condition of an object; empty if it is absent."""
    conditions = thing.get("status", {}).get("conditions", ())
    return next((found for found in conditions if found["type"] == kind), {})


def with_conditions(conditions: Iterable[Object], now: str, changed: Iterable[Object]) -> list[Object]:
    """Set conditions; the transition time changes only with the status."""
    merged = {condition["type"]: condition for condition in conditions}
    for new in changed:
        old = merged.get(new["type"], {})
        since = old["lastTransitionTime"] if old.get("status") == new["status"] else now
        merged[new["type"]] = {**new, "lastTransitionTime": since}
    return list(merged.values())


def owner_reference(thing: Object) -> Object:
    """Return the owner reference from a target to its controller."""
    return {
        "apiVersion": thing["apiVersion"],
        "kind": thing["kind"],
        "name": thing["metadata"]["name"],
        "uid": thing["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def inherited(owner: Object, existing: Object | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return labels and annotations of a target of Infisical's operator: those of others and its owner's.

    What came from the owner is listed in annotations, so that it goes when the owner's goes.
    """
    target = existing or {"metadata": {}}
    theirs = {key: value for key, value in annotations_of(owner).items() if not key.startswith(SYSTEM)}
    before = annotations_of(target)
    labels = _without(labels_of(target), before.get(_MANAGED_LABELS, "")) | labels_of(owner)
    annotations = _without(before, before.get(_MANAGED_ANNOTATIONS, "")) | theirs
    annotations[_MANAGED_LABELS] = ",".join(sorted(labels_of(owner)))
    annotations[_MANAGED_ANNOTATIONS] = ",".join(sorted(theirs))
    return labels, annotations


def _without(values: Texts, listed: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if key not in listed.split(",")}
