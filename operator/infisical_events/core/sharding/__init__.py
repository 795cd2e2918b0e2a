"""How replicas share subscriptions.

`assignment` maps subscriptions to shards and shards to replicas, `leases` is the record of one Lease, and
`election` plans which Leases a replica acquires, releases and removes.
"""
