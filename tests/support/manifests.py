"""Manifests of the example that the cluster tests share: a subscription, its credentials and a workload."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Manifest = dict[str, Any]
EVERY_EVENT = ("secret:create", "secret:update", "secret:delete", "secret:import-mutation")


class InfisicalAccess(Protocol):
    """Where an Infisical is, and the credentials of its ready-made identity."""

    @property
    def url(self) -> str:
        """The address that subscriptions use."""

    @property
    def project_id(self) -> str:
        """The ready-made project."""

    @property
    def client_id(self) -> str:
        """The client id of the identity."""

    @property
    def client_secret(self) -> str:
        """The client secret of the identity."""


def subscription(
    infisical: InfisicalAccess,
    name: str = "payments",
    *,
    events: Sequence[str] = EVERY_EVENT,
    conditions: Mapping[str, Any] | None = None,
    **spec: object,
) -> Manifest:
    """Return a subscription to /payments/** in prod; `spec` replaces fields, None removes a field."""
    where = conditions or {"environmentSlug": "prod", "secretPath": "/payments/**"}
    usual: Manifest = {
        "address": infisical.url,
        "projectId": infisical.project_id,
        "authentication": {
            "universalAuth": {
                "clientIdRef": {"name": "infisical-credentials", "key": "clientId"},
                "clientSecretRef": {"name": "infisical-credentials", "key": "clientSecret"},
            }
        },
        "events": [{"event": event, "conditions": where} for event in events],
        "debounceSeconds": 0,
        "cooldownSeconds": 0,
    }
    return {
        "apiVersion": "events.infisical.com/v1alpha1",
        "kind": "InfisicalEventSubscription",
        "metadata": {"name": name},
        "spec": {key: value for key, value in (usual | spec).items() if value is not None},
    }


def credentials(infisical: InfisicalAccess, **data: str) -> Manifest:
    """Return the Secret that the usual subscription names; `data` replaces values."""
    usual = {"clientId": infisical.client_id, "clientSecret": infisical.client_secret}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "infisical-credentials"},
        "stringData": usual | data,
    }


def workload(
    name: str = "api", kind: str = "Deployment", annotations: Mapping[str, str] | None = None
) -> Manifest:
    """Return a workload of two pods that opted in, or with other `annotations`."""
    opted_in = {"events.infisical.com/auto-reload": "true"}
    spec: Manifest = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "pause"}]},
        },
    }
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "StatefulSet":
        spec["serviceName"] = name
    metadata = {"name": name, "annotations": dict(opted_in if annotations is None else annotations)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}
