"""The operator's process against an API server that takes its custom resource, or its word, away again."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infisical_events.api.resources import GROUP, PLURAL, VERSION
from support.eventually import eventually
from support.operator_process import OperatorProcess
from support.scripted_leases import PREFIX, ScriptedLeases
from support.scripted_server import After, Answer, Request, answer, serving

NAMESPACE = "team"
LIST = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
KINDS = [
    {
        "name": PLURAL,
        "singularName": PLURAL[:-1],
        "kind": "InfisicalEventSubscription",
        "namespaced": True,
        "verbs": ["get", "list", "watch"],
    }
]
CORE_KINDS = [
    {"name": "namespaces", "singularName": "", "kind": "Namespace", "namespaced": False, "verbs": ["get"]},
    {"name": "events", "singularName": "", "kind": "Event", "namespaced": True, "verbs": ["create"]},
]
GROUPS = {
    "name": GROUP,
    "versions": [{"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}],
    "preferredVersion": {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION},
}


def refusal(code: int) -> Answer:
    """What the API server says no with."""
    return answer(
        code, {"kind": "Status", "status": "Failure", "message": f"because of {code}", "code": code}
    )


class ApiServer:
    """It knows one custom resource without objects; `refused` is the status that lists get instead."""

    def __init__(self) -> None:
        self.refused = 0
        self.watched = asyncio.Event()
        self.changed = asyncio.Event()
        self.leases = ScriptedLeases()

    def refuse(self, code: int) -> None:
        """From now on lists are refused, and watches that stand are ended."""
        self.refused = code
        self.changed.set()

    async def script(self, request: Request) -> Answer:
        """Discovery, lists and watches, and Leases."""
        if request.path.startswith(PREFIX):
            return self.leases.served(request)
        found: dict[str, object] = {
            "/api": {"versions": ["v1"]},
            "/api/v1": {"groupVersion": "v1", "resources": CORE_KINDS},
            "/apis": {"groups": [GROUPS]},
            f"/apis/{GROUP}/{VERSION}": {"groupVersion": f"{GROUP}/{VERSION}", "resources": KINDS},
        }
        if request.path != LIST:
            return answer(200, found[request.path]) if request.path in found else refusal(404)
        if self.refused:
            return refusal(self.refused)
        if "watch=true" in request.target:
            self.watched.set()
            await self.changed.wait()
            return answer(200, b"", after=After.CLOSE)
        return answer(200, {"metadata": {"resourceVersion": "7"}, "items": []})


@asynccontextmanager
async def operating(api: ApiServer, folder: Path) -> AsyncIterator[OperatorProcess]:
    """The operator's process, ready."""
    kubeconfig = folder / "kubeconfig"
    async with serving(api.script) as server:
        named = {"name": "one", "cluster": {"server": server.url}, "user": {"token": "t"}}
        context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
        config = {"current-context": "one", "contexts": [context], "clusters": [named], "users": [named]}
        kubeconfig.write_text(json.dumps(config))
        operator = OperatorProcess.for_namespace(NAMESPACE, kubeconfig, folder)
        try:
            await asyncio.to_thread(operator.start)
            yield operator
        finally:
            operator.kill()


async def becomes(condition: Callable[[], bool]) -> None:
    """Wait for a condition of another process."""
    await asyncio.to_thread(eventually, condition, seconds=30.0, pause=0.05)


@pytest.mark.parametrize("code", [404, 410])
async def test_watch_is_ended(tmp_path: Path, code: int) -> None:
    """Without its resource the operator waits and logs that; with it, it watches again."""
    api = ApiServer()
    async with operating(api, tmp_path) as operator:
        await api.watched.wait()
        api.refuse(code)
        await becomes(lambda: not operator._is_ready())
        api.refused = 0
        api.changed.clear()
        api.watched.clear()
        await becomes(operator._is_ready)
        await asyncio.wait_for(api.watched.wait(), 30.0)
        log = operator.log.read_text()
        assert f'watch of subscriptions ended; restarting it error="because of {code}"' in log
        assert "Traceback" not in log
        assert await asyncio.to_thread(operator.stop) == 0


async def test_stopped_while_it_waits(tmp_path: Path) -> None:
    """The operator can be stopped while its resource is gone."""
    api = ApiServer()
    async with operating(api, tmp_path) as operator:
        await api.watched.wait()
        api.refuse(404)
        await becomes(lambda: not operator._is_ready())
        assert await asyncio.to_thread(operator.stop) == 0
