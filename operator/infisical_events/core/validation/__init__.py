"""What is wrong with manifests before they are applied, and which stored spec can be served.

In reading order: `findings` (one mistake and its place), `serving_spec` (what the operator serves),
`manifest_metadata` (names, labels and annotations), `crd_schema` (the structural schema of the CRD),
`cel_rules` (its validation rules), `subscription_checks`, `workload_checks`, and `manifests` (all documents
together). `cel_rules` and `crd_schema` need the extra `cli`, so only the command line imports them.
"""
