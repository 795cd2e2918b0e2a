"""The custom resource as types: spec, status, workload annotations. Imports nothing of the project.

`specs` is what a user declares, `statuses` what the operator answers, `annotations` the words on
workloads, `resources` the names under which Kubernetes knows all of it.
"""
