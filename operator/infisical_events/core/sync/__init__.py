"""Kubernetes Secrets and what keeps them in sync with Infisical.

`secret_metadata` is a Secret without its values, and `secret_ownership` decides which subscription may write
it. `secret_stores` and `external_secrets` say where the data of an ExternalSecret come from,
`secret_providers` reads the objects of other controllers that write Secrets, and `unlisted_writers` stands in
where none is found. `sync_requests` is the annotation protocol that asks them to sync, `sync_state` evaluates
one provider and `workload_sync_state` all those of one workload; `sibling_secrets` evaluates the Secrets of
other subscriptions, and `server_wait` is time that does not count against their timeout.
`managed_secret_content` computes the Secrets that this operator writes itself, with `templates` for their
keys and values, and `value_digests` makes keyed digests of values.
"""
