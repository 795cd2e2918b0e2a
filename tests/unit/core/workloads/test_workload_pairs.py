"""A Rollout and the Deployment whose pod template it uses."""

from dataclasses import replace

from infisical_events.api import annotations
from infisical_events.core.workloads.workload_pairs import paired, template_owner_of, with_template_of
from infisical_events.core.workloads.workload_state import workload_state_of
from support.builders import ROLLOUT, a_workload


def test_only_the_rollout_of_a_pair_is_left() -> None:
    """With the annotations of both, its own first, and without the Deployment's restart record."""
    rollout = replace(a_workload("canary", ROLLOUT, wave="2"), template_owner="web")
    record = {annotations.LAST_RESTART: "{}", annotations.PAUSED: "true", annotations.WAVE: "1"}
    deployment = replace(a_workload("web"), annotations=record)
    other = a_workload("mail")

    joined, alone = paired([deployment, other, rollout][::-1])

    assert (joined.name, alone) == ("canary", other)
    assert (joined.wave, joined.is_paused) == (2, True)
    assert annotations.LAST_RESTART not in joined.annotations


def test_a_rollout_without_its_deployment() -> None:
    """It stays as it is; what it would use is named as not read."""
    rollout = replace(a_workload("canary", ROLLOUT), template_owner="gone")
    reference = {"kind": "Deployment", "name": "gone"}
    raw = {"metadata": {"generation": 1}, "spec": {"workloadRef": reference}}

    assert paired([rollout]) == (rollout,)
    assert workload_state_of(rollout, with_template_of(raw, None)).untracked_volumes == (
        "the pod template of deployment/gone",
    )


def test_other_kinds_are_no_pair() -> None:
    """A template of a ReplicaSet is not read."""
    assert template_owner_of({"spec": {"workloadRef": {"kind": "ReplicaSet", "name": "x"}}}) == ""
    assert template_owner_of({"spec": {"workloadRef": {"kind": "Deployment", "name": "x"}}}) == "x"
    assert template_owner_of({"metadata": {}}) == ""
