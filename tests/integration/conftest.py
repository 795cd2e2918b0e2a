"""The scene of the end-to-end tests: CRD applied, namespace, local Infisical, operator process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_sandbox.server import Sandbox
from infisical_sandbox.server.options import Options
from support import operator_process, schemas
from support.fake_controllers import resources


@pytest.fixture(scope="session")
def crd(kubectl: Callable[..., str], eventually: Callable[..., Any]) -> None:
    """The custom resource is served."""
    established = ("wait", "--for=condition=Established", f"crd/{schemas.CRD['metadata']['name']}")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(schemas.CRD_FILE))
    # Asked too early, before there are any conditions, kubectl does not wait but fails.
    eventually(lambda: kubectl(*established, "--timeout=10s"), seconds=30)


@pytest.fixture
def sandbox_options() -> Options:
    """How the local Infisical is set up; a test overrides it by parametrizing."""
    return Options(fan_out_delay=0.4, ping_interval=2.0)


@pytest.fixture
def sandbox(sandbox_options: Options) -> Iterator[Sandbox]:
    """A local Infisical of this test alone, with one secret below /payments."""
    with Sandbox.in_thread(sandbox_options) as running:
        running.do_blocking(type(running.controls).set_secrets, "prod", "/payments", {"DB_PASSWORD": "first"})
        yield running


@pytest.fixture
def scene(
    crd: None,  # noqa: ARG001 - needed, not used
    cluster: Any,  # noqa: ANN401 - ours or a foreign one
    namespace: str,
    kubectl: Callable[..., str],
    eventually: Callable[..., Any],
    sandbox: Sandbox,
    tmp_path: Path,
) -> Iterator[operator_process.Scene]:
    """Everything there, the operator not begun."""
    operator = operator_process.Operator.serving(namespace, cluster.kubeconfig, tmp_path)
    try:
        yield operator_process.Scene(namespace, kubectl, eventually, sandbox, operator)
    finally:
        operator.kill()


@pytest.fixture
def shop(scene: operator_process.Scene) -> operator_process.Scene:
    """The usual case: credentials, one subscription, one annotated Deployment, the operator watching."""
    scene.apply(
        operator_process.credentials(scene.sandbox),
        operator_process.workload(),
        operator_process.subscription(scene.sandbox),
    )
    scene.operator.start()
    scene.watching()
    return scene


@pytest.fixture(scope="session")
def foreign_crds(kubectl: Callable[..., str]) -> None:
    """The kinds of the foreign controllers are served; `standins` plays these."""
    resources.serve(kubectl)
