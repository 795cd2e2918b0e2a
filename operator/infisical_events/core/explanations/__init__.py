"""Why something happened, did not happen, or would happen: answers from what the cluster stores.

The decisions are those of `core.restarts`, asked about a change that may come: there is no second set of
rules. `subscription_view` is one subscription as it is stored, and `problems` says why one restarts nothing.
`event_explanation` answers what an event would do, workload by workload; `workload_explanation` what concerns
one workload, and what keeps it from being restarted.
"""
