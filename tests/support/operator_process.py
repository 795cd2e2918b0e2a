"""A scene for end-to-end tests: a namespace with workloads, a local Infisical, the operator as a process.

Everything is real but the pods: `kubectl apply`, the API server, the HTTP stream, the process.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infisical_sandbox.server import Sandbox
from infisical_sandbox.server.controls import Controls
from support import charts

Manifest = dict[str, Any]
EVERY_EVENT = ("secret:create", "secret:update", "secret:delete", "secret:import-mutation")
_NAMELESS = (
    "import pwd, runpy; del pwd.getpwuid;"
    "runpy.run_module('infisical_events', run_name='__main__', alter_sys=True)"
)
"""The operator where its user has no name, as in a container."""
_NO_NAME = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "")
_QUIET_SECONDS = 2.5
"""Longer than debounce, status pause and one round of looking again together."""


def subscription(
    sandbox: Sandbox,
    name: str = "payments",
    *,
    events: Sequence[str] = EVERY_EVENT,
    conditions: Mapping[str, Any] | None = None,
    **spec: object,
) -> Manifest:
    """A subscription to everything below /payments in prod, with universal auth, unless told otherwise."""
    where = conditions or {"environmentSlug": "prod", "secretPath": "/payments/**"}
    usual: Manifest = {
        "address": sandbox.url,
        "projectId": sandbox.project_id,
        "authentication": {
            "universalAuth": {
                "clientIdRef": {"name": "infisical-credentials", "key": "clientId"},
                "clientSecretRef": {"name": "infisical-credentials", "key": "clientSecret"},
            }
        },
        "events": [{"event": event, "conditions": where} for event in events],
        "debounceSeconds": 0,
        "cooldownSeconds": 0,
    }
    return {
        "apiVersion": "events.infisical.com/v1alpha1",
        "kind": "InfisicalEventSubscription",
        "metadata": {"name": name},
        "spec": {key: value for key, value in (usual | spec).items() if value is not None},
    }


def credentials(sandbox: Sandbox, **data: str) -> Manifest:
    """The Secret that the usual subscription names; `data` replaces its values."""
    usual = {"clientId": sandbox.client_id, "clientSecret": sandbox.client_secret}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "infisical-credentials"},
        "stringData": usual | data,
    }


def workload(
    name: str = "api", kind: str = "Deployment", annotations: Mapping[str, str] | None = None
) -> Manifest:
    """A workload of two pods that opted in, unless `annotations` say otherwise."""
    opted_in = {"events.infisical.com/auto-reload": "true"}
    spec: Manifest = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "pause"}]},
        },
    }
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "StatefulSet":
        spec["serviceName"] = name
    metadata = {"name": name, "annotations": dict(opted_in if annotations is None else annotations)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


@dataclass(slots=True)
class Operator:
    """The operator's process: begun, killed and begun again by a test; all it writes goes to one file."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    url: str
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def serving(cls, namespace: str, kubeconfig: Path, folder: Path) -> "Operator":
        """For one namespace, under a kubeconfig, speaking to loopback only, as talkative as it can be."""
        address = f"127.0.0.1:{_free_port()}"
        flags = {
            "--kubeconfig": str(kubeconfig),
            "--namespace": namespace,
            "--allowed-address": "http://127.0.0.1:*",
            "--http-address": address,
            "--lease-namespace": namespace,
            "--identity": folder.name.lower().replace("_", "-").strip("-"),
            "--log-level": "debug",
        }
        arguments = [part for flag in flags.items() for part in flag]
        command = [sys.executable, "-m", "infisical_events", "run", *arguments]
        return cls(command, {}, folder / "operator.log", f"http://{address}")

    @classmethod
    def installed(
        cls, found: charts.Objects, kubectl: Callable[..., str], kubeconfig: Path, folder: Path
    ) -> "Operator":
        """As the pod of a rendered chart runs it: the same command line, variables and ServiceAccount."""
        ((account, home),) = ((key.name, key.namespace) for key in found if key.kind == "ServiceAccount")
        token = kubectl("create", "token", account, "-n", home).strip()
        own = folder / "operator.kubeconfig"
        own.write_text(charts.kubeconfig_with_token(kubeconfig.read_text(), token))
        program, *arguments = charts.operator_command(found)
        assert program == "infisical-events"
        address = f"127.0.0.1:{_free_port()}"
        # Where this process is not in a pod: the last flag of a name counts, and loopback is enough here.
        outside = (
            f"--http-address={address}",
            f"--digest-key-secret={home}/infisical-events-digest-key",
            f"--lease-namespace={home}",
        )
        command = [sys.executable, "-c", _NAMELESS, *arguments, *outside]
        environment = (
            charts.operator_environment(found) | _NO_NAME | {"INFISICAL_EVENTS_KUBECONFIG": str(own)}
        )
        return cls(command, environment, folder / "operator.log", f"http://{address}")

    def start(self) -> None:
        """Begin, and wait until it says that it is ready."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own operator
                self.command, env=os.environ | dict(self.environment), stdout=output, stderr=output
            )
        deadline = time.monotonic() + 30
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the operator is not ready:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)  # noqa: TID251 - the pause between two looks

    def kill(self) -> None:
        """SIGKILL: no line of it runs any more."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self._end(signal.SIGTERM)

    def get(self, path: str) -> str:
        """What its HTTP server answers."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:  # noqa: S310 - loopback
            body: bytes = answer.read()
        return body.decode()

    def _is_ready(self) -> bool:
        try:
            return self.get("/readyz").startswith("ok\n")
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=15)
        self.process = None
        return code


@dataclass(slots=True)
class Scene:
    """One namespace, one Infisical, one operator, and the questions that tests ask of them."""

    namespace: str
    kubectl: Callable[..., str]
    eventually: Callable[..., Any]
    sandbox: Sandbox
    operator: Operator
    applied: list[Manifest] = field(default_factory=list)

    def apply(self, *manifests: Manifest) -> None:
        """`kubectl apply` into the scene's namespace."""
        self.applied.extend(manifests)
        for manifest in manifests:
            self.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> Manifest:
        """One object as the API server holds it."""
        found: Manifest = json.loads(self.kubectl("get", kind, name, "-n", self.namespace, "-o", "json"))
        return found

    def watching(self, name: str = "payments") -> Manifest:
        """Wait until the subscription's stream is open and its state observed; the object."""

        def ready() -> Manifest | None:
            found = self.get("ies", name)
            conditions = found.get("status", {}).get("conditions", ())
            workload_state = {c["type"] for c in conditions if c["status"] == "True"}
            return found if workload_state >= {"Ready", "Streaming", "Observed", "Authenticated"} else None

        ready_object: Manifest = self.eventually(ready, seconds=30)
        return ready_object

    def condition(self, kind: str, name: str = "payments") -> Manifest:
        """One condition of a subscription; empty while it is not there."""
        conditions = self.get("ies", name).get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == kind), {})

    def has_reason(self, kind: str, reason: str, name: str = "payments") -> Manifest:
        """Wait for a condition with this reason; the condition."""
        found: Manifest = self.eventually(
            lambda: c if (c := self.condition(kind, name)).get("reason") == reason else None, seconds=30
        )
        return found

    def generation(self, name: str = "api", kind: str = "deployment") -> int:
        """How often the spec of a workload was changed: 1 at first."""
        return int(self.get(kind, name)["metadata"]["generation"])

    def restarts(
        self,
        expected: int,
        name: str = "api",
        kind: str = "deployment",
        *,
        since: int = 1,
        seconds: float = 30,
    ) -> None:
        """Wait for this many restarts since a generation; then see that it stays so and rolls out."""
        self.eventually(lambda: self.generation(name, kind) >= since + expected, seconds=seconds)
        self.stays(lambda: self.generation(name, kind), since + expected)
        self.kubectl("rollout", "status", f"{kind}/{name}", "-n", self.namespace, "--timeout=30s")

    def stays(self, read_result: Callable[[], object], expected: object) -> None:
        """See for a while that something does not change."""
        deadline = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < deadline:
            assert expected == read_result()
            time.sleep(0.1)  # noqa: TID251 - the pause between two looks

    def change(self, path: str = "/payments", environment: str = "prod", **values: str) -> None:
        """Create or update secrets in Infisical, as one call."""
        self.sandbox.do_blocking(Controls.set_secrets, environment, path, values)

    def delete(self, *keys: str, path: str = "/payments", environment: str = "prod") -> None:
        """Delete secrets in Infisical, as one call."""
        self.sandbox.do_blocking(Controls.delete_secrets, environment, path, keys)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
