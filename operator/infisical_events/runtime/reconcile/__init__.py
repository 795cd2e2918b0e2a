"""Reads of Infisical, and the pending restarts that follow from them.

In reading order: `reconcile_loop` (when to read and when to restart), `reconciler` (one read: apply, plan,
store), `snapshot_reader` (what to read, by the mode of the spec), `missing_scope_resolver` (folders that a
read did not find) and `reconcile_report` (reports on reads).
"""
