"""Fixtures of the integration tests: the CRD, a namespace, a local Infisical, an operator process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_sandbox.server import Sandbox
from infisical_sandbox.server.options import Options
from support import schemas
from support.cluster_harness import ClusterHarness
from support.fake_controllers import resources
from support.manifests import credentials, subscription, workload
from support.object_client import ObjectClient
from support.operator_process import OperatorProcess


@pytest.fixture(scope="session")
def crd(kubectl: Callable[..., str], eventually: Callable[..., Any]) -> None:
    """Apply the custom resource and wait until the API server serves it."""
    established = ("wait", "--for=condition=Established", f"crd/{schemas.CRD['metadata']['name']}")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(schemas.CRD_FILE))
    # kubectl fails instead of waiting while the resource has no conditions yet.
    eventually(lambda: kubectl(*established, "--timeout=10s"), seconds=30)


@pytest.fixture
def sandbox_options() -> Options:
    """Options of the local Infisical; a test overrides them by parametrizing."""
    return Options(fan_out_delay=0.4, ping_interval=2.0)


@pytest.fixture
def sandbox(sandbox_options: Options) -> Iterator[Sandbox]:
    """A local Infisical for one test, with one secret in /payments."""
    with Sandbox.in_thread(sandbox_options) as running:
        running.do_blocking(type(running.controls).set_secrets, "prod", "/payments", {"DB_PASSWORD": "first"})
        yield running


@pytest.fixture
def harness(
    crd: None,  # noqa: ARG001 - needed, not used
    cluster: Any,  # noqa: ANN401 - ours or a foreign one
    namespace: str,
    kubectl: Callable[..., str],
    eventually: Callable[..., Any],
    object_client: ObjectClient,
    sandbox: Sandbox,
    tmp_path: Path,
) -> Iterator[ClusterHarness]:
    """A namespace and an Infisical; the operator is not started."""
    operator = OperatorProcess.for_namespace(namespace, cluster.kubeconfig, tmp_path)
    try:
        yield ClusterHarness(namespace, kubectl, eventually, sandbox, operator, object_client)
    finally:
        operator.kill()


@pytest.fixture
def serving_harness(harness: ClusterHarness) -> ClusterHarness:
    """The usual case: one subscription, one Deployment that opted in, and an operator that serves them."""
    harness.apply(
        credentials(harness.sandbox),
        workload(),
        subscription(harness.sandbox),
    )
    harness.operator.start()
    harness.wait_serving()
    return harness


@pytest.fixture(scope="session")
def foreign_crds(kubectl: Callable[..., str]) -> None:
    """The API server serves the kinds of the fake controllers."""
    resources.serve(kubectl)
