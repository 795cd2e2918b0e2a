"""The command line `infisical-events`: the operator, and what people ask about their subscriptions.

`commands` has the group and loads one command at a time; `run_command` runs the operator, and alone needs its
packages. `validate_command` checks manifests, which `manifest_files` reads. The other commands for people use
the rights of a kubeconfig: `cluster_access` opens it, `output` prints tables, JSON or YAML, and `exit_codes`
tells scripts how it went.
"""
