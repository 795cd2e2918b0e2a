"""Limits over all subscriptions of the process, fair between namespaces.

In reading order: `fair_scheduling` admits starts at a rate, bodies into memory, and runs long computations,
the namespaces by turns; `quarantine` suspects what a process died of; `reconnect_limiter` spreads reconnects
to one address; `namespace_slots` bounds the subscriptions of one namespace, `secret_quota` the secrets whose
state is kept; `restart_budget` bounds restarts.
"""
