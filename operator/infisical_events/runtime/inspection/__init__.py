"""Reports mistakes in the annotations of workloads soon after a workload appears or changes.

`annotation_inspector` decides when a workload is checked and reports what is found, `workload_watcher`
watches the workloads for it. Without the right to watch workloads, the mistakes are only reported when a
change in Infisical is found.
"""
