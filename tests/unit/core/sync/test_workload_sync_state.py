"""The Secrets of one workload, all of their sources taken together."""

from dataclasses import replace
from datetime import timedelta

import pytest

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.ledger import Unconfirmed
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.sync.sync_requests import PodContent
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.sync.workload_sync_state import (
    ManagedSecretState,
    ProviderState,
    WorkloadSecrets,
    combine,
    may_affect,
    sync_state_of,
)
from support.builders import UPDATE, a_folder, a_ledger, a_pending_restart, a_scope, at

SILENT, OVERDUE, CHANGED, SAME = (
    SyncState.UNRESPONSIVE,
    SyncState.TIMED_OUT,
    SyncState.CHANGED,
    SyncState.UNCHANGED,
)
WAITING, UNASKED, REJECTED = SyncState.WAITING, SyncState.NOT_REQUESTED, SyncState.REJECTED


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ((SAME,), SAME),
        ((SAME, CHANGED), CHANGED),
        ((CHANGED, WAITING), WAITING),
        ((CHANGED, UNASKED, WAITING), UNASKED),
        ((CHANGED, OVERDUE), OVERDUE),
        ((CHANGED, SILENT), CHANGED),
        ((SAME, SILENT), OVERDUE),
        ((SILENT,), OVERDUE),
        ((SILENT, CHANGED, OVERDUE), OVERDUE),
        ((REJECTED,), REJECTED),
        ((SAME, REJECTED), REJECTED),
        ((SILENT, REJECTED), REJECTED),
        ((CHANGED, REJECTED), CHANGED),
        ((REJECTED, WAITING), WAITING),
        ((REJECTED, OVERDUE), OVERDUE),
    ],
)
def test_what_the_sources_are_together(states: tuple[SyncState, ...], together: SyncState) -> None:
    """All have to have synced; a silent one is believed where another one's content explains the change."""
    answers = [ProviderState(f"ExternalSecret {state.name}", state) for state in states]

    assert combine(answers, {}, ()).state is together


def test_who_may_still_answer() -> None:
    """The hope is that of the sources which are late; where none may answer any more there is none."""
    late = ProviderState("ExternalSecret a", OVERDUE, max_wait=timedelta(hours=1))
    dead = ProviderState("ExternalSecret b", OVERDUE, "it never syncs again", timedelta())
    fresh = ProviderState("ExternalSecret c", CHANGED)

    assert (combine([late, dead, fresh], {}, ()).max_wait, combine([late], {}, ()).unconfirmed) == (
        late.max_wait,
        Unconfirmed.PROVIDER_TIMED_OUT,
    )
    assert combine([dead, fresh], {}, ()).unconfirmed is None
    assert combine([fresh], {}, ()).unconfirmed is None


@pytest.mark.parametrize("state", [CHANGED, SAME])
def test_content_that_nobody_answers_for(state: SyncState) -> None:
    """Is taken for what is newest, and perhaps is not; also beside a source that never answers again."""
    guess = ProviderState("InfisicalSecret a", state, max_wait=timedelta(hours=1), is_proven=False)
    fresh = ProviderState("ExternalSecret c", CHANGED)
    dead = ProviderState("ExternalSecret b", OVERDUE, "it never syncs again", timedelta())

    assert (combine([guess], {}, ()).state, combine([guess], {}, ()).unconfirmed) == (
        state,
        Unconfirmed.PROVIDER_SILENT,
    )
    assert (combine([guess, fresh], {}, ()).state, combine([guess, fresh], {}, ()).unconfirmed) == (
        CHANGED,
        Unconfirmed.PROVIDER_SILENT,
    )
    assert combine([dead, guess], {}, ()).unconfirmed is Unconfirmed.PROVIDER_TIMED_OUT


def test_no_source_at_all() -> None:
    """That is said, with what is not followed."""
    assert combine([], {}, ()).state is None
    assert "CSI" in combine([], {}, ["CSI volume"]).note


OWN = ManagedSecretState("env", "k:new", is_written=True)
UNWRITTEN = ManagedSecretState("env", "k:old", is_written=False)
_REFUSED = replace(UNWRITTEN, is_rejected=True)


@pytest.mark.parametrize(
    ("managed", "pods_have", "state"),
    [
        (OWN, "k:new", SAME),
        (OWN, "k:old", CHANGED),
        (OWN, "", CHANGED),
        (UNWRITTEN, "k:old", WAITING),
        (_REFUSED, "k:old", REJECTED),
        (_REFUSED, "", REJECTED),
        (_REFUSED, "k:older", CHANGED),
        (replace(_REFUSED, is_affected=False), "k:old", SAME),
        (replace(_REFUSED, is_affected=False), "k:older", CHANGED),
        (replace(UNWRITTEN, is_affected=False), "k:old", SAME),
    ],
    ids=[
        "the pods have it",
        "it is new",
        "nobody knows what the pods have",
        "not written yet",
        "rejected",
        "rejected, nobody knows what the pods have",
        "rejected after an earlier change that the pods do not have",
        "rejected, for another folder than that of the change",
        "the same, and the pods do not have an earlier change",
        "not written yet, for another folder than that of the change",
    ],
)
def test_a_secret_that_a_subscription_writes(
    managed: ManagedSecretState, pods_have: str, state: SyncState
) -> None:
    """Data that has not changed is no reason for a restart; data that has changed is one in any case."""
    content = PodContent({"env": pods_have} if pods_have else {})
    secrets = WorkloadSecrets(a_pending_restart(), content, timedelta(seconds=60), managed=(managed,))

    assert sync_state_of(secrets, at(1)).state is state


def test_a_restart_beside_a_rejected_secret_is_unconfirmed() -> None:
    """So it is made again when the Secret is written; a rejected Secret of another folder is no reason."""
    other = replace(OWN, name="other")
    for managed, unconfirmed in (
        (_REFUSED, Unconfirmed.PROVIDER_TIMED_OUT),
        (replace(_REFUSED, is_affected=False), None),
    ):
        secrets = WorkloadSecrets(
            a_pending_restart(), PodContent({"env": "k:old"}), timedelta(seconds=60), managed=(managed, other)
        )
        assert sync_state_of(secrets, at(1)).unconfirmed is unconfirmed


@pytest.mark.parametrize(
    ("folder", "is_affected"), [("/a", True), ("/a/b", True), ("/c", False), ("/elsewhere", True)]
)
def test_which_secrets_a_change_may_be_in(folder: str, is_affected: bool) -> None:  # noqa: FBT001 - a case
    """Those made from its folder; of a folder that is not watched, nobody knows what it imports."""
    ledger = a_ledger(scopes=[a_scope("/a/**"), a_scope("/c")])
    pending = a_pending_restart("web", 1, Change(a_scope("/a/**"), "K", frozenset({EventType(UPDATE)})))

    assert may_affect(a_folder(folder), pending, ledger) is is_affected
