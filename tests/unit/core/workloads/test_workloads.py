"""A workload's say: whether it opted in, what concerns it, and when it is held."""

from dataclasses import replace

import pytest

from infisical_events.api import annotations
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.workloads.workload_state import with_template_of, workload_state_of
from infisical_events.core.workloads.workloads import (
    matching_changes,
    paired,
    template_owner_of,
    workload_filter_of,
)
from support.builders import CREATE, DELETE, IMPORT, ROLLOUT, UPDATE, a_change, a_workload

CHANGE = a_change("DB_URL", UPDATE, path="/a/b")


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"auto_reload": "true"}, True),
        ({"auto_reload": "True"}, True),
        ({"auto_reload": "yes"}, True),
        ({"auto_reload": " ON "}, True),
        ({"auto_reload": "1"}, True),
        ({"auto_reload": "ture"}, False),
        ({"auto_reload": ""}, False),
        ({"auto_reload": "ture", "subscription": "payments"}, True),
        ({"auto_reload": "false", "subscription": "payments"}, False),
        ({"auto_reload": "No", "subscription": "payments"}, False),
        ({"auto_reload": "true", "subscription": "mail"}, False),
        ({"auto_reload": "true", "subscription": " mail , payments "}, True),
        ({"auto_reload": "true", "subscription": " , "}, True),
        ({"auto_reload": "true", "subscription": "pay"}, False),
    ],
)
def test_a_workload_opts_in(annotations: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a table
    """To all subscriptions by `auto-reload: "true"`, or by name to some alone; a false opts out of all."""
    assert a_workload(**annotations).is_subscribed_to("payments") is expected


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "yes", "y", "on", "1", "t", " true", "Yes\n"])
def test_a_workload_is_paused(text: str) -> None:
    """By every boolean that users of YAML write."""
    assert a_workload(paused=text).is_paused


@pytest.mark.parametrize("text", ["false", "False", "no", "N", "off", "0", "f", " false "])
def test_a_workload_is_not_paused(text: str) -> None:
    """By every opposite, and without the annotation."""
    assert not a_workload(paused=text).is_paused
    assert not a_workload().is_paused


@pytest.mark.parametrize("text", ["", "ture", "2", "until Friday", "null"])
def test_a_pause_that_is_not_understood_holds(text: str) -> None:
    """A person meant to hold restarts: none is made until the text is understood."""
    assert a_workload(paused=text).is_paused


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"events": "secret:update"},
        {"events": "secret:create, secret:update"},
        {"environment": "prod"},
        {"environment": "dev,prod"},
        {"secret_path": "/a/**"},
        {"secret_path": " /{a,c}/b "},
        {"secret_keys": "DB_*"},
        {"secret_keys": "API_*, DB_*, !DB_OLD"},
        {"events": "", "environment": " ", "secret_path": ",", "secret_keys": ""},
    ],
)
def test_what_a_workload_names_concerns_it(annotations: dict[str, str]) -> None:
    """Each annotation that is left out or empty narrows nothing."""
    assert matching_changes(a_workload(**annotations), [CHANGE]) == (CHANGE,)
    assert workload_filter_of(a_workload(**annotations)).mistakes == ()


@pytest.mark.parametrize(
    "annotations",
    [
        {"events": "secret:delete"},
        {"environment": "dev"},
        {"secret_path": "/a"},
        {"secret_keys": "API_*"},
        {"secret_keys": "!DB_*"},
        {"events": "secret:update", "environment": "prod", "secret_path": "/a/**", "secret_keys": "API_*"},
    ],
)
def test_what_a_workload_leaves_out_does_not_concern_it(annotations: dict[str, str]) -> None:
    """One annotation that does not fit is enough."""
    assert matching_changes(a_workload(**annotations), [CHANGE]) == ()


@pytest.mark.parametrize(
    "change",
    [
        a_change(ANY_KEY, IMPORT, path="/a"),
        a_change(ANY_KEY, path="/**"),
        a_change("DB_A", IMPORT, path="/**"),
    ],
)
def test_what_nobody_can_name_concerns_all_whom_it_may(change: Change) -> None:
    """A key or a folder that is not known may be the one that a workload waits for."""
    assert matching_changes(a_workload(secret_keys="DB_*", secret_path="/a"), [change]) == (change,)


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"events": "secret:rename"}, "events: write some of secret:create, secret:update, secret:delete"),
        ({"events": "secret:update,update"}, "events: write some of secret:create"),
        ({"secret_path": "a"}, "secret-path: the path glob 'a' must start with '/'"),
        ({"secret_path": "/a,/b"}, "secret-path: the path glob '/a,/b' "),
        ({"secret_keys": "a b"}, "secret-keys: the key pattern 'a b' "),
    ],
)
def test_a_mistake_narrows_nothing(annotations: dict[str, str], told: str) -> None:
    """A restart too many is better than one too few; the mistake is told with its annotation."""
    workload = a_workload(**annotations)
    (mistake,) = workload_filter_of(workload).mistakes

    assert mistake.startswith(f"annotation events.infisical.com/{told}")
    assert matching_changes(workload, [CHANGE]) == (CHANGE,)


def test_every_mistake_is_told() -> None:
    """One that is made beside another one does not hide it; what can be read still narrows."""
    workload = a_workload(events="update", secret_path="a", secret_keys="DB_*")

    assert len(workload_filter_of(workload).mistakes) == 2
    assert matching_changes(workload, [a_change("DB_A", DELETE), a_change("API_KEY", CREATE)]) == (
        a_change("DB_A", DELETE),
    )


# -- a Rollout and the Deployment whose pod template it uses -------------------------------------------


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
