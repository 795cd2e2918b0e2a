"""The event stream of one subscription.

In reading order: `stream_controller` (keeps a stream open, turns events into triggers), `stream_handover`
(opens the next stream before the last one ends) and `stream_lifetime` (learns how old streams get).
"""
