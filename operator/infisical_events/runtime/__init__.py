"""Tasks, timers and I/O around the decisions of `core`.

In reading order, from the process to one subscription: `app` is the composition root; `inspection` reports
mistakes in the annotations of workloads; `sharding` holds
shards by Leases and runs a task for each subscription; `subscription` assembles and runs one of them;
`stream` keeps its event stream open; `triggers` is the queue of its events and requests; `reconcile`
reads snapshots upon a trigger and records changes; `restarts` decides on pending restarts and patches
workloads; `sync` has the Secrets of a workload synced before; `status` stores ledger and status by
compare-and-swap; `limits` bounds rates and concurrency over all subscriptions.

Single modules: `ports` are the interfaces to the cluster and to Infisical; `subscription_context` is what the
parts of one subscription share; `backoff` is the time between two attempts; `tasks` runs coroutines together;
`clock` reads the wall clock; `metrics` are the Prometheus series, and `condition_collector` those of the
conditions.
"""
