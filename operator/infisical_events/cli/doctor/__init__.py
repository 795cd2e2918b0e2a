"""`infisical-events doctor`: what a subscription needs, checked step by step.

`doctor_command` is the command: `checklist` makes the checks in order and skips those that an earlier failure
makes pointless, `cluster_checks` has those of the cluster, and `infisical_checks` those of Infisical.
"""
