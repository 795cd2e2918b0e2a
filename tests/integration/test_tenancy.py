"""A tenant that attacks by every field of a subscription, beside a tenant that has to be served."""

import contextlib
import json
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from infisical_sandbox.server.controls import Controls
from support import malicious_specs
from support.cluster_harness import ClusterHarness
from support.invalid_specs import with_field
from support.kubectl import KubectlError
from support.malicious_specs import ATTACKS, BIDI, KEYS, Attack, End
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = pytest.mark.cluster

CANARY = "canary-of-the-victim"
_TRAPPED = "http://localhost:{}"
_GENEROUS = ("https://*", "http://local*:*")


@dataclass
class Trap:
    """A port on loopback that must receive no connection, and the connections that it received."""

    port: int
    caught: list[str] = field(default_factory=list)


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Listens until the test ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        trap = Trap(listening.getsockname()[1])
        thread = threading.Thread(target=_catch, args=(listening, trap))
        thread.start()
        yield trap
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _catch(listening: socket.socket, trap: Trap) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, peer = listening.accept()
            trap.caught.append(str(peer))
            connection.close()


@pytest.fixture
def attacker(kubectl: Callable[..., str]) -> Iterator[str]:
    """The attacker's namespace, and a victim's namespace with the target of the attacks."""
    tag = secrets.token_hex(4)
    names = [f"test-attacker-{tag}", f"test-{malicious_specs.VICTIM}-{tag}"]
    for name in names:
        kubectl("create", "namespace", name)
    kubectl("create", "secret", "generic", "login", f"--from-literal=token={CANARY}", "-n", names[1])
    try:
        yield names[0]
    finally:
        kubectl("delete", "namespace", *names, "--wait=false")


def _named(attacks: tuple[Attack, ...]) -> dict[str, Attack]:
    return {f"attack-{number:03}": attack for number, attack in enumerate(attacks)}


def _manifest(name: str, attack: Attack, harness: ClusterHarness, trap: Trap) -> Manifest:
    """Return a subscription that would be served without the attack in one of its fields."""
    manifest = subscription(harness.sandbox, name)
    if attack.field.startswith("authentication.accessTokenRef"):
        token = {"name": "infisical-credentials", "key": "clientSecret"}
        manifest["spec"]["authentication"] = {"accessTokenRef": token}
    value = _TRAPPED.format(trap.port) if attack.value == "https://localhost:6443" else attack.value
    annotations = {"events.infisical.com/restart-at": f"{BIDI}\n\x1b[2J{name}"}
    manifest["metadata"]["annotations"] = annotations
    return {**manifest, "spec": with_field(manifest["spec"], attack.field, value)}


def _create(kubectl: Callable[..., str], namespace: str, manifests: list[Manifest]) -> set[str]:
    """Create all of them at once; return the names of the accepted ones."""
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    with contextlib.suppress(KubectlError):
        kubectl("create", "--validate=ignore", "-n", namespace, "-f", "-", stdin=body)
    return set(kubectl("get", "ies", "-n", namespace, "-o", "name").replace("/", " ").split()[1::2])


def test_a_hostile_tenant_hurts_nobody(
    harness: ClusterHarness, attacker: str, kubectl: Callable[..., str], trap: Trap
) -> None:
    """Each attack is rejected or harmless; the other tenant's change restarts; all output is printable."""
    attacks = _named(ATTACKS)
    command = [*harness.operator.command, "--namespace", attacker]
    harness.operator.command = [*command, *(f"--allowed-address={pattern}" for pattern in _GENEROUS)]
    _furnish(harness, attacker, kubectl)
    stored = _create(kubectl, attacker, [_manifest(name, a, harness, trap) for name, a in attacks.items()])

    refused = {name for name, attack in attacks.items() if attack.end is End.SCHEMA}
    assert attacks.keys() - stored == refused

    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox))
    harness.operator.start()
    harness.wait_serving()
    harness.change(DB_PASSWORD="second")
    harness.expect_restarts(1)
    harness.change(path="/payments/hostile", **dict.fromkeys(KEYS, "second"))
    ends = harness.eventually(lambda: _ends(kubectl, attacker, stored), seconds=60)

    for name, (kind, reason) in ends.items():
        _check_end(attacks[name], kind, reason)
    assert trap.caught == []
    seen = _everything_people_see(harness, attacker, kubectl)
    assert CANARY not in seen
    assert re.findall(r".{0,80}[\u202a-\u202e\u2066-\u2069\x00\x1b].{0,80}", seen) == []
    assert all(line.isprintable() for line in harness.operator.log.read_text().splitlines())


def _furnish(harness: ClusterHarness, attacker: str, kubectl: Callable[..., str]) -> None:
    """Create what the attacker may have: credentials, a workload, and secrets with odd names in Infisical."""
    harness.sandbox.do_blocking(
        Controls.set_secrets, "prod", "/payments/hostile", dict.fromkeys(KEYS, "first")
    )
    for manifest in (credentials(harness.sandbox), workload("own")):
        kubectl("apply", "-n", attacker, "-f", "-", stdin=json.dumps(manifest))


def _ends(kubectl: Callable[..., str], namespace: str, stored: set[str]) -> dict[str, tuple[str, str]]:
    """Return the final state of each subscription: Stalled, trouble or served; empty until all have one."""
    items = json.loads(kubectl("get", "ies", "-n", namespace, "-o", "json"))["items"]
    found = {item["metadata"]["name"]: _end(item.get("status", {})) for item in items}
    return found if found.keys() == stored and all(kind for kind, _ in found.values()) else {}


def _end(status: Manifest) -> tuple[str, str]:
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    if conditions.get("Stalled", {}).get("status") == "True":
        return "Stalled", conditions["Stalled"]["reason"]
    for kind in ("Authenticated", "Observed"):
        if conditions.get(kind, {}).get("status") == "False":
            return "trouble", conditions[kind]["reason"]
    is_served = conditions.get("Ready", {}).get("status") == "True"
    return ("served", "") if is_served else ("", "")


def _check_end(attack: Attack, kind: str, reason: str) -> None:
    """Check the state; a pruned field leaves a spec that is served, or a login that is rejected."""
    if attack.end is End.PRUNED and attack.field.startswith("authentication"):
        assert kind in {"served", "trouble"}, attack
    else:
        assert (kind, reason) in _ENDS[attack.end], attack


_ENDS = {
    End.PRUNED: {("served", "")},
    End.MODELS: {("Stalled", "InvalidSpec")},
    End.ADDRESS: {("Stalled", "AddressNotAllowed")},
    End.NETWORK: {("trouble", "NetworkNotAllowed"), ("trouble", "NameNotResolved")},
    End.HARMLESS: {("served", "")},
}


def _everything_people_see(harness: ClusterHarness, attacker: str, kubectl: Callable[..., str]) -> str:
    """Return log, status, Events and metrics as text, without the attacker's own input."""
    texts = [harness.operator.log.read_text(), harness.operator.get("/metrics")]
    for namespace in (harness.namespace, attacker):
        subscriptions = json.loads(kubectl("get", "ies", "-n", namespace, "-o", "json"))["items"]
        texts += [str(text) for item in subscriptions for text in _texts(item.get("status", {}))]
        events = json.loads(kubectl("get", "events", "-n", namespace, "-o", "json"))["items"]
        texts += [event["message"] for event in events]
        deployments = json.loads(kubectl("get", "deployments", "-n", namespace, "-o", "json"))["items"]
        texts += [str(item["metadata"]["annotations"]) for item in deployments]
    return "\n".join(texts)


def _texts(value: object) -> Iterator[str]:
    """Yield all text in a piece of JSON, except the ledger and the copy of an annotation."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in {"ledger", "lastHandledRestartAt"}:
                yield from _texts(item)
