"""Compaction of etcd, by the JSON gateway on etcd's client port."""

import httpx

from local_cluster import errors


def compact(client: httpx.Client) -> None:
    """Drop every revision but the newest.

    Raises:
        ClusterError: etcd rejects the request or does not respond.
    """
    try:
        status = client.post("/v3/maintenance/status", json={}).raise_for_status().json()
        order = {"revision": status["header"]["revision"], "physical": True}
        client.post("/v3/kv/compaction", json=order).raise_for_status()
    except httpx.HTTPError as error:
        raise errors.ClusterError(f"the compaction of etcd failed: {error}") from error
