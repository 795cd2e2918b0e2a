# ruff: noqa: T201 - a program that prints
"""`python -m hostile.attacker`: the process of one attack, with its server and its tenant.

A process of its own, so that a flood takes no processor time from what measures. It reads `go` from standard
input, and ends with the end of standard input: nothing is left behind by a program that is killed. It writes
a JSON object per line: `ready`, `applied`, `result`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from e2e.faults.fault_environment import path_of
from hostile.attack import Attack, Stage, Tenant
from hostile.attack_table import BY_NAME
from hostile.hostile_server import Running, Target, serving
from local_cluster import component_runner, components
from local_cluster.state_layout import Layout
from support.manifests import Manifest

NICENESS = 5
"""A real attacker has a machine of its own: here the operator goes first."""

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the process is told: all values are plain, for the command line."""

    attack: str
    namespace: str
    cluster: str
    client_secret: str
    token: str
    trap: int
    operator_host: str
    operator_port: int


def admin_client(state: Path) -> httpx.AsyncClient:
    """The API server of a local control plane, as the administrator."""
    layout = Layout(state)
    port, certificates = component_runner.current(layout).ports["kube-apiserver"], layout.certificates
    context = httpx.create_ssl_context(verify=str(certificates / "ca.crt"), trust_env=False)
    context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
    limits = httpx.Limits(max_connections=_AT_ONCE)
    return httpx.AsyncClient(
        base_url=components.url(port), verify=context, timeout=60, trust_env=False, limits=limits
    )


async def run(assignment: Assignment) -> None:
    """Serve, wait for `go`, create the objects, and act until standard input ends."""
    attack = BY_NAME[assignment.attack]
    target = Target(assignment.token, assignment.trap, attack.server.payload())
    standard_input = await _standard_input()
    async with (
        serving(attack.server, target) as running,
        admin_client(Path(assignment.cluster)) as api,
    ):
        tenant = Tenant(assignment.namespace, running.port, assignment.client_secret)
        _tell(ready=True)
        await standard_input.readline()
        refused = await _apply(api, tenant, attack.objects(tenant))
        _tell(applied=True)
        stage = Stage(tenant, api, (assignment.operator_host, assignment.operator_port))
        acting = asyncio.create_task(_act(attack, stage))
        await standard_input.read()
        acting.cancel()
        with suppress(asyncio.CancelledError):
            refused += await acting
        _tell(result=_result(attack, running, refused))


async def _act(attack: Attack, stage: Stage) -> list[str]:
    if attack.acts is None:
        return []
    try:
        await attack.acts(stage)
    except Exception as error:  # noqa: BLE001 - reported as the result
        return [f"the attacker failed: {error!r}"]
    return []


async def _apply(api: httpx.AsyncClient, tenant: Tenant, objects: Iterable[Manifest]) -> list[str]:
    """Create the objects; return the refusals of the API server."""
    slots, refused = asyncio.Semaphore(_AT_ONCE), list[str]()

    async def create(manifest: Manifest) -> None:
        async with slots:
            answer = await api.post(path_of(tenant.namespace, manifest), json=manifest)
        if not answer.is_success:
            refused.append(f"{manifest['kind']}: {answer.status_code} {answer.text[:300]}")

    async with asyncio.TaskGroup() as tasks:
        for manifest in objects:
            tasks.create_task(create(manifest))
    return refused


def _result(attack: Attack, running: Running, refused: list[str]) -> dict[str, Any]:
    is_asked = not attack.server.hostile or bool(attack.server.hostile & running.requests.keys())
    return {"requests": dict(running.requests), "is_asked": is_asked, "refused": refused[:3]}


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Run the attack of the command line: the assignment as a JSON object."""
    os.nice(NICENESS)
    asyncio.run(run(Assignment(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
