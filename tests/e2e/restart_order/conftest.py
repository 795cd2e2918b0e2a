"""The hall of the short proofs: the session's control plane with the custom resource and the foreign ones."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e.faults import stages
from e2e.restart_order.lanes import Hall
from local_cluster import Cluster
from support.fake_controllers import resources


@pytest.fixture
def hall(cluster: Any, tmp_path: Path) -> Hall:  # noqa: ANN401 - ours or a foreign one
    """What a proof is played in."""
    if not isinstance(cluster, Cluster):
        pytest.skip("KUBECONFIG_FOR_TESTS names a cluster that is not ours to speak to as its administrator")
    stages.serve_resource(cluster)
    resources.serve(partial(stages.kubectl, cluster))
    return Hall(cluster, tmp_path / "acting", print)
