"""Mistakes in the annotations of a workload, each as one sentence that says what to write."""

from dataclasses import replace

import pytest

from infisical_events.api.resources import GROUP
from infisical_events.api.specs import parse_spec
from infisical_events.core.interruptible import run_to_end
from infisical_events.core.workloads.annotation_checks import (
    AnnotatedWorkload,
    WatchedSecrets,
    annotation_mistakes,
    missing_subscriptions,
    placement_mistakes,
    unmatched_names,
    watched_secrets,
)
from infisical_events.core.workloads.workloads import Workload
from support.builders import (
    DELETE,
    a_ledger,
    a_partition,
    a_partition_state,
    a_raw_spec,
    a_workload,
    an_accepted_state,
    an_entry,
)


def annotated(workload: Workload, **places: dict[str, str]) -> AnnotatedWorkload:
    """A workload of namespace `shop`."""
    return AnnotatedWorkload("shop", workload, **places)


def with_keys(**annotations: str) -> Workload:
    """A workload that opted in, with these whole keys; `__` stands for `/`, `_` for `.`."""
    workload = a_workload()
    more = {key.replace("__", "/").replace("_", "."): text for key, text in annotations.items()}
    return replace(workload, annotations={**workload.annotations, **more})


@pytest.mark.parametrize(
    ("annotations", "mistake"),
    [
        ({"auto_reload": "ture"}, "auto-reload: 'ture' is no boolean, so the annotation opts in to nothing"),
        ({"paused": "Friday"}, "paused: 'Friday' is no boolean, so restarts of the workload are held"),
        ({"paused": ""}, "paused: '' is no boolean"),
        ({"ignore_other_reloaders": "never"}, "ignore-other-reloaders: 'never' is no boolean"),
        ({"subscription": " , "}, "subscription names no subscription"),
        ({"action": "restart"}, "action: write one of Restart, Resync, ResyncThenRestart"),
        ({"wave": "first"}, "wave: write a whole number such as 1"),
        ({"secret_keys": "a b"}, "secret-keys: the key pattern 'a b'"),
    ],
)
def test_a_value_that_is_not_understood(annotations: dict[str, str], mistake: str) -> None:
    """The annotation is named, with what it does now and what to write."""
    (found,) = annotation_mistakes(a_workload(**annotations))

    assert found.startswith(f"annotation {GROUP}/{mistake}")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("autoreload", ": did you mean auto-reload?"),
        ("Auto-Reload", ": did you mean auto-reload?"),
        ("secret-key", ": did you mean secret-keys?"),
        ("pause", ": did you mean paused?"),
        ("environments", ": did you mean environment?"),
        ("owner", ""),
    ],
)
def test_an_unknown_annotation_of_the_group(name: str, hint: str) -> None:
    """The nearest one that exists is named."""
    workload = a_workload()
    unknown = replace(workload, annotations={**workload.annotations, f"{GROUP}/{name}": "true"})

    assert annotation_mistakes(unknown) == (f"annotation '{GROUP}/{name}' is unknown{hint}",)


@pytest.mark.parametrize("group", ["event.infisical.com", "infisical.com", "events.infisical.io"])
def test_an_annotation_of_a_misspelt_group(group: str) -> None:
    """A known name below a similar group was meant for this operator."""
    workload = replace(a_workload(), annotations={f"{group}/auto-reload": "true"})

    assert annotation_mistakes(workload) == (
        f"annotation '{group}/auto-reload' has no effect: write {GROUP}/auto-reload",
    )


def test_a_request_on_a_workload() -> None:
    """It belongs on the subscription."""
    (found,) = annotation_mistakes(a_workload(restart_at="now"))

    assert found == f"annotation {GROUP}/restart-at has no effect on a workload: write it on the subscription"


def test_annotations_without_a_mistake() -> None:
    """Those of users, of this operator and of others."""
    workload = a_workload(
        subscription="payments",
        paused="no",
        wave="-1",
        action="Resync",
        last_restart="{}",
        revision_pay="e.1",
    )
    foreign = {"secrets.infisical.com/auto-reload": "true", "kubectl.kubernetes.io/restartedAt": "now"}

    assert annotation_mistakes(replace(workload, annotations={**workload.annotations, **foreign})) == ()


def test_an_annotation_on_the_pod_template() -> None:
    """It has no effect there, but for those of the operator itself."""
    template = {f"{GROUP}/auto-reload": "true", f"{GROUP}/revision-payments": "epoch.1", "team": "shop"}
    found = annotated(replace(a_workload(), annotations={}), template_annotations=template)

    (mistake,) = placement_mistakes(found)
    assert mistake == (
        f"annotation '{GROUP}/auto-reload' has no effect on the pod template: "
        "write it on deployment/web itself"
    )


def test_a_label_instead_of_an_annotation() -> None:
    """It has no effect."""
    found = annotated(replace(a_workload(), annotations={}), labels={f"{GROUP}/auto-reload": "true"})

    assert list(placement_mistakes(found)) == [
        f"label '{GROUP}/auto-reload' has no effect: write it as an annotation of deployment/web"
    ]


def test_filters_without_an_opt_in() -> None:
    """They filter nothing, since nothing restarts the workload."""
    found = annotated(replace(a_workload(), annotations={f"{GROUP}/secret-keys": "DB_*"}))

    assert list(placement_mistakes(found)) == [
        f'the annotations of deployment/web have no effect without {GROUP}/auto-reload: "true"'
    ]


def test_a_subscription_that_does_not_exist() -> None:
    """A similar one is named, else those that exist."""
    prefix = f"annotation {GROUP}/subscription: there is no subscription"

    def mistakes(names: str) -> list[str]:
        return list(missing_subscriptions(annotated(a_workload(subscription=names)), ["payments", "mail"]))

    assert mistakes("payments, payment") == [f"{prefix} 'payment': did you mean payments?"]
    assert mistakes("x") == [f"{prefix} 'x': namespace shop has mail, payments"]
    assert mistakes("mail") == []


def test_a_namespace_without_a_subscription() -> None:
    """Whoever opted in there is never restarted; whoever did not needs to know nothing."""
    (found,) = missing_subscriptions(annotated(a_workload()), [])

    assert found.startswith("namespace shop has no InfisicalEventSubscription")
    assert list(missing_subscriptions(annotated(a_workload(auto_reload="false")), [])) == []


SPEC = parse_spec(a_raw_spec(an_entry(path="/pay/**"), an_entry(DELETE, path="/pay/**")))
LEDGER = a_ledger(
    {
        a_partition("/pay"): an_accepted_state(a_partition_state(DB_URL=1, DB_PASSWORD=1)),
        a_partition("/pay/mail"): an_accepted_state(a_partition_state(SMTP_HOST=1)),
    }
)
WATCHED = watched_secrets("payments", SPEC, LEDGER)
GLOB_HINT = ": write a glob such as DB_*, not a regular expression"


def unmatched(watched: WatchedSecrets = WATCHED, **annotations: str) -> tuple[str, ...]:
    """What names match nothing, without the group of the annotation."""
    found = run_to_end(unmatched_names(a_workload(**annotations), [watched]))
    return tuple(mistake.removeprefix(f"annotation {GROUP}/") for mistake in found)


@pytest.mark.parametrize(
    ("annotations", "mistake"),
    [
        ({"environment": "Production"},
         "environment: 'Production' is no environment that payments watches (prod)"),
        ({"environment": "prod,Prod"},
         "environment: 'Prod' is no environment that payments watches: did you mean prod?"),
        ({"secret_path": "/paymnts/**"}, "secret-path: '/paymnts/**' is no folder that payments watches"),
        ({"secret_keys": "^DB_.*$"},
         f"secret-keys: '^DB_.*$' matches none of 3 keys that payments watches{GLOB_HINT}"),
        ({"secret_keys": "DB_*,db_*"}, "secret-keys: 'db_*' matches none of 3 keys that payments watches"),
        ({"secret_keys": "SMTP_*", "secret_path": "/pay"},
         "secret-keys: 'SMTP_*' matches none of 2 keys that payments watches"),
        ({"events": "secret:create"}, "events: payments selects other events (secret:delete, secret:update)"),
    ],
)  # fmt: skip
def test_a_name_that_matches_nothing(annotations: dict[str, str], mistake: str) -> None:
    """It is named, with what would match."""
    assert unmatched(**annotations) == (mistake,)


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"environment": "prod"},
        {"secret_path": "/pay/mail"},
        {"secret_keys": "DB_*"},
        {"secret_keys": "!DB_*"},
        {"secret_keys": "!OLD_*"},
        {"secret_keys": "[broken"},
        {"events": "secret:update"},
        {"subscription": "another", "environment": "dev"},
    ],
)
def test_names_that_match(annotations: dict[str, str]) -> None:
    """Nothing is said; what excludes may exclude nothing."""
    assert unmatched(**annotations) == ()


def test_keys_that_are_not_known() -> None:
    """Before the first read, or of a folder that is too large, any name may match."""
    compacted = a_partition_state(DB_URL=1).compacted()
    large = watched_secrets("payments", SPEC, a_ledger({a_partition("/pay"): an_accepted_state(compacted)}))

    assert unmatched(watched_secrets("payments", SPEC, None), secret_keys="X_*", environment="prod") == ()
    assert unmatched(large, secret_keys="X_*") == ()
    assert unmatched(watched_secrets("payments", SPEC, None), environment="dev") != ()
