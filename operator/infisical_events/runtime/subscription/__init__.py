"""One subscription from its object to its tasks.

In reading order: `runner` (the life cycle: load, serve, retry), `assembly` (the composition root: builds and
runs all parts of one spec), `dependencies` (what the process gives to all subscriptions) and
`login_credentials` (reads credentials in the namespace). `core.validation` says which spec can be served.
"""
