"""Manifests from a seed: subscriptions and Deployments with up to three random changes of a good one."""

import copy
import random
from collections.abc import Iterator
from typing import Any

from infisical_events.api import annotations, resources
from support import schemas
from support.invalid_specs import GOOD

_REF = {"name": "a", "key": "b"}
_SECRET = {"name": "a", "environmentSlug": "b", "secretKeys": ["C"], "labels": {"a": "b"}}
_ENTRY = {
    "event": "secret:update",
    "conditions": {"environmentSlug": "a", "secretPath": "/b", "secretKeys": ["C"]},
}
_METHODS = (
    {"accessTokenRef": _REF},
    {"universalAuth": {"clientIdRef": _REF, "clientSecretRef": _REF}},
    {"kubernetesAuth": {"identityId": "a", "serviceAccountName": "b", "audiences": ["c"]}},
)
_COMPLETE = GOOD | {
    "address": "https://a.example",
    "events": [_ENTRY, _ENTRY],
    "resync": {"timeoutSeconds": 3, "secrets": [_SECRET, _SECRET | {"name": "b", "template": {"k": "v"}}]},
    "rollout": {"maxConcurrent": 1},
    "observe": "Values",
}
_TEXTS = (
    *("/a/", "https://a/b?c#d", "app.kubernetes.io/managed-by", "events.infisical.com/content"),
    *("", " ", "a", "A-1", "-", "_a", "a_", "a b", "a\n", "\ta", "ä", "a\u00a0", "https://ä", "a.b", "a/b"),
    *("/", "/a*", "/**/{a,b}", "/a b", "//", "../a", "https://", "http://a", "HTTPS://a", "https://a@b"),
    *("ftp://a", "a:b", "!a", "\x7f", "/\x7f", "a\x00", "\x00", "\u202ea", "\u2028", "🙂"),
    *("[a-z]B", "A|B", "a" * 63, "a" * 64, "a" * 253, "a" * 254, "/" + "a" * 511, "/" + "a" * 512),
    *("https://[::1]", "kubernetes.io/service-account-token"),
    *("kubernetes.io/tls", "/{a", "a" * 317, "a" * 318, "https://a:70000", "https://1.2.3", "y", "true", "1"),
)  # fmt: skip
_OTHERS = (
    *(None, True, False, 0, 1, -1, 9, 10, 300, 301, 3600, 3601, 86400, 86401, 1.5, 2.0, 2**31, 2**63, 1e30),
    *({}, [], [""], {"a": "b"}, {"a": 1}, [None], {"name": "a"}, [{}], ["a"] * 9, ["a"] * 101, {"a": None}),
    *([_ENTRY] * 11, {"a" * 64: "b"}, {"events.infisical.com/a": "b"}, {"a": "b" * 64}),
    {f"k{n}": "v" for n in range(65)},
)


def spec_of(seed: int) -> Any:  # noqa: ANN401 - JSON, which may be anything
    """A spec; about half of them are good."""
    pick = random.Random(seed)  # noqa: S311 - no secret
    spec: dict[str, Any] = copy.deepcopy(_COMPLETE) | {"authentication": copy.deepcopy(pick.choice(_METHODS))}
    if pick.random() < 0.2:
        del spec["projectId"]
        spec["projectSlug"] = "a"
    for _ in range(pick.choice((1, 1, 1, 2, 3))):
        _change(pick, spec, schemas.SPEC)
    return spec


def _change(pick: random.Random, value: Any, schema: dict[str, Any]) -> None:  # noqa: ANN401 - JSON
    """Change one field somewhere in a value, deep ones as likely as others."""
    spots = list(_spots(value, schema))
    owner, step, field = pick.choice(spots)
    choice = pick.random()
    if choice < 0.12 and isinstance(owner, dict):
        owner.pop(step, None)
    elif choice < 0.2 and isinstance(owner, dict):
        owner[f"{step}s"] = "a"
    elif choice < 0.4:
        owner[step] = pick.choice((*_TEXTS, *_OTHERS))
    else:
        owner[step] = _like(pick, field)


def _spots(value: Any, schema: dict[str, Any]) -> Iterator[tuple[Any, Any, dict[str, Any]]]:  # noqa: ANN401 - JSON
    """Each field that exists or may exist: its owner, its step, and its schema."""
    if isinstance(value, dict):
        for name, field in schema.get("properties", {}).items():
            yield value, name, field
            yield from _spots(value.get(name), field)
        if isinstance(schema.get("additionalProperties"), dict):
            yield value, "a", schema["additionalProperties"]
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield value, number, schema["items"]
            yield from _spots(item, schema["items"])


def _like(pick: random.Random, field: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """A value of the type of a field, most of them at or around its bounds."""
    match field.get("type"):
        case "integer":
            return pick.choice((field["minimum"], field["maximum"])) + pick.choice((-1, 0, 0, 1))
        case "boolean":
            return pick.random() < 0.5
        case "string" if "enum" in field:
            return pick.choice((*field["enum"], pick.choice(field["enum"]).lower()))
        case "array":
            return [_like(pick, field["items"]) for _ in range(pick.choice((0, 1, 2)))]
        case "object":
            properties = field.get("properties", {})
            chosen = [n for n in properties if n in field.get("required", ()) or pick.random() < 0.5]
            extra = field.get("additionalProperties")
            texts = {pick.choice(_TEXTS): pick.choice(_TEXTS)} if extra else {}
            return {name: _like(pick, properties[name]) for name in chosen} | texts
    return pick.choice(_TEXTS)


def subscription_of(seed: int) -> dict[str, Any]:
    """A subscription; now and then with something else than a spec that is wrong."""
    pick = random.Random(seed)  # noqa: S311 - no secret
    manifest = {
        "apiVersion": resources.API_VERSION,
        "kind": resources.KIND,
        "metadata": {"name": f"case-{seed}"},
        "spec": spec_of(seed),
    }
    if pick.random() < 0.05:
        manifest["spec"] = pick.choice(_OTHERS)
    if pick.random() < 0.05:
        manifest[pick.choice(("specs", "status", "data"))] = pick.choice(({}, {"a": 1}))
    return manifest


def deployment_of(seed: int) -> dict[str, Any]:
    """A Deployment with random annotations and labels, most of them of the operator."""
    pick = random.Random(seed)  # noqa: S311 - no secret
    own = [f"{resources.GROUP}/{name}" for name in sorted(annotations.OF_WORKLOADS)]
    keys = (*own * 20, "a/b/c", "/a", "a/", "A.b/C", "a b", *_TEXTS)
    texts = (*_TEXTS, "true", "false", "maybe", "secret:update", "A_*,!B", "/a/**")
    found = {pick.choice(keys): pick.choice(texts) for _ in range(pick.choice((1, 2, 3)))}
    if pick.random() < 0.1:
        found[pick.choice(own)] = pick.choice(_OTHERS)
    labels = {pick.choice(keys): pick.choice(texts)} if pick.random() < 0.2 else {}
    container = {"name": "a", "image": "a"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": pick.choice(("web",) * 300 + _TEXTS), "annotations": found, "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}},
        },
    }
