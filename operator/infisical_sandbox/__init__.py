"""A local Infisical and a local Kubernetes control plane, for demos and tests."""
