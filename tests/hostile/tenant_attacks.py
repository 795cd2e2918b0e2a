"""What hostile tenants create and do in their own namespace, and what reaches the operator's own port."""

import asyncio
import base64
import itertools
import json
from collections.abc import Mapping

from hostile.attack import Act, Attack, Objects, Stage, Tenant, many, one
from hostile.hostile_server import Exchange, Server
from hostile.replies import answers, different_names, frame, listed, secret, server, streams, update
from hostile.stall_probe import UNANSWERED
from support.manifests import Manifest, credentials, subscription, workload

_GROUP = "events.infisical.com"
_ANNOTATIONS = 255_000
"""Bytes of annotations: the API server admits 256 KiB per object."""
_SLOW_GLOBS = ("/+(a|a|aa)+(a|a|aa)b", "/" + "a*" * 200, "/" + "**/" * 90 + "a", "/+(" + "{a,b}" * 50 + ")")


def _deployments(number: int, annotations: Mapping[str, str]) -> list[Manifest]:
    """Deployments that opted in, without pods: pods are no part of the attack."""
    own = {f"{_GROUP}/auto-reload": "true", **annotations}
    found = [workload(f"api-{each:03}", annotations=own) for each in range(number)]
    for manifest in found:
        manifest["spec"]["replicas"] = 0
    return found


def _beside(*manifests: Manifest) -> Objects:
    """The usual objects and others."""
    return lambda tenant: [*one(tenant), *manifests]


# -- many or large objects ------------------------------------------------------------------------


def _unanswered(tenant: Tenant) -> list[Manifest]:
    names = (f"http://name-{number}{UNANSWERED}" for number in range(40))
    found = (subscription(tenant, f"silent-{n}", address=name) for n, name in enumerate(names))
    return [credentials(tenant), workload(), *found]


def _large_and_suspended(tenant: Tenant) -> list[Manifest]:
    """Subscriptions of 1.4 MB: 90 templates of 16,000 characters."""
    template = {f"key-{number}": "t" * 16_000 for number in range(88)}
    resync = {"secrets": [{"name": "made", "environmentSlug": "prod", "template": template}]}
    found = (subscription(tenant, f"large-{n:02}", suspend=True, resync=resync) for n in range(50))
    return [credentials(tenant), *found]


def _secret(name: str, data: Mapping[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": dict(data)}


def _many_values(**first: str) -> dict[str, str]:
    """About 40,000 values, within the API server's 1 MiB: it takes a minute to store 130,000."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    known = {key: base64.b64encode(value.encode()).decode() for key, value in first.items()}
    return known | dict.fromkeys(different_names(letters, 3, 40_000), base64.b64encode(b"v" * 18).decode())


def _credentials_of_1mb(tenant: Tenant) -> list[Manifest]:
    values = _many_values(clientId=tenant.client_id, clientSecret=tenant.client_secret)
    return [_secret("infisical-credentials", values), *many(20)(tenant)[1:]]


def _environment_of_1mb(tenant: Tenant) -> list[Manifest]:
    """A Deployment that uses such Secrets, which the operator writes too: it has to look at them."""
    names = [f"large-{number}" for number in range(5)]
    using = workload("using")
    using["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [
        {"secretRef": {"name": n}} for n in names
    ]
    merged = [{"name": name, "environmentSlug": "prod", "creationPolicy": "Merge"} for name in names]
    found = subscription(tenant, "hostile", resync={"secrets": merged})
    return [credentials(tenant), using, *(_secret(name, _many_values()) for name in names), found]


def _external_secrets(tenant: Tenant) -> list[Manifest]:
    """ExternalSecrets with 1,600 sync requests each, and a Deployment that waits for all of them."""
    request = {"stamp": "x-1", "since": "9999-01-01T00:00:00Z", "attempt": 1, "tokens": {}}
    noted = {f"{_GROUP}/resync-{number:04}": json.dumps(request) for number in range(1_600)}
    names = [f"external-{number}" for number in range(20)]
    using = workload("using")
    using["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [
        {"secretRef": {"name": n}} for n in names
    ]
    found: list[Manifest] = [
        {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ExternalSecret",
            "metadata": {"name": name, "annotations": noted},
            "spec": {
                "secretStoreRef": {"name": "infisical", "kind": "SecretStore"},
                "target": {"name": name},
            },
        }
        for name in names
    ]
    made = [_secret(name, {"a": ""}) for name in names]
    return [*one(tenant), using, *made, *found]


def _new_versions(number: int) -> Server:
    """An Infisical whose keys, so many, have a new version at each read, and that says so twice a second."""
    path = "/payments/" + "a" * 400

    def versions(exchange: Exchange) -> bytes:
        return listed(*(secret(f"KEY_{n}" + "a" * 60, path, version=exchange.number) for n in range(number)))

    event = frame(update({"environment": "prod", "secretPath": path, "secretKey": "KEY_0"}))
    return server(lists=answers(versions), stream=streams(event, pause=0.5))


_KEYS = ",".join(["*a" * 100 + "b"] * 100)
_UNKNOWN = {
    f"{_GROUP}/{name}": ""
    for name in ("".join(each) for each in itertools.islice(itertools.product("auto-reld", repeat=6), 3_000))
    if not name.startswith("-") and not name.endswith("-")
}
_RECORD = {"time": "9999-12-31T23:59:59-23:59", "stamps": {"hostile": "x-1"}, "subscription": "hostile"}
_LONG_RECORD = {"time": "2020-01-01T00:00:00Z", "stamps": {f"s-{n}": "x-1" for n in range(4_000)}}


def _recorded(text: str) -> dict[str, str]:
    return {f"{_GROUP}/last-restart": text}


# -- acts -----------------------------------------------------------------------------------------


async def _create_and_delete(stage: Stage) -> None:
    """Twenty subscriptions, again and again."""
    found = [subscription(stage.tenant, f"brief-{number}") for number in range(20)]
    while True:
        await asyncio.gather(*(stage.create(stage.subscriptions, manifest) for manifest in found))
        await asyncio.sleep(0.2)
        names = [manifest["metadata"]["name"] for manifest in found]
        await asyncio.gather(*(stage.delete(f"{stage.subscriptions}/{name}") for name in names))


def _edits(path: str, field: str, per_second: int) -> Act:
    """Edit an annotation so often; `path` is below the tenant's Deployments or subscriptions."""

    async def act(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        root = {"deployments": stage.deployments, "subscriptions": stage.subscriptions}
        kind, _, name = path.partition("/")
        for number in itertools.count():
            await stage.merge(f"{root[kind]}/{name}", {"metadata": {"annotations": {field: str(number)}}})
            await asyncio.sleep(max(0.0, begun + number / per_second - loop.time()))

    return act


async def _edit_spec(stage: Stage) -> None:
    """Another debounce, as fast as the API server admits it."""
    for number in itertools.count():
        await stage.merge(f"{stage.subscriptions}/hostile", {"spec": {"debounceSeconds": number % 2}})


def _connections(number: int, data: bytes) -> Act:
    """Open so many connections to the operator's own port, say this on each, and read nothing."""

    async def act(stage: Stage) -> None:
        held = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection(*stage.operator)
            writer.write(data)
            held.append((reader, writer))
        await asyncio.Event().wait()

    return act


async def _many_scrapes(stage: Stage) -> None:
    """Fifty clients that read /metrics without pause."""

    async def scrape() -> None:
        while True:
            reader, writer = await asyncio.open_connection(*stage.operator)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            await reader.read()
            writer.close()

    await asyncio.gather(*(scrape() for _ in range(50)))


# -- the table ------------------------------------------------------------------------------------

ATTACKS = (
    Attack("names-never-answered-40", objects=_unanswered, seconds=15),
    Attack("subscriptions-200", objects=many(200)),
    Attack("subscriptions-200-of-failing-server", server(lists=answers(b"{}", 500)), many(200)),
    Attack("subscriptions-of-1400kb-suspended-50", objects=_large_and_suspended, seconds=12),
    Attack(
        "deployments-of-255kb-200",
        _new_versions(1),
        _beside(*_deployments(200, {"example.com/long": "x" * _ANNOTATIONS})),
        seconds=15,
    ),
    Attack(
        "last-restart-of-250kb", _new_versions(1), _beside(*_deployments(50, _recorded("[" * _ANNOTATIONS)))
    ),
    Attack(
        "last-restart-of-60kb",
        _new_versions(1),
        _beside(*_deployments(50, _recorded(json.dumps(_LONG_RECORD, separators=(",", ":"))[:65_000]))),
    ),
    Attack(
        "last-restart-of-year-9999",
        _new_versions(1),
        _beside(*_deployments(20, _recorded(json.dumps(_RECORD)))),
    ),
    Attack("sync-requests-1600", _new_versions(1), _external_secrets, seconds=15),
    Attack(
        "slow-globs",
        _new_versions(2_000),
        _beside(
            *_deployments(
                50, {f"{_GROUP}/secret-path": ",".join(_SLOW_GLOBS * 25), f"{_GROUP}/secret-keys": _KEYS}
            )
        ),
        seconds=15,
    ),
    Attack(
        "slow-globs-different",
        _new_versions(2_000),
        _beside(
            *(
                _deployments(
                    1,
                    {
                        f"{_GROUP}/secret-path": ",".join(
                            f"{glob}{n}-{m}" for m, glob in enumerate(_SLOW_GLOBS * 25)
                        )
                    },
                )[0]
                | {
                    "metadata": {
                        "name": f"glob-{n}",
                        "annotations": {
                            f"{_GROUP}/auto-reload": "true",
                            f"{_GROUP}/secret-path": ",".join(
                                f"{glob}{n}-{m}" for m, glob in enumerate(_SLOW_GLOBS * 25)
                            ),
                        },
                    }
                }
                for n in range(50)
            )
        ),
        seconds=15,
    ),
    Attack("unknown-annotations-3000", objects=_beside(*_deployments(20, _UNKNOWN))),
    Attack(
        "annotations-of-100k-commas",
        objects=_beside(
            *_deployments(20, {f"{_GROUP}/secret-keys": "," * 250_000, f"{_GROUP}/subscription": "a," * 2})
        ),
    ),
    Attack(
        "annotation-subscriptions-60k",
        _new_versions(1),
        _beside(*_deployments(20, {f"{_GROUP}/subscription": "a,hostile," * 25_000})),
    ),
    Attack("subscriptions-created-and-deleted", acts=_create_and_delete, seconds=15),
    Attack(
        "workload-edited-50-times-a-second",
        _new_versions(1),
        acts=_edits("deployments/api", "example.com/n", 50),
    ),
    Attack("workload-opt-in-edited", acts=_edits("deployments/api", f"{_GROUP}/secret-keys", 50)),
    Attack(
        "reconcile-requested-without-pause",
        acts=_edits("subscriptions/hostile", f"{_GROUP}/reconcile-at", 50),
    ),
    Attack(
        "restart-requested-without-pause", acts=_edits("subscriptions/hostile", f"{_GROUP}/restart-at", 50)
    ),
    Attack("spec-edited-without-pause", acts=_edit_spec),
    Attack("credentials-of-1mb-40k-values", objects=_credentials_of_1mb),
    Attack("environment-of-1mb-40k-values", _new_versions(1), _environment_of_1mb),
    Attack(
        "half-open-requests-4000",
        objects=lambda _: (),
        acts=_connections(4_000, b"GET /metrics HTTP/1.1\r\nHost:"),
    ),
    Attack(
        "metrics-unread-500",
        objects=many(50),
        acts=_connections(500, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 20),
    ),
    Attack("metrics-scraped-without-pause", objects=many(50), acts=_many_scrapes),
    Attack(
        "endless-request-headers",
        objects=lambda _: (),
        acts=_connections(200, b"GET / HTTP/1.1\r\nX: " + b"a" * 60_000),
    ),
)
