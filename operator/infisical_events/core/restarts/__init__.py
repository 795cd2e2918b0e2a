"""Which workloads are restarted, when, and how this is recorded.

`workloads` reads the metadata of a workload and its filters, `annotation_checks` finds the mistakes in
them, `workload_state` reads its Secrets and its rollout status, `other_reloaders` tells whether another
tool restarts it. `affected_workloads` matches changes to workloads, `user_requests` reads manual triggers,
`planner` keeps the pending restarts of the ledger and plans an action for each. `decisions` is the pure
decision about one workload from everything that was gathered; `admission` orders restarts by wave and
concurrency; `rollouts` judges rollouts in progress; `outcomes` is what became of each decision, and the
next ledger. `restart_records` is the annotation `last-restart`, and `pending_summary` sums up what is
pending and why.
"""
