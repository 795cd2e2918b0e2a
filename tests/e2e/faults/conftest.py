"""The stage of the short chaos: the session's control plane with the custom resource, and proxies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.faults import stages
from e2e.faults.playing import Theatre
from e2e.faults.proxying import Loop
from local_cluster import Cluster


@pytest.fixture(scope="session")
def served(cluster: Any) -> Cluster:  # noqa: ANN401 - ours or a foreign one
    """A control plane of ours that serves the custom resource."""
    if not isinstance(cluster, Cluster):
        pytest.skip("KUBECONFIG_FOR_TESTS names a cluster that is not ours to stand before")
    stages.serve_resource(cluster)
    return cluster


@pytest.fixture
def theatre(served: Cluster, tmp_path: Path) -> Iterator[Theatre]:
    """What a row is played in."""
    with Loop() as loop:
        yield Theatre(served, loop, tmp_path / "chaos", print)
