"""Pure decisions: no I/O, no clock, no framework. Values go in, values come out.

Single modules: `subscriptions` (object keys and stored subscriptions), `credentials` (what a login needs),
`reconcile_schedule` (when the next reconcile is due), `interruptible` (long computations in steps),
`request_metrics` (where those who send requests count them).

Packages, in the order in which data flows: `paths` (folders, scopes, path globs), `snapshots` (events,
snapshots, diffs, selectors), `ledger` (accepted state, pending restarts, transitions), `sync` (secret
providers, sync requests, managed Secrets), `workloads` (annotations, pod templates, rollout progress),
`restarts` (plans, decisions, admission, restart records), `status` (reasons, conditions, texts), `sharding`
(Leases, shard assignment, leader election), `egress` (where connections and tokens may go), `validation`
(which spec can be served, and what is wrong with manifests), `explanations` (why something happened, or would
happen) and `diagnosis` (what the command line finds out about a subscription).
"""
