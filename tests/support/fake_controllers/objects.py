"""What the foreign controllers make of objects, as pure functions: hashes, conditions, metadata."""

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
    """Now by a clock that is ahead by some seconds, in RFC 3339 and whole seconds, as metav1.Time is."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + skew))


def encoded(data: Texts) -> dict[str, str]:
    """As `data` of a Secret has it."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def etag(data: Texts) -> str:
    """A version as Infisical's operator writes it: length and CRC of all that was rendered."""
    rendered = "".join(f"{key}\0{value}\0" for key, value in sorted(data.items())).encode()
    return f'W/"secrets-{len(rendered)}-{zlib.crc32(rendered):08X}"'


def digest(value: object) -> str:
    """A hash as External Secrets writes it: SHA3-224 in hexadecimal."""
    return hashlib.sha3_224(json.dumps(value, sort_keys=True).encode()).hexdigest()


def labels_of(thing: Object) -> dict[str, str]:
    """Its labels; none is an empty map."""
    return dict(thing["metadata"].get("labels") or {})


def annotations_of(thing: Object) -> dict[str, str]:
    """Its annotations; none is an empty map."""
    return dict(thing["metadata"].get("annotations") or {})


def condition_of(thing: Object, kind: str) -> Object:
    """One of its conditions; empty while it is not there."""
    conditions = thing.get("status", {}).get("conditions", ())
    return next((found for found in conditions if found["type"] == kind), {})


def with_conditions(conditions: Iterable[Object], now: str, told: Iterable[Object]) -> list[Object]:
    """Conditions after some were set; the time of a transition moves with the status only."""
    merged = {condition["type"]: condition for condition in conditions}
    for new in told:
        old = merged.get(new["type"], {})
        since = old["lastTransitionTime"] if old.get("status") == new["status"] else now
        merged[new["type"]] = {**new, "lastTransitionTime": since}
    return list(merged.values())


def owner_reference(thing: Object) -> Object:
    """Of a controller to what it made."""
    return {
        "apiVersion": thing["apiVersion"],
        "kind": thing["kind"],
        "name": thing["metadata"]["name"],
        "uid": thing["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def inherited(owner: Object, existing: Object | None) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of a target of Infisical's operator: what others wrote, and its owner's.

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
