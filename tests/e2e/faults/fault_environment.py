"""The environment of a fault: a namespace, Infisical and the API server behind proxies, and the operator.

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
from e2e.faults.fault_proxy import FaultProxy, LoopThread
from e2e.faults.infisical_process import Change, InfisicalProcess
from e2e.faults.interceptor import Interceptor
from e2e.faults.rollout_watcher import Rollout, RolloutWatcher
from local_cluster import Cluster, apiserver, component_runner, kubeconfigs
from local_cluster.state_layout import Layout
from support import manifests, operator_process, schemas

SUBSCRIPTIONS = {"payments": "/payments", "mail": "/mail"}
WORKLOADS_BY_FOLDER: Mapping[str, tuple[str, ...]] = {
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
"""So many that the body of a list has several chunks."""

FAKETIME = next(
    iter([*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), *Path("/usr/lib/faketime").glob("*MT*")]),
    None,
)
"""The library that changes the clock of one process; None where it is not installed."""

_RESOURCES = "/apis/events.infisical.com/v1alpha1/namespaces"
_CONFLICT = 409
_SERVICE_SECONDS = 60
_CALM_SECONDS = 90


class AdminApi:
    """The API server without a proxy, as the administrator."""

    def __init__(self, cluster: Cluster) -> None:
        self.layout = Layout(cluster.state_dir)
        self.port = component_runner.current(self.layout).ports["kube-apiserver"]
        self.http = self.client()

    def client(self) -> httpx.Client:
        """Return another client."""
        return apiserver.connect(self.port, self.layout.certificates)

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object; one that exists stays as it is."""
        answer = self.http.post(path, json=body)
        if answer.status_code != _CONFLICT and not answer.is_success:
            raise AssertionError(f"the API server rejected {path}: {answer.text[:500]}")

    def merge(self, path: str, patch: Mapping[str, Any]) -> int:
        """Merge into an object; return its new resourceVersion."""
        kind = {"Content-Type": "application/merge-patch+json"}
        answer = self.http.patch(path, content=json.dumps(patch), headers=kind).raise_for_status()
        return int(answer.json()["metadata"]["resourceVersion"])

    def subscription(self, namespace: str, name: str) -> dict[str, Any]:
        """Return one subscription; empty while the API server does not answer."""
        try:
            answer = self.http.get(f"{_RESOURCES}/{namespace}/infisicaleventsubscriptions/{name}")
            return dict(answer.raise_for_status().json())
        except httpx.HTTPError:
            return {}

    def subscriptions(self, namespace: str) -> list[dict[str, Any]]:
        """Return the subscriptions of a namespace; none while the API server does not answer."""
        try:
            answer = self.http.get(f"{_RESOURCES}/{namespace}/infisicaleventsubscriptions")
            return list(answer.raise_for_status().json()["items"])
        except httpx.HTTPError:
            return []

    def kubeconfig(self, path: Path, port: int) -> Path:
        """Write a kubeconfig of the administrator for a port on loopback."""
        kubeconfigs.write(
            path, kubeconfigs.render(f"https://127.0.0.1:{port}", self.layout.certificates, "admin")
        )
        return path


def kubectl(cluster: Cluster, *arguments: str) -> str:
    """Run kubectl as the administrator; return its output."""
    command = (str(cluster.binaries / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603 - our own program


def install_crd(cluster: Cluster) -> None:
    """Apply the custom resource and wait until it is served."""
    kubectl(cluster, "apply", "--server-side", "--force-conflicts", "-f", str(schemas.CRD_FILE))
    api = AdminApi(cluster)
    waiting.wait_until(
        lambda: api.http.get(f"{_RESOURCES}/default/infisicaleventsubscriptions").is_success,
        seconds=_SERVICE_SECONDS,
        what="the custom resource is served",
    )
    api.http.close()


@dataclass(slots=True)
class FaultEnvironment:
    """All parts that a fault can affect."""

    cluster: Cluster
    api: AdminApi
    namespace: str
    infisical: InfisicalProcess
    to_infisical: FaultProxy
    to_api: FaultProxy
    interceptor: Interceptor
    watcher: RolloutWatcher
    operator: operator_process.OperatorProcess
    second: operator_process.OperatorProcess
    clock: Path
    written: int = 0
    counted: int = 0
    """The number of the watcher's rollouts that are counted already; none falls between two rounds."""

    def change(self, path: str, key: str) -> Change:
        """Give a secret a new value."""
        self.written += 1
        return self.infisical.change(path, key, f"value-{self.written}")

    @property
    def affected(self) -> int:
        """How many connections and requests the proxies have disturbed so far."""
        return self.to_infisical.affected + self.to_api.affected + self.interceptor.affected

    def count(self) -> tuple[Rollout, ...]:
        """Return the rollouts since the last call."""
        seen = self.watcher.rollouts[self.counted :]
        self.counted += len(seen)
        return seen

    def operators(self) -> list[operator_process.OperatorProcess]:
        """Return the operators that run."""
        return [each for each in (self.operator, self.second) if each.process is not None]

    def step_clock(self, seconds: float) -> None:
        """Set the operator's clock so many seconds ahead of the machine's."""
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(f"{seconds:+g}\n")
        fresh.replace(self.clock)

    def wait_idle(self) -> None:
        """Wait until the streams are open and no restart is pending; raises DeadlineExceededError."""
        waiting.wait_until(
            self._is_idle, seconds=_CALM_SECONDS, what="streams are open, no restart is pending"
        )

    def blind_seconds(self) -> int:
        """Return the seconds without a stream, added up over the subscriptions, from their status."""
        stored = [self.api.subscription(self.namespace, name) for name in SUBSCRIPTIONS]
        return sum(each.get("status", {}).get("stream", {}).get("blindSeconds", 0) for each in stored)

    def _is_idle(self) -> bool:
        ledgers = [
            self.api.subscription(self.namespace, name).get("status", {}).get("ledger")
            for name in SUBSCRIPTIONS
        ]
        is_done = all(ledger and not ledger["debts"] for ledger in ledgers)
        return is_done and all(connected(each) == len(SUBSCRIPTIONS) for each in self.operators())


def connected(operator: operator_process.OperatorProcess) -> int:
    """Return how many streams are open, from an operator's metrics."""
    try:
        lines = operator.get("/metrics").splitlines()
    except OSError:
        return 0
    return sum(
        line.startswith("infisical_events_stream_connected{") and line.endswith(" 1.0") for line in lines
    )


@contextmanager
def fault_environment(
    cluster: Cluster,
    loop: LoopThread,
    folder: Path,
    *,
    resync: int,
    is_intercepted: bool,
    has_own_clock: bool,
    generation: str,
) -> Iterator[FaultEnvironment]:
    """Set everything up, wait until both subscriptions are served, and remove everything at the end."""
    with ExitStack() as stack:
        api = AdminApi(cluster)
        stack.callback(api.http.close)
        options = ("--generation", generation, "--ping-interval", "2", "--fan-out-delay", "0.4")
        infisical = InfisicalProcess(folder, free_port(), options)
        stack.callback(infisical.kill)
        infisical.start()
        to_infisical = stack.enter_context(FaultProxy(loop, infisical.port))
        to_api = stack.enter_context(FaultProxy(loop, api.port))
        interceptor = stack.enter_context(Interceptor(loop, api.port, api.layout.certificates))
        infisical.url = f"http://127.0.0.1:{to_infisical.port}"
        for path in SUBSCRIPTIONS.values():
            infisical.create(path, KEYS)
        namespace = stack.enter_context(
            created_namespace(api, "chaos", objects(infisical, resync, generation))
        )
        kubeconfig = api.kubeconfig(
            folder / "kubeconfig", interceptor.port if is_intercepted else to_api.port
        )
        operator, second = (
            stack.enter_context(operator_process_for(namespace, kubeconfig, folder / name))
            for name in ("one", "two")
        )
        # Under the same Leases the second operator would stand by. Here both have to be active.
        second.command = [*second.command, "--lease-name", "second"]
        watcher = stack.enter_context(RolloutWatcher(api.client(), namespace))
        clock = folder / "clock"
        environment = FaultEnvironment(
            cluster,
            api,
            namespace,
            infisical,
            to_infisical,
            to_api,
            interceptor,
            watcher,
            operator,
            second,
            clock,
        )
        if has_own_clock:
            environment.step_clock(0)
            operator.environment = _own_clock(clock)
        operator.start()
        environment.wait_idle()
        infisical.changes()
        yield environment


def objects(infisical: InfisicalProcess, resync: int, generation: str) -> list[manifests.Manifest]:
    """Return credentials, two subscriptions and four Deployments."""
    below = "" if generation == "e3" else "/**"  # the older streams know no globs
    subscriptions = [
        manifests.subscription(
            infisical,
            name,
            conditions={"environmentSlug": "prod", "secretPath": f"{path}{below}"},
            resyncIntervalSeconds=resync,
        )
        for name, path in SUBSCRIPTIONS.items()
    ]
    workloads = [manifests.workload(name, annotations=opted_in) for name, opted_in in _OPTED_IN.items()]
    for workload in workloads:
        workload["spec"]["replicas"] = 1
    return [manifests.credentials(infisical), *workloads, *subscriptions]


@contextmanager
def created_namespace(api: AdminApi, prefix: str, manifests: Sequence[manifests.Manifest]) -> Iterator[str]:
    """Create a namespace with these objects; delete it at the end without waiting."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        for manifest in manifests:
            api.create(path_of(name, manifest), manifest)
        yield name
    finally:
        with suppress(httpx.HTTPError):  # the cluster ends with the API server
            api.http.delete(f"/api/v1/namespaces/{name}")


def free_port() -> int:
    """Return a loopback port that no process uses at the moment."""
    return operator_process.free_port()


def path_of(namespace: str, manifest: manifests.Manifest) -> str:
    """Return the path to which an object of this kind is posted."""
    version, kind = manifest["apiVersion"], str(manifest["kind"]).lower()
    root = "/api/v1" if version == "v1" else f"/apis/{version}"
    return f"{root}/namespaces/{namespace}/{kind}s"


@contextmanager
def operator_process_for(
    namespace: str, kubeconfig: Path, folder: Path, level: str = "debug"
) -> Iterator[operator_process.OperatorProcess]:
    """Provide an operator process, not started, that ends with the block."""
    folder.mkdir()
    operator = operator_process.OperatorProcess.for_namespace(namespace, kubeconfig, folder)
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
