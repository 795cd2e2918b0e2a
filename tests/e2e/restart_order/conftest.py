"""Fixtures of the short proofs: the session's control plane with all custom resources."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e.faults import fault_environment
from e2e.restart_order.slots import ProofContext
from local_cluster import Cluster
from support.fake_controllers import resources


@pytest.fixture
def context(cluster: Any, tmp_path: Path) -> ProofContext:  # noqa: ANN401 - ours or a foreign one
    """What all proofs share."""
    if not isinstance(cluster, Cluster):
        pytest.skip("the proofs need the certificates of a local control plane")
    fault_environment.install_crd(cluster)
    resources.serve(partial(fault_environment.kubectl, cluster))
    return ProofContext(cluster, tmp_path / "proofs", print)
