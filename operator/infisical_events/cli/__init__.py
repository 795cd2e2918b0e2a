"""The command line `infisical-events`: the operator, and what people ask about their subscriptions.

`commands` has the group and loads one command at a time; `run_command` runs the operator, and alone needs its
packages. The commands for people use the rights of a kubeconfig: `cluster_access` opens it, `output` prints
tables, JSON or YAML, and `exit_codes` tells scripts how it went. `infisical_access` opens Infisical with the
credentials of a user or of a subscription. `listen_command` prints events. `doctor_command` makes checks:
`checklist` runs them, `cluster_checks` has those of the cluster and `infisical_checks` those of Infisical.
"""
