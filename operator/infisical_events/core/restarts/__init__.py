"""Which workloads are restarted, when, and how this is recorded.

`workloads` reads the metadata of a workload and its filters, `workload_state` its rollout status.
`affected_workloads` matches changes to workloads, `user_requests` reads manual triggers, `planner` plans an
action for each pending restart, `admission` limits concurrency and waves, `decisions` decides for one
workload once the state of its Secrets is known, and `outcomes` is the result. `restart_records` is the
annotation `last-restart`, and `pending_summary` counts pending restarts by reason.
"""
