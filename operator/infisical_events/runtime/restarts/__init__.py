"""The pending restarts and rollouts of one subscription: gather, decide, apply.

In reading order: `restart_controller` runs one round; `gatherer` lists the workloads and reads everything
that its decisions depend on; `core.restarts.decisions` decides; `workload_patcher` writes to
workloads; `rollout_tracker` reads rollouts in progress; `restart_report` reports what happened;
`retry_schedule` says when the next round is due.
"""
