"""What is asked of etcd directly: to forget. It speaks JSON beside gRPC, under the same port."""

import httpx

from local_cluster import errors


def compact(client: httpx.Client) -> None:
    """Drop every revision but the newest.

    Raises:
        ClusterError: etcd refuses or does not answer.
    """
    try:
        status = client.post("/v3/maintenance/status", json={}).raise_for_status().json()
        order = {"revision": status["header"]["revision"], "physical": True}
        client.post("/v3/kv/compaction", json=order).raise_for_status()
    except httpx.HTTPError as error:
        raise errors.ClusterError(f"etcd was not compacted: {error}") from error
