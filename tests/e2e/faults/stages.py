"""What a row of faults is played on: a namespace, Infisical and the API server behind proxies, the operator.

Everything is real: the operator's process, the control plane, Infisical's process, TCP.
"""

import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from e2e.faults import waiting
from e2e.faults.infisicals import Change, Infisical
from e2e.faults.intercepting import Interceptor
from e2e.faults.proxying import Loop, Proxy
from e2e.faults.rollouts import Rollout, Witness
from local_cluster import Cluster, apiserver, component_runner, kubeconfigs
from local_cluster.state_layout import Layout
from support import operator_process, schemas

SUBSCRIPTIONS = {"payments": "/payments", "mail": "/mail"}
CONCERNED: Mapping[str, tuple[str, ...]] = {
    "/payments": ("pay-1", "pay-2", "both"),
    "/mail": ("mail-1", "both"),
}
_OPTED_IN = {
    "pay-1": {"events.infisical.com/subscription": "payments"},
    "pay-2": {"events.infisical.com/subscription": "payments"},
    "mail-1": {"events.infisical.com/subscription": "mail"},
    "both": {"events.infisical.com/auto-reload": "true"},
}
KEYS = tuple(f"KEY_{number:02}" for number in range(24))
"""As many as make the body of a list several pieces long."""

FAKETIME = next(
    iter([*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), *Path("/usr/lib/faketime").glob("*MT*")]),
    None,
)
"""What steps the clock of one process; None where it is not installed."""

_RESOURCES = "/apis/events.infisical.com/v1alpha1/namespaces"
_CONFLICT = 409
_SERVICE_SECONDS = 60
_CALM_SECONDS = 90


class Api:
    """The API server as its administrator sees it, past all proxies."""

    def __init__(self, cluster: Cluster) -> None:
        self.layout = Layout(cluster.state_dir)
        self.port = component_runner.current(self.layout).ports["kube-apiserver"]
        self.http = self.client()

    def client(self) -> httpx.Client:
        """One more client."""
        return apiserver.connect(self.port, self.layout.certificates)

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Make an object that may be there already."""
        answer = self.http.post(path, json=body)
        if answer.status_code != _CONFLICT and not answer.is_success:
            raise AssertionError(f"{path} was refused: {answer.text[:500]}")

    def merge(self, path: str, patch: Mapping[str, Any]) -> int:
        """Merge into an object; its version then."""
        kind = {"Content-Type": "application/merge-patch+json"}
        answer = self.http.patch(path, content=json.dumps(patch), headers=kind).raise_for_status()
        return int(answer.json()["metadata"]["resourceVersion"])

    def subscription(self, namespace: str, name: str) -> dict[str, Any]:
        """One subscription; empty while the API server does not answer."""
        try:
            answer = self.http.get(f"{_RESOURCES}/{namespace}/infisicaleventsubscriptions/{name}")
            return dict(answer.raise_for_status().json())
        except httpx.HTTPError:
            return {}

    def subscriptions(self, namespace: str) -> list[dict[str, Any]]:
        """All subscriptions of a namespace; none while the API server does not answer."""
        try:
            answer = self.http.get(f"{_RESOURCES}/{namespace}/infisicaleventsubscriptions")
            return list(answer.raise_for_status().json()["items"])
        except httpx.HTTPError:
            return []

    def kubeconfig(self, path: Path, port: int) -> Path:
        """A kubeconfig of the administrator at one of our ports."""
        kubeconfigs.write(
            path, kubeconfigs.render(f"https://127.0.0.1:{port}", self.layout.certificates, "admin")
        )
        return path


def kubectl(cluster: Cluster, *arguments: str) -> str:
    """Our own kubectl as the cluster's administrator; its output."""
    command = (str(cluster.binaries / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603 - our own program


def serve_resource(cluster: Cluster) -> None:
    """Apply the custom resource and wait until it is served."""
    kubectl(cluster, "apply", "--server-side", "--force-conflicts", "-f", str(schemas.CRD_FILE))
    api = Api(cluster)
    waiting.until(
        lambda: api.http.get(f"{_RESOURCES}/default/infisicaleventsubscriptions").is_success,
        seconds=_SERVICE_SECONDS,
        what="the custom resource is served",
    )
    api.http.close()


@dataclass(slots=True)
class Stage:
    """All that a fault may touch, and the questions that are asked of it."""

    cluster: Cluster
    api: Api
    namespace: str
    infisical: Infisical
    to_infisical: Proxy
    to_api: Proxy
    interceptor: Interceptor
    witness: Witness
    operator: operator_process.Operator
    second: operator_process.Operator
    clock: Path
    written: int = 0
    counted: int = 0
    """Up to which rollout of the witness' restarts were counted: none falls between two tries."""

    def change(self, path: str, key: str) -> Change:
        """Give a secret a value that it never had."""
        self.written += 1
        return self.infisical.change(path, key, f"value-{self.written}")

    @property
    def struck(self) -> int:
        """How many connections and requests were met by a fault of the proxies so far."""
        return self.to_infisical.struck + self.to_api.struck + self.interceptor.struck

    def count(self) -> tuple[Rollout, ...]:
        """The rollouts since the last count."""
        seen = self.witness.rollouts[self.counted :]
        self.counted += len(seen)
        return seen

    def operators(self) -> list[operator_process.Operator]:
        """Those that run."""
        return [each for each in (self.operator, self.second) if each.process is not None]

    def step_clock(self, seconds: float) -> None:
        """Let the operator's clock be this far from the machine's."""
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(f"{seconds:+g}\n")
        fresh.replace(self.clock)

    def calm_down(self) -> None:
        """Wait until the streams are open and nothing is owed; raises NotInTimeError."""
        waiting.until(self._is_calm, seconds=_CALM_SECONDS, what="streams open, nothing owed")

    def blind_seconds(self) -> int:
        """How long the subscriptions were without a stream, added up, as they say themselves."""
        stored = [self.api.subscription(self.namespace, name) for name in SUBSCRIPTIONS]
        return sum(each.get("status", {}).get("stream", {}).get("blindSeconds", 0) for each in stored)

    def _is_calm(self) -> bool:
        ledgers = [
            self.api.subscription(self.namespace, name).get("status", {}).get("ledger")
            for name in SUBSCRIPTIONS
        ]
        is_paid = all(ledger and not ledger["debts"] for ledger in ledgers)
        return is_paid and all(connected(each) == len(SUBSCRIPTIONS) for each in self.operators())


def connected(operator: operator_process.Operator) -> int:
    """How many streams an operator says are open."""
    try:
        lines = operator.get("/metrics").splitlines()
    except OSError:
        return 0
    return sum(
        line.startswith("infisical_events_stream_connected{") and line.endswith(" 1.0") for line in lines
    )


@contextmanager
def staged(
    cluster: Cluster,
    loop: Loop,
    folder: Path,
    *,
    resync: int,
    is_intercepted: bool,
    has_own_clock: bool,
) -> Iterator[Stage]:
    """Set everything up, wait until both subscriptions are served, and take everything away again."""
    with ExitStack() as stack:
        api = Api(cluster)
        stack.callback(api.http.close)
        infisical = Infisical(folder, free_port(), ("--ping-interval", "2", "--fan-out-delay", "0.4"))
        stack.callback(infisical.kill)
        infisical.start()
        to_infisical = stack.enter_context(Proxy(loop, infisical.port))
        to_api = stack.enter_context(Proxy(loop, api.port))
        interceptor = stack.enter_context(Interceptor(loop, api.port, api.layout.certificates))
        infisical.url = f"http://127.0.0.1:{to_infisical.port}"
        for path in SUBSCRIPTIONS.values():
            infisical.create(path, KEYS)
        namespace = stack.enter_context(inhabited(api, "chaos", objects(infisical, resync)))
        kubeconfig = api.kubeconfig(
            folder / "kubeconfig", interceptor.port if is_intercepted else to_api.port
        )
        operator, second = (
            stack.enter_context(operating(namespace, kubeconfig, folder / name)) for name in ("one", "two")
        )
        # By Leases the second one would stand by: what two do at the same time is what is asked here.
        second.command = [*second.command, "--lease-name", "second"]
        witness = stack.enter_context(Witness(api.client(), namespace))
        clock = folder / "clock"
        stage = Stage(
            cluster,
            api,
            namespace,
            infisical,
            to_infisical,
            to_api,
            interceptor,
            witness,
            operator,
            second,
            clock,
        )
        if has_own_clock:
            stage.step_clock(0)
            operator.environment = _own_clock(clock)
        operator.start()
        stage.calm_down()
        infisical.changes()
        yield stage


def objects(infisical: Infisical, resync: int) -> list[operator_process.Manifest]:
    """Credentials, two subscriptions, four Deployments."""
    subscriptions = [
        operator_process.subscription(
            infisical,
            name,
            conditions={"environmentSlug": "prod", "secretPath": f"{path}/**"},
            resyncIntervalSeconds=resync,
        )
        for name, path in SUBSCRIPTIONS.items()
    ]
    workloads = [
        operator_process.workload(name, annotations=opted_in) for name, opted_in in _OPTED_IN.items()
    ]
    for workload in workloads:
        workload["spec"]["replicas"] = 1
    return [operator_process.credentials(infisical), *workloads, *subscriptions]


@contextmanager
def inhabited(api: Api, prefix: str, manifests: Sequence[operator_process.Manifest]) -> Iterator[str]:
    """A namespace with these objects; its deletion is not waited for."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        for manifest in manifests:
            api.create(path_of(name, manifest), manifest)
        yield name
    finally:
        with suppress(httpx.HTTPError):  # an API server that is away takes its namespaces along
            api.http.delete(f"/api/v1/namespaces/{name}")


def free_port() -> int:
    """A port that nobody has at the moment."""
    return operator_process._free_port()


def path_of(namespace: str, manifest: operator_process.Manifest) -> str:
    """Where an object of this kind is created."""
    version, kind = manifest["apiVersion"], str(manifest["kind"]).lower()
    root = "/api/v1" if version == "v1" else f"/apis/{version}"
    return f"{root}/namespaces/{namespace}/{kind}s"


@contextmanager
def operating(
    namespace: str, kubeconfig: Path, folder: Path, level: str = "debug"
) -> Iterator[operator_process.Operator]:
    """An operator that is not begun, and is not left behind."""
    folder.mkdir()
    operator = operator_process.Operator.serving(namespace, kubeconfig, folder)
    operator.command = [*operator.command, "--log-level", level]
    try:
        yield operator
    finally:
        operator.kill()


def _own_clock(file: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
