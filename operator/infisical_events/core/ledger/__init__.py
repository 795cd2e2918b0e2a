"""The ledger: the state of a subscription that is written to `status.ledger` before anything is done for it.

`ledger` defines the values and `codec` stores them as JSON. `acceptance` assesses reads against the accepted
state, `event_correlation` pairs import events with the changes they announce, `transitions` applies snapshots
to a ledger, `observation_modes` does this for each mode of `spec.observe`, and `revisions` makes the
idempotency keys of restarts and sync requests.
"""
