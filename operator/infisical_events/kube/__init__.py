"""The few Kubernetes verbs that the operator needs; the only importer of kubernetes.

`connections` finds the cluster, `calls` makes one request, `subscriptions`, `workloads`,
`credentials`, `keeping` and `recording` say what is read and written. RBAC in the chart grants exactly this.
"""
