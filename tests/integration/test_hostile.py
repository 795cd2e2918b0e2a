"""Some attacks of `make hostile`, on the same code: the cheap ones of those that hold."""

from pathlib import Path

import pytest

from e2e.faults.fault_environment import install_crd
from hostile.attack_runner import hostile_environment
from hostile.attack_table import BY_NAME
from hostile.figures import Bounds, table
from local_cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

_SECONDS = 2.0

ATTACKS = (
    "list-nested",
    "etag-8bit",
    "redirect-list-inward",
    "flood-of-comments",
    "last-restart-of-year-9999",
)


def test_an_attack_hurts_nobody(private_cluster: Cluster, tmp_path: Path) -> None:
    """Each of them leaves memory, event loop, Lease, log, Events and the neighbour within their bounds."""
    install_crd(private_cluster)

    with hostile_environment(private_cluster, tmp_path, print, Bounds()) as environment:
        results = [environment.run([BY_NAME[name]], name, _SECONDS) for name in ATTACKS]

    assert all(result.holds for result in results), table(results)
