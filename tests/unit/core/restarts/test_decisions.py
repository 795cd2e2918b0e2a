"""The decision about one pending restart, by plain values: one row for every decision and every reason."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, WORKLOAD_KINDS
from infisical_events.api.specs import Action, OnTimeout
from infisical_events.core.ledger.ledger import PendingRestart, Unconfirmed
from infisical_events.core.restarts.decision_kinds import (
    Defer,
    RecordCoverage,
    RequestSync,
    Resolve,
    Restart,
    RestartDecision,
)
from infisical_events.core.restarts.decisions import (
    GatheredWorkload,
    decide,
    decided_by_plan,
    needs_pod_times,
)
from infisical_events.core.restarts.planner import Deferred, Resolved, RestartNow, RestartPolicy
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import PodContent, SecretContent, SyncContext
from infisical_events.core.sync.workload_sync_state import ManagedSecretState, WorkloadSecrets
from infisical_events.core.workloads.other_reloaders import ReadSecret
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from infisical_events.core.workloads.workload_state import WorkloadState
from support.builders import START, a_pending_restart, a_workload, at

NOW = at(10)
LATE = at(100)
TIMEOUT = timedelta(seconds=60)
WORKLOAD = a_workload()
PENDING = a_pending_restart()
REQUESTED = replace(PENDING, is_requested=True)
TIMED_OUT = replace(PENDING, unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT)
SILENT = replace(PENDING, unconfirmed=Unconfirmed.PROVIDER_SILENT)

NEW = ManagedSecretState("env", "new", is_written=True)
SAME = ManagedSecretState("env", "old", is_written=True)
UNWRITTEN = ManagedSecretState("env", "old", is_written=False, error_message="folder not found")
REJECTED = replace(UNWRITTEN, is_rejected=True)
WAITING_FOR_IMPORT = replace(UNWRITTEN, is_waiting_for_import=True)


def secrets(
    *managed: ManagedSecretState, pending: PendingRestart = PENDING, written_at: datetime | None = None
) -> WorkloadSecrets:
    """The workload's pods have the content `old` of its Secret `env`."""
    return WorkloadSecrets(pending, PodContent({"env": "old"}), TIMEOUT, managed, written_at=written_at)


def provided(
    provider: SecretProvider, content: str = "old", pending: PendingRestart = PENDING
) -> WorkloadSecrets:
    """The Secret is written by a provider that was never requested to sync."""
    context = SyncContext(
        provider,
        "payments",
        "epoch",
        pending.seq,
        pending.changes,
        {"env": SecretContent(content)},
        PodContent({"env": "old"}),
        TIMEOUT,
        pending.since,
        pending.is_requested,
        pending.is_confirmation_only,
    )
    return replace(secrets(pending=pending), providers=(context,))


def a_provider(**fields: Any) -> SecretProvider:  # noqa: ANN401 - of SecretProvider
    """An ExternalSecret of the Secret `env`."""
    plain = SecretProvider(EXTERNAL_SECRET, "app", "u", "41", frozenset({"env"}), {}, acknowledged="1")
    return replace(plain, **fields)


def gathered(
    found: WorkloadSecrets | None = None,
    *,
    action: Action = Action.RESYNC_THEN_RESTART,
    pending: PendingRestart = PENDING,
    state: WorkloadState | None = None,
    **fields: Any,  # noqa: ANN401 - of GatheredWorkload
) -> GatheredWorkload:
    """What was read for one pending restart."""
    state = state or WorkloadState(WORKLOAD, selector="app=web")
    return GatheredWorkload(RestartNow(WORKLOAD, pending, action), state, secrets=found, **fields)


def decision(
    facts: GatheredWorkload, now: datetime = NOW, on_timeout: OnTimeout = OnTimeout.RESTART
) -> RestartDecision:
    """The decision under a policy that differs in its time-out alone."""
    return decide(facts, RestartPolicy(on_timeout=on_timeout), now)


def reason(made: RestartDecision) -> Reason | None:
    """Why something is deferred or resolved."""
    return made.reason if isinstance(made, Defer | Resolve) else None


def test_an_unreadable_workload() -> None:
    """It is deferred with the API server's message."""
    made = decision(gathered(error_message="403 Forbidden"))

    assert (type(made), reason(made), made.note) == (Defer, Reason.KUBERNETES_API_ERROR, "403 Forbidden")


@pytest.mark.parametrize(
    "state",
    [
        WorkloadState(replace(WORKLOAD, uid="another")),
        WorkloadState(a_workload(paused="true")),
    ],
)
def test_a_workload_modified_since_it_was_listed(state: WorkloadState) -> None:
    """Another object, or other annotations of this operator: it is planned again."""
    made = decision(gathered(state=state))

    assert (type(made), reason(made)) == (Defer, Reason.WORKLOAD_MODIFIED)


def test_a_workload_that_is_gone() -> None:
    """The next list shows whether it is."""
    made = decision(replace(gathered(), state=None))

    assert (type(made), reason(made)) == (Defer, Reason.WORKLOAD_MODIFIED)


MARKED = replace(WORKLOAD, annotations={**WORKLOAD.annotations, "secret.reloader.stakater.com/reload": "env"})
ENV, TLS = ReadSecret("env"), ReadSecret("tls")


def left_to_reloader(
    found: WorkloadSecrets | None,
    *read: ReadSecret,
    action: Action = Action.RESYNC_THEN_RESTART,
    **fields: Any,  # noqa: ANN401 - of GatheredWorkload
) -> bool:
    """Whether a workload that Reloader restarts for its Secret `env` alone is left to it."""
    facts = gathered(
        found,
        action=action,
        state=WorkloadState(MARKED, read_secrets=frozenset(secret.name for secret in read)),
        read_secrets={secret.name: secret for secret in read},
        **fields,
    )
    return reason(decision(facts)) is Reason.MANAGED_BY_OTHER_CONTROLLER


def test_a_workload_that_another_tool_restarts() -> None:
    """It is left to that tool, with and without a sync."""
    assert left_to_reloader(secrets(NEW), ENV)
    assert left_to_reloader(None, ENV, action=Action.RESTART)


def test_two_secrets_of_which_another_tool_acts_on_one() -> None:
    """Content decides which of them carries the change; where it is unknown, either may."""
    tls = ManagedSecretState("tls", "new", is_written=True)

    assert left_to_reloader(secrets(NEW), ENV, TLS)
    assert not left_to_reloader(secrets(SAME, tls), ENV, TLS)
    assert not left_to_reloader(secrets(NEW, tls), ENV, TLS)
    assert not left_to_reloader(secrets(), ENV, TLS)
    assert not left_to_reloader(None, ENV, TLS, action=Action.RESTART)


def test_a_workload_without_a_secret_is_left_to_no_other_tool() -> None:
    """Other tools act on Secrets: without one, none of them restarts it."""
    assert not left_to_reloader(secrets())


def test_new_content_that_the_pods_do_not_read() -> None:
    """A Secret for pulling images is none that other tools act on."""
    assert not left_to_reloader(secrets(ManagedSecretState("pull", "new", is_written=True)), ENV)


def test_a_requested_restart_is_left_to_no_other_tool() -> None:
    """The Secrets may be unchanged, and then no other tool acts."""
    assert not left_to_reloader(secrets(NEW, pending=REQUESTED), ENV, pending=REQUESTED)


def test_a_workload_that_is_only_synced_is_left_to_nobody() -> None:
    """There is no restart that another tool could make."""
    assert not left_to_reloader(secrets(NEW), ENV, action=Action.RESYNC)


def test_the_other_tool_is_named() -> None:
    """With its annotation and the Secret on which it acts."""
    state = WorkloadState(MARKED, read_secrets=frozenset({"env"}))
    facts = gathered(secrets(NEW), state=state, read_secrets={"env": ENV})

    assert decision(facts).note == (
        "annotation secret.reloader.stakater.com/reload, on which Stakater Reloader acts for secret/env"
    )


def test_the_sync_before_the_restart_of_another_tool_is_named() -> None:
    """What is waited for comes first: the other tool acts after it."""
    state = WorkloadState(MARKED, read_secrets=frozenset({"env"}))
    waiting = ManagedSecretState("env", "old", is_written=False, error_message="the quota is exceeded")
    made = decision(gathered(secrets(waiting), state=state, read_secrets={"env": ENV}))

    assert reason(made) is Reason.RESYNCING
    assert made.note.startswith("secret/env (the quota is exceeded), then annotation secret.reloader")


def test_a_workload_that_ignores_other_reloaders() -> None:
    """It is restarted here as well."""
    own = replace(
        MARKED, annotations=MARKED.annotations | a_workload(ignore_other_reloaders="true").annotations
    )
    facts = replace(
        gathered(state=WorkloadState(own, read_secrets=frozenset({"env"})), read_secrets={"env": ENV}),
        planned=RestartNow(own, PENDING, Action.RESTART),
    )

    assert isinstance(decision(facts), Restart)


def test_a_restart_without_a_sync() -> None:
    """Nothing is waited for, and the patch goes by what was read."""
    made = decision(gathered(action=Action.RESTART))

    assert isinstance(made, Restart)
    assert made.workload is WORKLOAD


def test_a_restart_with_new_content() -> None:
    """The content that the pods will have is known."""
    made = decision(gathered(secrets(NEW)))

    assert isinstance(made, Restart)
    assert made.sync.known_fingerprints == {"env": "new"}


def test_a_restart_without_a_provider() -> None:
    """It is made at once, and the note says why nothing was synced."""
    made = decision(gathered(secrets()))

    assert isinstance(made, Restart)
    assert made.note == "no known provider to sync first"


def test_a_provider_to_request() -> None:
    """It is requested before anything else is decided."""
    made = decision(gathered(provided(a_provider())))

    assert isinstance(made, RequestSync)
    assert [context.provider.uid for context in made.contexts] == ["u"]


@pytest.mark.parametrize(
    ("failure", "note"), [("", "externalsecret/app"), ("403", "externalsecret/app (403)")]
)
def test_a_provider_that_was_requested(failure: str, note: str) -> None:
    """Its sync is waited for, also when the request failed and there is time left."""
    made = decision(gathered(provided(a_provider()), requests={"u": failure}))

    assert (type(made), reason(made), made.note) == (Defer, Reason.RESYNCING, note)


def test_a_provider_that_cannot_be_requested_in_time() -> None:
    """The restart is made with the content that is there, and stays unconfirmed."""
    made = decision(gathered(provided(a_provider()), requests={"u": "403"}), LATE)

    assert isinstance(made, Restart)
    assert made.sync.unconfirmed is Unconfirmed.PROVIDER_TIMED_OUT


@pytest.mark.parametrize("managed", [UNWRITTEN, WAITING_FOR_IMPORT])
def test_an_own_secret_that_is_not_written_yet(managed: ManagedSecretState) -> None:
    """It is waited for."""
    assert reason(decision(gathered(secrets(managed)))) is Reason.RESYNCING


def test_an_own_secret_that_waits_for_an_import() -> None:
    """That ends by itself, so the time-out does not count."""
    assert reason(decision(gathered(secrets(WAITING_FOR_IMPORT)), LATE)) is Reason.RESYNCING


def test_the_timeout_with_skip() -> None:
    """The restart stays pending."""
    made = decision(gathered(secrets(UNWRITTEN)), LATE, OnTimeout.SKIP)

    assert (type(made), reason(made)) == (Defer, Reason.RESYNC_TIMED_OUT)


def test_the_timeout_with_restart() -> None:
    """The restart is made with the content that is there, and is made again if that changes."""
    made = decision(gathered(secrets(UNWRITTEN)), LATE)

    assert isinstance(made, Restart)
    assert made.sync.unconfirmed is Unconfirmed.PROVIDER_TIMED_OUT


@pytest.mark.parametrize("now", [START, LATE])
@pytest.mark.parametrize("on_timeout", OnTimeout)
def test_an_own_secret_that_is_rejected(now: datetime, on_timeout: OnTimeout) -> None:
    """Its data has not changed, so nothing is restarted, however long it takes until a person acts."""
    made = decision(gathered(secrets(REJECTED)), now, on_timeout)

    assert (type(made), reason(made)) == (Defer, Reason.SECRET_REJECTED)


def test_an_own_secret_that_is_rejected_beside_one_that_changed() -> None:
    """The restart is made for that one at once, and again when the rejected one is written."""
    made = decision(gathered(secrets(REJECTED, replace(NEW, name="other"))))

    assert isinstance(made, Restart)
    assert made.sync.unconfirmed is Unconfirmed.PROVIDER_TIMED_OUT


def test_a_requested_restart_beside_an_own_secret_that_is_rejected() -> None:
    """It is made with the Secrets as they are."""
    asked = replace(PENDING, is_requested=True)

    assert isinstance(decision(gathered(secrets(REJECTED, pending=asked), pending=asked)), Restart)


def test_an_unconfirmed_restart_whose_provider_may_still_sync() -> None:
    """It is deferred and never made for nothing."""
    facts = gathered(secrets(UNWRITTEN, pending=TIMED_OUT), pending=TIMED_OUT)

    assert reason(decision(facts, LATE)) is Reason.RESYNC_TIMED_OUT
    assert isinstance(decision(facts, LATE), Defer)


def test_a_confirmation_is_watched_for_ten_minutes() -> None:
    """A provider that never acknowledges may bring newer content until then."""
    provider = a_provider(kind=INFISICAL_SECRET, acknowledged=None)
    facts = gathered(provided(provider, pending=SILENT), pending=SILENT)

    assert isinstance(decision(facts, at(599)), Defer)
    assert (reason(decision(facts, at(601))), type(decision(facts, at(601)))) == (
        Reason.NO_DATA_CHANGE,
        Resolve,
    )


def test_an_unconfirmed_restart_that_brings_new_content() -> None:
    """It is made."""
    facts = gathered(secrets(NEW, pending=TIMED_OUT), pending=TIMED_OUT)

    assert isinstance(decision(facts), Restart)


def test_an_unconfirmed_restart_whose_provider_is_disabled() -> None:
    """It is given up: that provider never syncs again."""
    disabled = provided(
        a_provider(disabled_reason="refreshPolicy CreatedOnce never syncs again"), pending=TIMED_OUT
    )

    made = decision(gathered(disabled, pending=TIMED_OUT))

    assert (type(made), reason(made)) == (Resolve, Reason.NO_DATA_CHANGE)


def test_an_unconfirmed_restart_without_a_provider() -> None:
    """Nothing can confirm it any more."""
    made = decision(gathered(secrets(pending=TIMED_OUT), pending=TIMED_OUT))

    assert (type(made), reason(made)) == (Resolve, Reason.NO_SECRET_PROVIDER)


def test_unchanged_content() -> None:
    """The pods have it already."""
    made = decision(gathered(secrets(SAME)))

    assert (type(made), reason(made)) == (Resolve, Reason.NO_DATA_CHANGE)


def test_a_requested_restart_with_unchanged_content() -> None:
    """A person asked for it."""
    facts = gathered(secrets(SAME, pending=REQUESTED), pending=REQUESTED)

    assert isinstance(decision(facts), Restart)


@pytest.mark.parametrize(
    ("found", "now", "expected"),
    [
        (secrets(NEW), NOW, Reason.RESYNCED),
        (secrets(), NOW, Reason.NO_SECRET_PROVIDER),
        (secrets(UNWRITTEN), LATE, Reason.RESYNC_TIMED_OUT),
        (secrets(SAME), NOW, Reason.NO_DATA_CHANGE),
    ],
)
def test_the_action_resync(found: WorkloadSecrets, now: datetime, expected: Reason) -> None:
    """A sync and no restart."""
    made = decision(gathered(found, action=Action.RESYNC), now)

    assert (type(made), reason(made)) == (Resolve, expected)


def test_a_workload_that_runs_once() -> None:
    """Its next run has the new content."""
    cron_job = next(kind for kind in WORKLOAD_KINDS if kind.kind == "CronJob")
    workload = a_workload(kind=cron_job)
    facts = replace(
        gathered(secrets(NEW), state=WorkloadState(workload)),
        planned=RestartNow(workload, PENDING, Action.RESYNC),
    )

    assert reason(decision(facts)) is Reason.APPLIES_TO_NEXT_RUN


def rolling(progress: RolloutProgress) -> WorkloadState:
    """The workload, with the progress of a rollout."""
    return WorkloadState(WORKLOAD, progress=progress, selector="app=web")


def test_a_rollout_of_another_party() -> None:
    """It is waited for, but not for ever: it may be stuck for want of this restart."""
    facts = gathered(secrets(NEW), state=rolling(RolloutProgress.UNDER_WAY))

    assert reason(decision(facts, at(299))) is Reason.ROLLOUT_IN_PROGRESS
    assert isinstance(decision(facts, at(301)), Restart)


def test_an_own_rollout() -> None:
    """What it rolls out is older than this change."""
    facts = gathered(secrets(NEW), state=rolling(RolloutProgress.UNDER_WAY), is_rolling_out=True)

    assert isinstance(decision(facts), Restart)


@pytest.mark.parametrize(
    ("pods", "is_covered"), [((), False), ((at(2),), False), ((at(3),), True), ((at(3), at(1)), False)]
)
def test_pods_that_another_rollout_made(pods: tuple[datetime, ...], is_covered: bool) -> None:  # noqa: FBT001
    """They make the restart unnecessary if all of them are clearly younger than the Secret."""
    facts = gathered(secrets(NEW, written_at=at(0)), pod_creation_times=pods)

    assert needs_pod_times(facts, NOW)
    assert isinstance(decision(facts), RecordCoverage if is_covered else Restart)


@pytest.mark.parametrize(
    "facts",
    [
        gathered(secrets(SAME, written_at=START)),
        gathered(secrets(NEW)),
        gathered(secrets(NEW, written_at=START), action=Action.RESYNC),
        gathered(secrets(NEW, written_at=START), is_rolling_out=True),
        gathered(secrets(NEW, written_at=START), state=rolling(RolloutProgress.FAILED)),
        gathered(secrets(NEW, written_at=START), state=WorkloadState(WORKLOAD)),
        gathered(secrets(NEW, pending=REQUESTED, written_at=START), pending=REQUESTED),
        gathered(provided(a_provider())),
        gathered(action=Action.RESTART),
        gathered(error_message="403"),
    ],
)
def test_pods_that_do_not_matter(facts: GatheredWorkload) -> None:
    """Nobody lists pods whose age changes nothing."""
    assert not needs_pod_times(facts, NOW)


def test_what_the_plan_decides() -> None:
    """A deferral and a resolution need nothing more; a restart does."""
    deferred = decided_by_plan(Deferred(PENDING, Reason.COOLING_DOWN, LATE, WORKLOAD))
    resolved = decided_by_plan(Resolved(PENDING, Reason.ALREADY_RESTARTED, WORKLOAD))

    assert deferred == Defer(pending=PENDING, workload=WORKLOAD, reason=Reason.COOLING_DOWN, until=LATE)
    assert resolved == Resolve(pending=PENDING, workload=WORKLOAD, reason=Reason.ALREADY_RESTARTED)
    assert decided_by_plan(RestartNow(WORKLOAD, PENDING, Action.RESTART)) is None


@pytest.mark.parametrize("unconfirmed", [None, *Unconfirmed])
def test_a_restart_that_is_made_again_is_watched_as_before(unconfirmed: Unconfirmed | None) -> None:
    """Its Secrets are not evaluated, so what was unconfirmed of them stays so."""
    pending = replace(PENDING, reverts=1, unconfirmed=unconfirmed)
    decision = decide(gathered(pending=pending), RestartPolicy(), NOW)

    assert isinstance(decision, Restart)
    assert decision.sync.unconfirmed == unconfirmed
