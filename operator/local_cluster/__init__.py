"""A real Kubernetes control plane on this machine, without containers and without root.

It has nothing of Infisical. Modules in reading order:

- `cluster`: the class `Cluster` with `up`, `down` and the faults for tests; `commands`: its command line
- `component_runner`: starts and stops the components; `components`: their command lines
- `state_layout`, `cluster_record`: the files of one cluster, and the record of its processes
- `processes`: start, identify and stop a process; `wait`: wait for a condition
- `cluster_guard`: takes a cluster down when another process ends
- `certificates`, `kubeconfigs`: identities; `apiserver`, `etcd`: requests to the two
- `programs`: names and versions; `program_provider`: their sources; `release_download`, `go_build`
- `errors`
"""

from local_cluster.cluster import Cluster, ComponentStatus
from local_cluster.errors import ClusterError

__all__ = ["Cluster", "ClusterError", "ComponentStatus"]
