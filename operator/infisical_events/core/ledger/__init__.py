"""The ledger: the state of a subscription that is written to `status.ledger` before anything is done for it.

`ledger` defines the values and `codec` stores them as JSON. `acceptance` assesses reads against the accepted
state, `event_correlation` pairs import events with the changes they announce, `transitions` applies snapshots
to a ledger, `missing_scopes` says what became of folders that a read did not find, `observation_modes`
applies reads in each mode of `spec.observe`.
"""
