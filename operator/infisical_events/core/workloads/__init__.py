"""Workloads as the API server stores them: what they ask for, what their pods use, how far they roll out.

`workloads` reads the metadata of a workload and its filters, and joins an Argo Rollout with the Deployment of
its pod template; `annotation_checks` finds mistakes in annotations. `pod_states` reads one pod,
`rollout_progress` how far the rollout of a workload is, and `workload_state` the workload in full, with the
Secrets and ConfigMaps that its pod template names. `other_reloaders` tells whether another tool
restarts it.
"""
