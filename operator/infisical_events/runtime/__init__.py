"""The program that moves: tasks, timers, I/O and what ties them together.

One way leads through it: `apps` (composition root) starts `handlers` (kopf), which tell the
`supervising` of subscriptions; each is `following`: `listening` to its stream gathers `wakes`, upon
which `passing` lets `reconciling` look and `settling` act, and `records` stores ledger and status by
compare-and-swap.
"""
