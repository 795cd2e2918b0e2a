"""Limits over all subscriptions of the process, fair between namespaces.

In reading order: `fair_scheduling` admits starts at a rate and runs long computations in slices, the
namespaces by turns; `reconnect_limiter` spreads reconnects to one address; `namespace_slots` bounds the
subscriptions of one namespace; `restart_budget` bounds restarts.
"""
