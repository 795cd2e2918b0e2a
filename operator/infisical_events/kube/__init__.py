"""The few Kubernetes requests that the operator makes; the only package that imports kubernetes.

`kubernetes_errors` classifies failures, `kubeconfig` finds the cluster, `api_client` makes one request,
`discovery` tells which kinds the cluster serves, and lists each kind by itself. `subscription_client` reads
subscriptions and writes their status, `workload_client` lists and patches workloads, `provider_client` does
so for objects that write Secrets, `secret_client` reads the metadata of Secrets, `managed_secrets` writes
Secrets, and `managed_secret_errors` explains why the API server rejects one. `credential_reader` reads login
credentials, `digest_key_secret` holds the key of value digests, `protected_objects` excludes the operator's
own objects, `lease_client` reads and writes Leases, and `event_recorder` writes Kubernetes Events. The
chart's RBAC grants exactly these requests.
"""
