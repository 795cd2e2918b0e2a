"""`validate` and a real API server accept the same manifests."""

from collections.abc import Callable

import pytest

import validation_agreement
from local_cluster import Cluster

pytestmark = pytest.mark.cluster

MANIFESTS = 400


def test_validate_agrees_with_the_api_server(
    cluster: Cluster,
    crd: None,  # noqa: ARG001 - needed, not used
    namespace: str,
    kubectl: Callable[..., str],  # noqa: ARG001 - the namespace is ready
) -> None:
    """Of some hundred generated manifests, both accept the same ones."""
    with validation_agreement.opened(cluster.kubeconfig) as client:
        found = validation_agreement.verdicts(
            client, namespace, validation_agreement.manifests(MANIFESTS, first=1_000_000)
        )

    assert [str(each) for each in found if not each.is_agreed] == []
    accepted = sum(not each.server for each in found)
    assert min(accepted, len(found) - accepted) > MANIFESTS / 8  # both answers were really asked for
