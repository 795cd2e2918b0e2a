"""Which replica serves which subscription, and the tasks that serve them.

In reading order: `lease_manager` holds a fair share of the shards by Leases and hands each shard to
the `supervisor`, which runs one task per subscription of the shards that are held.
"""
