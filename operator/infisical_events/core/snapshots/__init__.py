"""What Infisical reports, as values: events from the stream, snapshots from reads, and changes from both.

`events` decodes frames of the stream. `snapshots` holds the state of folders by ids, versions and keyed
digests. `changes` computes from two states of one partition the value that flows to the workloads, and
`selectors` tells which changes a spec or a workload selects.
"""
