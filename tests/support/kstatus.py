"""The verdicts of kstatus, by which `helm --wait`, Flux and `kubectl wait`-like tools judge an object.

The rules for objects of a kind that is not built in, as in `sigs.k8s.io/cli-utils/pkg/kstatus/status`: the
generation first, then Reconciling and Stalled, then Ready.
"""

from collections.abc import Mapping
from typing import Any


def kstatus(stored: Mapping[str, Any]) -> str:
    """`Terminating`, `InProgress`, `Failed` or `Current`."""
    metadata, status = stored["metadata"], stored.get("status") or {}
    if "deletionTimestamp" in metadata:
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata["generation"]:
        return "InProgress"
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"
