"""The custom resource as types: names, spec, status and annotations. Imports nothing of the project.

In reading order: `resources` has the names under which Kubernetes knows the custom resource and the
workloads; `specs` is what a user declares; `statuses` is what the operator reports; `annotations` are the
annotations of workloads, subscriptions, Secrets and secret providers.
"""
