"""What a workload carries to show for which revision it was restarted."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.ledger.ledger import PendingRestart
from infisical_events.core.restarts.restart_records import (
    RestartCause,
    RestartRecord,
    Unconfirmed,
    coverage_patch,
    described_changes,
    pod_content_of,
    restart_patch,
    restart_record_of,
    revision_of,
)
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload
from support.builders import (
    CREATE,
    DELETE,
    ROLLOUT,
    START,
    UPDATE,
    a_change,
    a_ledger,
    a_pending_restart,
    a_record,
    a_workload,
    at,
    patched,
)
from support.strategies import json_values, texts

epochs = st.sampled_from(["epoch", "other", "e.p", "", "1"])
HOSTILE = [
    "",
    "null",
    "[]",
    "{}",
    "{",
    "1",
    '"2026-01-02T03:04:05Z"',
    "[" * 100_000,
    '{"stamps": {}}',
    '{"time": null, "stamps": {}}',
    '{"time": 1767323045, "stamps": {}}',
    '{"time": "yesterday", "stamps": {}}',
    '{"time": "2026-01-02T03:04:05Z"}',
    '{"time": "2026-01-02T03:04:05Z", "stamps": 1}',
    '{"time": "2026-01-02T03:04:05Z", "stamps": [1]}',
    '{"time": "9999-12-31T23:59:59-12:00", "stamps": {}}',
    f'{{"time": "2026-01-01T00:00:00Z", "stamps": {{}}, "x": "{"x" * 70_000}"}}',
    '{"time": "0001-01-01T00:00:00+12:00", "stamps": {}}',
]


def test_a_workload_that_was_never_restarted() -> None:
    """Without the annotation there is no restart and no stamp."""
    assert restart_record_of(a_workload()) == RestartRecord(None, {})


@pytest.mark.parametrize("text", HOSTILE)
def test_a_receipt_that_cannot_be_read_is_none(text: str) -> None:
    """Whatever somebody wrote into the annotation, it counts as never restarted."""
    assert restart_record_of(a_workload(last_restart=text)) == RestartRecord(None, {})


@given(st.builds(json.dumps, json_values) | texts)
def test_any_annotation_can_be_read(text: str) -> None:
    """No text in the annotation raises anything, here or where it is asked for."""
    workload = a_workload(last_restart=text)

    assert restart_record_of(workload).time is None or restart_record_of(workload).time.tzinfo is not None
    assert not restart_record_of(workload).has_revision("payments", "epoch", 1)


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T04:04:05+01:00"])
def test_the_time_of_a_receipt_is_in_utc(text: str) -> None:
    """A time without a zone is taken for UTC, as the operator writes it."""
    assert restart_record_of(a_workload(last_restart=a_record(text))).time == START


@given(epochs, epochs, st.integers(0, 9), st.integers(0, 9))
def test_a_stamp_pays_for_all_before_it(epoch: str, other: str, paid: int, asked: int) -> None:
    """A stamp for one sequence number pays for all up to it, and for none of another epoch."""
    workload = a_workload(last_restart=a_record(payments=revision_of(epoch, paid)))

    record = restart_record_of(workload)
    assert record.has_revision("payments", other, asked) == (epoch == other and asked <= paid)
    assert not record.has_revision("mail", epoch, asked)


@pytest.mark.parametrize("seq", ["", " 1", "+1", "-1", "1.0", "0x1", "1_0", "²", "٣", "9" * 5000])
def test_a_stamp_that_nobody_wrote_pays_nothing(seq: str) -> None:
    """Only a plain number behind the epoch is a stamp."""
    record = restart_record_of(a_workload(last_restart=a_record(payments=f"epoch.{seq}")))
    assert not record.has_revision("payments", "epoch", 1)


def test_a_restart_is_one_patch() -> None:
    """It names the object and version it was planned on, and writes both receipts and nothing else."""
    workload, pending = (
        a_workload(),
        a_pending_restart("web", 7, a_change("A"), a_change("B", CREATE, path="/b")),
    )

    patch = restart_patch(workload, RestartCause(pending, "payments", "epoch"), at(9))
    last_restart = patch["metadata"]["annotations"].pop("events.infisical.com/last-restart")
    change_cause = patch["metadata"]["annotations"].pop("kubernetes.io/change-cause")

    assert change_cause == "infisical-events: secret:create,secret:update prod:/a,/b A,B"
    assert patch == {
        "metadata": {"uid": workload.uid, "resourceVersion": workload.resource_version, "annotations": {}},
        "spec": {
            "template": {"metadata": {"annotations": {"events.infisical.com/revision-payments": "epoch.7"}}}
        },
    }
    assert json.loads(last_restart) == {
        "time": "2026-01-02T03:04:14+00:00",
        "stamps": {"payments": "epoch.7"},
        "subscription": "payments",
        "event": "secret:create,secret:update",
        "environmentSlug": "prod",
        "secretPath": "/a,/b",
        "keys": ["A", "B"],
    }


@given(st.integers(1, 99), st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_repeated_patch_makes_no_second_rollout(seq: int, later: timedelta) -> None:
    """The same debt patched again, however late, leaves the pod template as it is."""
    pending = a_pending_restart("web", seq)
    first = restart_patch(a_workload(), RestartCause(pending, "payments", "epoch"), START)
    second = restart_patch(
        patched(a_workload(), first), RestartCause(pending, "payments", "epoch"), START + later
    )

    assert second["spec"] == first["spec"]


def test_a_newer_debt_makes_a_new_rollout() -> None:
    """Another sequence number, another epoch or another subscription changes the template."""
    specs = [
        restart_patch(a_workload(), RestartCause(a_pending_restart("web", seq), subscription, epoch), START)[
            "spec"
        ]
        for seq, subscription, epoch in [(1, "a", "x"), (2, "a", "x"), (1, "b", "x"), (1, "a", "y")]
    ]

    assert len({json.dumps(spec) for spec in specs}) == 4


def test_a_restart_keeps_the_stamps_of_its_neighbours() -> None:
    """A workload of two subscriptions carries a receipt for each."""
    workload = a_workload(last_restart=a_record(mail="other.3", payments="epoch.1"))
    restarted = patched(
        workload,
        restart_patch(workload, RestartCause(a_pending_restart("web", 2), "payments", "epoch"), at(5)),
    )

    assert restart_record_of(restarted) == RestartRecord(
        at(5), {"mail": "other.3", "payments": "epoch.2"}, subscription="payments"
    )


def test_a_restart_before_the_secrets_were_fresh_says_so() -> None:
    """Until the next one for the same subscription with fresh ones."""
    cause = RestartCause(a_pending_restart(), "payments", "epoch", unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT)
    stale = patched(a_workload(), restart_patch(a_workload(), cause, START))
    others = patched(
        stale, restart_patch(stale, replace(cause, subscription="mail", unconfirmed=None), START)
    )
    mended = patched(others, restart_patch(others, replace(cause, unconfirmed=None), START))

    unconfirmed = [restart_record_of(workload).unconfirmed for workload in (stale, others, mended)]
    assert unconfirmed == [
        {"payments": Unconfirmed.PROVIDER_TIMED_OUT},
        {"payments": Unconfirmed.PROVIDER_TIMED_OUT},
        {},
    ]


def test_somebodys_rollout_is_noted_and_is_no_restart() -> None:
    """The content of the Secrets alone is new in the metadata; no template and no time changes."""
    never = a_workload()
    restarted = patched(
        never, restart_patch(never, RestartCause(a_pending_restart(), "payments", "epoch", {"a": "1"}), START)
    )

    for workload, secrets in ((never, {"env": "2"}), (restarted, {"a": "1", "env": "2"})):
        patch = coverage_patch(workload, {"env": "2"})
        before, after = restart_record_of(workload), restart_record_of(patched(workload, patch))
        assert list(patch) == ["metadata"]
        assert after == replace(before, content_fingerprints=secrets, subscription="")


def test_a_receipt_names_few_keys() -> None:
    """A person reads it: twenty keys, and an asterisk for the rest."""
    many = tuple(a_change(f"KEY_{number:02}", DELETE, path="/**") for number in range(21))
    told = described_changes(many)

    assert told["keys"] == [*(f"KEY_{number:02}" for number in range(20)), "*"]
    assert (told["event"], told["environmentSlug"], told["secretPath"]) == ("secret:delete", "prod", "/**")
    assert described_changes(many[:20])["keys"] == [change.key for change in many[:20]]
    assert described_changes((a_change("A", UPDATE), a_change("A", UPDATE, environment="dev")))[
        "environmentSlug"
    ] == ("dev,prod")


def test_the_content_of_a_restart_counts_while_the_template_has_its_revision() -> None:
    """After it was taken back some pods may be old, whatever the record says."""
    cause = RestartCause(a_pending_restart(), "payments", "epoch", {"env": "key:new"})
    restarted = patched(a_workload(), restart_patch(a_workload(), cause, at(5)))
    ledger = replace(a_ledger(), content_fingerprints={"env": "key:old"})
    revision = {"events.infisical.com/revision-payments": cause.revision}

    in_force = pod_content_of(WorkloadState(restarted, template_annotations=revision), cause.pending, ledger)
    taken_back = pod_content_of(WorkloadState(restarted), cause.pending, ledger)

    assert (in_force.content_fingerprints, taken_back.content_fingerprints) == ({"env": "key:new"}, {})


@pytest.mark.parametrize("unconfirmed", Unconfirmed)
def test_a_watched_restart_that_is_taken_back_has_its_own_content(unconfirmed: Unconfirmed) -> None:
    """It waits for other content. Else each patch that a policy strips would be made again at once."""
    pending = replace(a_pending_restart(), unconfirmed=unconfirmed)
    cause = RestartCause(pending, "payments", "epoch", {"env": "key:new"}, unconfirmed)
    restarted = patched(a_workload(), restart_patch(a_workload(), cause, at(5)))

    watched = pod_content_of(WorkloadState(restarted), pending, a_ledger())
    made_again = pod_content_of(WorkloadState(restarted), replace(pending, reverts=1), a_ledger())

    assert (watched.content_fingerprints, made_again.content_fingerprints) == ({"env": "key:new"}, {})


def test_a_rollout_shows_its_restart_outside_of_the_template() -> None:
    """The template of an Argo Rollout never has the revision."""
    workload = a_workload(kind=ROLLOUT)
    cause = RestartCause(a_pending_restart(), "payments", "epoch", {"env": "key:new"})
    restarted = patched(workload, restart_patch(workload, cause, at(5)))

    known = pod_content_of(WorkloadState(restarted), cause.pending, a_ledger()).content_fingerprints
    assert known == {"env": "key:new"}


def test_content_that_a_rollout_of_others_covers_is_known() -> None:
    """Its template needs no revision: the covered restart was never made, or taken back before."""
    cause = RestartCause(a_pending_restart(), "payments", "epoch", {"env": "key:new"})
    restarted = patched(a_workload(), restart_patch(a_workload(), cause, at(5)))
    covered = patched(restarted, coverage_patch(restarted, {"env": "key:newer"}))

    known = pod_content_of(WorkloadState(covered), cause.pending, a_ledger()).content_fingerprints
    assert known == {"env": "key:newer"}


def change_cause(workload: Workload, pending: PendingRestart) -> str | None:
    """What a restart writes for `kubectl rollout history`; None if it writes nothing."""
    patch = restart_patch(workload, RestartCause(pending, "payments", "epoch"), at(9))
    written: str | None = patch["metadata"]["annotations"].get("kubernetes.io/change-cause")
    return written


def test_rollout_history_names_the_cause() -> None:
    """Our own cause is renewed, bounded; what somebody else wrote there is left alone."""
    pending, workload = a_pending_restart("web", 7, a_change("A" * 253)), a_workload()
    ours = replace(workload, annotations={"kubernetes.io/change-cause": "infisical-events: requested"})
    theirs = replace(workload, annotations={"kubernetes.io/change-cause": "image v2"})

    assert change_cause(workload, pending) == f"infisical-events: secret:update prod:/a {'A' * 253}"
    assert change_cause(ours, replace(pending, is_requested=True)) == (
        "infisical-events: requested by restart-at"
    )
    assert change_cause(theirs, pending) is None
    assert change_cause(replace(workload, kind=ROLLOUT), pending) is None
