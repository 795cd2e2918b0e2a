"""Fixtures of the short fault tests: the session's control plane with the custom resource, and proxies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.faults import fault_environment
from e2e.faults.fault_proxy import LoopThread
from e2e.faults.fault_runner import FaultContext
from local_cluster import Cluster


@pytest.fixture(scope="session")
def served(cluster: Any) -> Cluster:  # noqa: ANN401 - ours or a foreign one
    """The session's control plane, which serves the custom resource."""
    if not isinstance(cluster, Cluster):
        pytest.skip("the proxies need the certificates of a local control plane")
    fault_environment.install_crd(cluster)
    return cluster


@pytest.fixture
def context(served: Cluster, tmp_path: Path) -> Iterator[FaultContext]:
    """What all faults share."""
    with LoopThread() as loop:
        yield FaultContext(served, loop, tmp_path / "chaos", print)
