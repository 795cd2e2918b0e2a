"""Which workloads are restarted, when, and how this is recorded.

`planner` matches changes to workloads, keeps the pending restarts of the ledger and plans an action for each;
`user_requests` reads manual triggers; `late_workloads` adds pending restarts of workloads that did not exist,
or could not be listed, when a change was found. `decisions` has the rules by which one workload is decided
about from everything that was gathered, `decision_kinds` what can be decided; `admission` orders restarts by
wave and concurrency; `rollouts` judges the rollouts of restarts, `reverted_restarts` those that another
client takes back; `outcomes` is what became of each decision, and the next ledger. `restart_records` is the
annotation `last-restart`, `pending_summary` sums up what is pending and why, and
`workload_statuses` is what the status says of each workload.
"""
