"""A status and a ledger in which every field is set, for tests of how they are stored."""

from datetime import UTC, datetime

from infisical_events.api.specs import EventType, Grade
from infisical_events.api.statuses import (
    Acted,
    Condition,
    ConditionStatus,
    ConditionType,
    Counters,
    LastRestart,
    LastSkip,
    ObservationStatus,
    RestartTrigger,
    Status,
    StreamStatus,
    WorkloadPhase,
    WorkloadResult,
    WorkloadStatus,
)
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.ledger.ledger import (
    Header,
    Ledger,
    PendingRestart,
    RecentlyRemoved,
    Rollout,
    UnlistedKind,
    UnmatchedImportChange,
    UnmatchedImportEvent,
)
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PRECISE = MOMENT.replace(microsecond=678901)
FOLDER = Folder("prod", "/payments")
LEFT = Folder("prod", "/mail")
TREE = Scope(FOLDER, recursive=True)

ACTED = Acted(
    time=MOMENT,
    reason="Restarted",
    message="DB_PASSWORD changed.",
    event=EventType.UPDATE,
    environment_slug="prod",
    secret_path="/payments",
    keys=("DB_PASSWORD",),
    workloads=(WorkloadResult(kind="Deployment", name="payments", result="RolledOut"),),
    completed_time=MOMENT,
)

STATUS = Status(
    observed_generation=3,
    conditions=(
        Condition(
            type=ConditionType.READY,
            status=ConditionStatus.TRUE,
            reason="Streaming",
            message="Changes are received as they happen.",
            observed_generation=3,
            last_transition_time=MOMENT,
        ),
        Condition(
            type=ConditionType.STREAMING,
            status=ConditionStatus.UNKNOWN,
            reason="Connecting",
            message="The stream is being opened.",
            observed_generation=3,
            last_transition_time=MOMENT,
        ),
    ),
    project="shop",
    pending_restarts=3,
    stream=StreamStatus(connected_since=MOMENT, reconnects=2, blind_seconds=5, last_event_time=MOMENT),
    observation=ObservationStatus(grade="Values", last_observed_time=MOMENT, keys=12),
    counters=Counters(events_received=9, events_matched=4, restarts=2**40),
    last_restart_time=MOMENT,
    last_action=ACTED,
    last_skip=LastSkip(time=MOMENT, reason="Unmatched", message="No entry matches."),
    history=(ACTED,),
    workloads=(
        WorkloadStatus(
            kind="Deployment",
            name="payments",
            state=WorkloadPhase.HELD,
            reason="CoolingDown",
            since=MOMENT,
            message="restarted less than spec.cooldownSeconds ago",
            cause="secret:update prod:/payments DB_PASSWORD",
            last_restart=LastRestart(
                time=MOMENT,
                trigger=RestartTrigger.REQUEST,
                cause="requested by restart-at",
                result="RolledOut",
                requested_at="2026-01-02T03:04:05Z",
            ),
            last_skip=LastSkip(time=MOMENT, reason="NoDataChange", message="Nothing changed."),
        ),
    ),
    workload_count=7,
    installation="infisical-events/infisical-events",
    last_handled_reconcile_at="1",
    last_handled_restart_at="2",
    last_handled_resume_at="3",
)

LEDGER = Ledger(
    header=Header("7f4d1c2b", "https://a.example", Grade.VALUES, "k1d"),
    epoch="k3v9",
    seq=2**40,
    baselined_at=PRECISE,
    scopes=(TREE,),
    accepted={
        Partition.own(FOLDER): AcceptedState(
            PartitionState.of({"DB_PASSWORD": SecretVersion("zJ1", 3, "d9")}), PRECISE
        ),
        Partition(TREE, Folder("dev", "/shared")): AcceptedState(
            PartitionState.of({}, rank=1), PRECISE, frozenset({"yI0"})
        ),
    },
    pending=(
        PendingRestart(
            uid="1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            kind="Deployment",
            name="payments",
            seq=7,
            since=PRECISE,
            changes=(Change(TREE, "DB_PASSWORD", frozenset({EventType.UPDATE})),),
            is_requested=True,
            not_covered_until=MOMENT,
            reverts=2,
        ),
    ),
    unlisted=(UnlistedKind("Rollout", MOMENT, (Change(TREE, "KEY", frozenset({EventType.UPDATE})),)),),
    unmatched_events=(UnmatchedImportEvent(FOLDER, PRECISE),),
    rollouts=(
        Rollout(
            "u9",
            "StatefulSet",
            "mail",
            6,
            PRECISE,
            wave=-1,
            has_failed=True,
            progressed_at=MOMENT,
            mark=(-2, 3),
            unavailable=1,
            was_failed=True,
            is_held=True,
            changes=(Change(TREE, "KEY", frozenset({EventType.UPDATE})),),
            is_requested=True,
            reverts=1,
            reverted_at=MOMENT,
        ),
    ),
    content_fingerprints={"payments-env": "t0k3n"},
    restart_at="2026-01-02",
    resume_at="now",
    unmatched_changes=(UnmatchedImportChange(TREE, PRECISE),),
    recently_removed={
        Partition.own(LEFT): RecentlyRemoved(
            AcceptedState(PartitionState.of({"A": SecretVersion("a1", 1)}), PRECISE, frozenset({"a0"})),
            PRECISE,
        )
    },
)
