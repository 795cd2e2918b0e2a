"""Restarts Kubernetes workloads when Infisical secrets change."""
