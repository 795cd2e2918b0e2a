"""Manifests for fake controllers, as small as the real CRDs allow."""

from collections.abc import Mapping, Sequence

from support.fake_controllers.resources import (
    EXTERNAL_SECRET,
    INFISICAL_SECRET,
    ROLLOUT,
    STATIC_SECRET,
    Object,
    Resource,
)


def infisical_secret(name: str, namespace: str, *secrets: str, **spec: object) -> Object:
    """Return an InfisicalSecret of one Secret by the older field, or of several by the newer one."""
    references = [{"secretName": secret, "secretNamespace": namespace} for secret in secrets]
    managed = (
        {"managedSecretReference": references[0]}
        if len(references) == 1
        else {"managedKubeSecretReferences": references}
    )
    sync = {"syncConfig": {"resyncInterval": "60s"}}
    return _manifest(INFISICAL_SECRET, name, namespace, {**managed, **sync, **spec})


def static_secret(
    name: str, namespace: str, *secrets: str, metadata: Mapping[str, object] | None = None, **spec: object
) -> Object:
    """Return an InfisicalStaticSecret of some Secrets; `metadata` is that of each target."""
    own = {"metadata": metadata} if metadata else {}
    targets = [
        {"name": secret, "namespace": namespace, "kind": "Secret", "creationPolicy": "Owner", **own}
        for secret in secrets
    ]
    usual: Object = {
        "infisicalAuthRef": {"name": "auth", "namespace": namespace},
        "syncOptions": {"refreshInterval": "1h", "instantUpdates": False},
        "sources": [{"projectId": "p", "environmentSlug": "prod", "secretPath": "/payments"}],
        "targets": targets,
    }
    return _manifest(STATIC_SECRET, name, namespace, usual | spec)


def external_secret(name: str, namespace: str, secret: str | None = None, **spec: object) -> Object:
    """Return an ExternalSecret of a Secret, by default of its own name."""
    usual: Object = {
        "secretStoreRef": {"name": "infisical", "kind": "SecretStore"},
        "dataFrom": [{"find": {"name": {"regexp": ".*"}}}],
        "target": {"name": secret} if secret else {},
    }
    return _manifest(EXTERNAL_SECRET, name, namespace, usual | spec)


def rollout(name: str, namespace: str, *, secrets: Sequence[str] = (), **spec: object) -> Object:
    """Return a Rollout of two pods with environment variables from Secrets."""
    env = [{"secretRef": {"name": secret}} for secret in secrets]
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "pause", "envFrom": env}]},
    }
    usual: Object = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": name}},
        "strategy": {"canary": {}},
        "template": template,
    }
    return _manifest(ROLLOUT, name, namespace, usual | spec)


def _manifest(resource: Resource, name: str, namespace: str, spec: Object) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
