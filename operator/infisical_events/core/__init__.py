"""Pure decisions: no I/O, no clock, no framework. Values in, values out.

Read in the order of the data's way: `folders` and `globs` (where; `globbing` and `patterns` read them),
`events` (what was heard), `scopes` (what has to be looked at), `observations` (what was seen), `judging`
(whether to believe it), `diffing` and `changes` (what changed), `matching` (whom it concerns), `ledgers`
(what is believed and owed; `encoding` stores it), `claiming` and `telling` (what was heard for what was
seen), `passes` and `grades` (the ledger's steps), `workloads` and `receipts` (who is restarted, and what it
carries), `concerns` (what concerns which workload), `planning` (what to do for it; `backlog` sums up),
`sources`, `questions`, `syncing` and `freshness` (whether its Secrets are fresh), `admitting` (whose turn it
is), `conditions` and `reasons` (what to say), `addresses` (where a token may go).
"""
