"""Restarts Kubernetes workloads when Infisical secrets change.

In reading order: `api` has the custom resource as types; `core` decides and does no I/O; `infisical` and
`kube` are the clients of the two servers; `runtime` runs tasks, timers and I/O around the decisions;
`cli` is the command line; `__main__` makes it run as `python -m infisical_events`; `lean_imports` leaves out
what is not used of libraries.
"""

from infisical_events import lean_imports

lean_imports.prepare()
