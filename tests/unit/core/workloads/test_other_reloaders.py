"""Which tool restarts a workload for which Secret, by the rules of that tool."""

from dataclasses import replace
from typing import Any

import pytest

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.workloads.other_reloaders import (
    ReadSecret,
    acting_annotation,
    is_marked,
    other_reloader,
)
from infisical_events.core.workloads.workload_state import WorkloadState
from support.builders import DEPLOYMENT, ROLLOUT, a_workload

AUTO = "reloader.stakater.com/auto"
SECRET_AUTO = "secret.reloader.stakater.com/auto"
SEARCH = "reloader.stakater.com/search"
RELOAD = "secret.reloader.stakater.com/reload"
EXCLUDE = "secrets.exclude.reloader.stakater.com/reload"
WAVE = "wave.pusher.com/update-on-config-change"
INFISICAL = "secrets.infisical.com/auto-reload"

ENV = ReadSecret("app-env")
MATCHED = ReadSecret("app-env", {"reloader.stakater.com/match": "true"})
IGNORED = ReadSecret("app-env", {"reloader.stakater.com/ignore": "true"})
FROM_INFISICAL = ReadSecret("app-env", is_from_infisical=True)


def marked(own: dict[str, str], kind: WorkloadKind = DEPLOYMENT, **template: Any) -> WorkloadState:  # noqa: ANN401 - annotations
    """A workload with these annotations of its own."""
    workload = a_workload(kind=kind)
    return WorkloadState(replace(workload, annotations={**workload.annotations, **own}), **template)


@pytest.mark.parametrize("value", ["true", "True", "TRUE", "t", "T", "1"])
@pytest.mark.parametrize("key", [AUTO, SECRET_AUTO])
def test_reloader_reads_booleans_as_go_does(key: str, value: str) -> None:
    """Every spelling of `strconv.ParseBool` switches it on."""
    assert acting_annotation(marked({key: value}), ENV) == key


@pytest.mark.parametrize("value", ["false", "yes", "on", "tRue", " true", ""])
def test_what_reloader_does_not_read_as_true_is_off(value: str) -> None:
    """Also words that this operator understands."""
    assert acting_annotation(marked({AUTO: value}), ENV) == ""


@pytest.mark.parametrize(
    ("own", "secret", "by"),
    [
        ({}, ENV, ""),
        ({RELOAD: "tls"}, ENV, ""),
        ({RELOAD: "tls, app-env"}, ENV, RELOAD),
        ({RELOAD: "app-.*"}, ENV, RELOAD),
        ({RELOAD: "app"}, ENV, ""),
        ({RELOAD: ""}, ENV, ""),
        ({"configmap.reloader.stakater.com/reload": "app-env"}, ENV, ""),
        ({"configmap.reloader.stakater.com/auto": "true"}, ENV, ""),
        ({SEARCH: "true"}, ENV, ""),
        ({SEARCH: "true"}, MATCHED, SEARCH),
        ({SEARCH: "True"}, MATCHED, ""),
        ({AUTO: "true"}, IGNORED, ""),
        ({RELOAD: "app-env"}, IGNORED, ""),
        ({AUTO: "true", EXCLUDE: "tls, app-env"}, ENV, ""),
        ({AUTO: "true", EXCLUDE: "app-.*"}, ENV, AUTO),
        ({RELOAD: "app-env", EXCLUDE: "app-env"}, ENV, ""),
        ({AUTO: "false", SECRET_AUTO: "true"}, ENV, SECRET_AUTO),
        ({AUTO: "false", RELOAD: "app-env"}, ENV, RELOAD),
    ],
)
def test_for_which_secret_reloader_acts(own: dict[str, str], secret: ReadSecret, by: str) -> None:
    """Lists are anchored expressions, exclusions are names, and a search needs a match on the Secret."""
    assert acting_annotation(marked(own), secret) == by


def test_annotations_of_the_pod_template_count_where_the_workload_has_none() -> None:
    """One of them on the workload hides all of the template, whatever its value; exclusions do not."""
    template = {"template_annotations": {AUTO: "true", EXCLUDE: "app-env"}}

    assert acting_annotation(marked({}, **template), ENV) == AUTO
    assert acting_annotation(marked({AUTO: "false"}, **template), ENV) == ""
    assert acting_annotation(marked({RELOAD: "tls"}, **template), ENV) == ""
    assert acting_annotation(marked({EXCLUDE: "app-env"}, **template), ENV) == ""
    assert (
        acting_annotation(marked({"configmap.reloader.stakater.com/auto": "true"}, **template), ENV) == AUTO
    )


def test_wave_acts_on_every_secret_of_its_kinds() -> None:
    """On Deployments, StatefulSets and DaemonSets with exactly "true" on the workload."""
    assert acting_annotation(marked({WAVE: "true"}), ENV) == WAVE
    assert acting_annotation(marked({WAVE: "True"}), ENV) == ""
    assert acting_annotation(marked({WAVE: "true"}, ROLLOUT), ENV) == ""
    assert acting_annotation(marked({}, template_annotations={WAVE: "true"}), ENV) == ""


def test_the_infisical_operator_acts_on_what_it_writes() -> None:
    """Its annotation says nothing about the Secret of an ExternalSecret."""
    assert acting_annotation(marked({INFISICAL: "true"}), FROM_INFISICAL) == INFISICAL
    assert acting_annotation(marked({INFISICAL: "true"}), ENV) == ""
    assert acting_annotation(marked({INFISICAL: "True"}), FROM_INFISICAL) == ""
    assert acting_annotation(marked({INFISICAL: "true"}, ROLLOUT), FROM_INFISICAL) == ""
    assert acting_annotation(marked({}, template_annotations={INFISICAL: "true"}), FROM_INFISICAL) == ""


def test_two_tools_act_on_one_secret_each() -> None:
    """All Secrets have a tool that restarts the workload for them."""
    state = marked({INFISICAL: "true", RELOAD: "tls"})
    tls = ReadSecret("tls")

    assert other_reloader(state, [FROM_INFISICAL, tls]) is not None
    assert other_reloader(state, [ENV, tls]) is None
    assert other_reloader(state, []) is None


def test_only_marked_workloads_have_their_secrets_read() -> None:
    """A mark on the pod template counts, the mark of a ConfigMap does not."""
    assert is_marked(marked({SEARCH: "true"}))
    assert is_marked(marked({}, template_annotations={AUTO: "true"}))
    assert not is_marked(marked({"configmap.reloader.stakater.com/reload": "app"}))
