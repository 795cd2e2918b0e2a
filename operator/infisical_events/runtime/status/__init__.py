"""The status of one subscription, in memory and in the cluster.

In reading order: `reporter` (the verbs by which all parts report), `status_builder` (the status in memory),
`subscription_store` (writes ledger and status by compare-and-swap) and `status_flusher` (writes a changed
status between the writes of the ledger).
"""
