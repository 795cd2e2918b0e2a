"""Bringing the Secrets of workloads up to date before they are restarted.

In reading order: `sync_coordinator` gathers what is known of a workload's Secrets and requests their
providers to sync; `sync_request_log` bounds these requests; `secret_cache` reads each Secret once per round;
`managed_secret_writer` writes the Secrets of `spec.resync.secrets`, and `drift_corrector` writes those again
that other clients change.
"""
