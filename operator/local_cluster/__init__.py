"""A real Kubernetes control plane on this machine, without containers and without root.

Read `clusters` first (the value to use), then `running` (what happens in `up`), `components` (the
command lines), `providing` (where the programs come from).
"""

from local_cluster.cluster import Cluster, ComponentStatus
from local_cluster.errors import ClusterError

__all__ = ["Cluster", "ClusterError", "ComponentStatus"]
