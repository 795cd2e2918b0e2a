"""An Argo Rollout that takes its pod template from a Deployment (`spec.workloadRef`): both are one workload.

The Rollout owns the pods, so it is the one that is restarted. A change of the Deployment's template would
start a canary of the Rollout. Annotations may be on either of them; those of the Rollout come first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from infisical_events.api import annotations
from infisical_events.core.workloads.workloads import Workload

JSONObject = Mapping[str, Any]

_DEPLOYMENT = "Deployment"


def template_owner_of(stored: JSONObject) -> str:
    """The name of the Deployment whose pod template a stored workload uses; empty if it has its own."""
    reference = (stored.get("spec") or {}).get("workloadRef") or {}
    return str(reference.get("name") or "") if reference.get("kind") == _DEPLOYMENT else ""


def paired(workloads: Iterable[Workload]) -> tuple[Workload, ...]:
    """The workloads with each pair as its Rollout."""
    workloads = tuple(workloads)
    deployments = {each.name: each for each in workloads if each.kind.kind == _DEPLOYMENT}
    used = {each.template_owner for each in workloads if each.template_owner}
    return tuple(
        with_annotations_of(each, deployments.get(each.template_owner))
        for each in workloads
        if not (each.kind.kind == _DEPLOYMENT and each.name in used)
    )


def with_annotations_of(rollout: Workload, deployment: Workload | None) -> Workload:
    """The Rollout with the annotations of its Deployment, apart from the restart record."""
    if deployment is None:
        return rollout
    others = {key: text for key, text in deployment.annotations.items() if key != annotations.LAST_RESTART}
    return replace(rollout, annotations={**others, **rollout.annotations})


def with_template_of(rollout: JSONObject, deployment: JSONObject | None) -> JSONObject:
    """The stored Rollout with the pod template and the selector of its stored Deployment."""
    if deployment is None:
        return rollout
    theirs = deployment.get("spec") or {}
    inherited = {name: theirs[name] for name in ("template", "selector") if theirs.get(name)}
    return {**rollout, "spec": {**inherited, **(rollout.get("spec") or {})}}
