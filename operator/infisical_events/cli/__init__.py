"""The command line `infisical-events`: the operator, and what people ask about their subscriptions.

`commands` has the group and loads one command at a time; `run_command` runs the operator, and alone needs its
packages. `validate_command` checks manifests, which `manifest_files` reads. The other commands for people use
the rights of a kubeconfig: `cluster_access` opens it, `namespace_reader` reads what the explanations need,
`output` prints tables, JSON or YAML, `help_texts` keeps the lines of examples, and `exit_codes` tells scripts
how it went. `status_command`, `explain_command` and `history_command` answer questions; `request_commands`
has what users request of a subscription. `infisical_access` opens Infisical with the credentials of a user or
of a subscription, for `listen_command`, which prints events, and for `doctor`.
"""
