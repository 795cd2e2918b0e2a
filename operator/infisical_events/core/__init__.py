"""Pure decisions: no I/O, no clock, no framework. Values in, values out.

Read in the order of the data's way: `folders` and `globs` (where), `events` (what was heard),
`scopes` (what has to be looked at), `observations` (what was seen), `judging` (whether to believe it),
`diffing` (what changed), `matching` (whom it concerns), `ledgers` (what is believed and owed),
`passes` (the ledger's steps), `receipts` (what a workload carries), `planning` (what to do for it),
`conditions` and `reasons` (what to say).
"""
