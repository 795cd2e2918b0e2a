"""The demo (`infisical-sandbox demo`) and the root of the command `infisical-sandbox`.

The demo changes secrets in a local Infisical and checks at the API server which restarts follow. It uses
the operator as a program. Modules in reading order:

- `cli`: the command `infisical-sandbox`; `commands`: its subcommand `demo`
- `runner`: one demo from setup to cleanup
- `environment`: sets up the cluster, the Infisical and the operator, by `kubectl`, `manifests`,
  `infisical_client` and `operator_process`
- `steps`: what the demo shows and checks
- `observer`: waits for events, restarts and rollouts; `object_watch` and `object_views` read the API server
- `report`: the output; `latency`: percentiles
- `state_folder`: the record of everything that was started; `demo_guard`: cleans up after a kill
- `errors`
"""
