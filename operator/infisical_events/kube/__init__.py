"""The few Kubernetes requests that the operator makes; the only package that imports kubernetes.

`kubernetes_errors` classifies failures, `http` makes requests, `kubeconfig` finds the cluster, `discovery`
tells which kinds the cluster serves, and lists each kind by itself. `subscription_client` reads
subscriptions and writes their status, `workload_client` lists and patches workloads, `provider_client` does
so for objects that write Secrets, `secret_client` reads the metadata of Secrets, `managed_secrets` writes
Secrets, and `managed_secret_errors` explains why the API server rejects one. `credential_reader` reads
login credentials, `digest_key_secret` holds the key of value digests, `protected_objects` excludes the
operator's own objects, `lease_client` reads and writes Leases, and `event_recorder` writes Kubernetes
Events. The chart's RBAC grants exactly these requests. `preflight` asks what is installed and
allowed, for the command line alone.

The library imports everything it has. What the operator never uses of it is loaded when it is used, that is
never: a quarter of the time and of the memory that all imports need.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

_UNUSED = frozenset(
    f"kubernetes.{name}"
    for name in (
        *("client", "config", "dynamic", "informer", "leaderelection", "stream", "utils", "watch"),
        *("aio.dynamic", "aio.leaderelection", "aio.stream", "aio.utils", "aio.watch"),
    )
)


class _LazyFinder(MetaPathFinder):
    """Finds modules that are executed when an attribute of theirs is first needed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target) if fullname in _UNUSED else None
        if found and found.loader:
            found.loader = LazyLoader(found.loader)
        return found


sys.meta_path.insert(0, _LazyFinder())
