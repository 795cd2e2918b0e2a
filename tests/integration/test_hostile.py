"""Some attacks of `make hostile`, on the same code: the cheap ones of those that hold."""

from pathlib import Path

import pytest

from e2e.faults.fault_environment import install_crd
from hostile.attack_runner import hostile_environment
from hostile.attack_table import BY_NAME
from hostile.figures import Bounds, table
from local_cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

_SECONDS = 3.0

ATTACKS = (
    "list-nested",
    "gzip-of-60mib-of-spaces",
    "etag-8bit",
    "redirect-list-inward",
    "flood-of-blank-lines",
    "last-restart-of-year-9999",
)


def test_an_attack_hurts_nobody(private_cluster: Cluster, tmp_path: Path) -> None:
    """Each of them leaves memory, event loop, Lease, log, Events and the neighbour within their bounds."""
    install_crd(private_cluster)

    with hostile_environment(private_cluster, tmp_path, print, Bounds()) as environment:
        results = [environment.run([BY_NAME[name]], name, _SECONDS) for name in ATTACKS]

    assert all(result.holds for result in results), table(results)


def test_a_bound_can_be_broken(private_cluster: Cluster, tmp_path: Path) -> None:
    """The same run fails by a bound that the operator cannot hold."""
    install_crd(private_cluster)

    with hostile_environment(private_cluster, tmp_path, print, Bounds(rss=1, neighbour=-1)) as environment:
        result = environment.run([BY_NAME["control"]], "control", _SECONDS)

    assert result.broken == ("RSS", "neighbour")
