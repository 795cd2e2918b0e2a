"""Limits over all subscriptions of the process, fair between namespaces.

In reading order: `fair_queue` admits starts at a rate, the namespaces by turns; `reconnect_limiter`
spreads reconnects to one address; `cooperative_scheduler` runs long computations in slices;
`namespace_slots` bounds the subscriptions of one namespace; `restart_budget` bounds restarts.
"""
