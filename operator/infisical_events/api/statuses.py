"""`status` of an InfisicalEventSubscription: what the operator answers.

Everything here is written for `kubectl describe`: conditions with a CamelCase reason and a sentence,
counters, the last action and the last change that was skipped. The ledger inside of it is the
operator's own memory (see `core.ledgers`) and is carried as plain JSON.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel


def rfc3339(moment: datetime) -> str:
    """Seconds precision, as Kubernetes' own `metav1.Time`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


class StatusModel(BaseModel):
    """Frozen and camelCase; unknown fields of an older or newer version are left aside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class ConditionType(StrEnum):
    """The conditions of a subscription; `Stalled` stands only while it is true."""

    READY = "Ready"
    AUTHENTICATED = "Authenticated"
    STREAMING = "Streaming"
    OBSERVED = "Observed"
    RESTARTS_COMPLETE = "RestartsComplete"
    STALLED = "Stalled"


class ConditionStatus(StrEnum):
    """`True`, `False` or `Unknown`, as the API conventions want it."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusModel):
    """A `metav1.Condition`."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int
    last_transition_time: Time


class StreamStatus(StatusModel):
    """The life of the stream; `blindSeconds` adds up the time without one."""

    connected_since: Time | None = None
    reconnects: int = 0
    blind_seconds: int = 0
    last_event_time: Time | None = None


class ObservationStatus(StatusModel):
    """What the last look at Infisical was like; `keys` counts what is watched, imports included."""

    grade: str | None = None
    last_observed_time: Time | None = None
    keys: int = 0


class Counters(StatusModel):
    """Counted since the subscription exists; survives restarts of the operator."""

    events_received: int = 0
    events_matched: int = 0
    restarts: int = 0
    resyncs: int = 0


class WorkloadResult(StatusModel):
    """What became of one workload in an action.

    `Restarted` while its rollout is followed, then how that ended; or why it was left alone.
    """

    kind: str
    name: str
    result: str


class Acted(StatusModel):
    """A change that was acted on: names of keys, never values."""

    time: Time
    reason: str
    message: str
    event: str
    environment_slug: str
    secret_path: str
    keys: tuple[str, ...]
    workloads: tuple[WorkloadResult, ...]
    completed_time: Time | None = None


class LastSkip(StatusModel):
    """The newest event or change that led to nothing, and why."""

    time: Time
    reason: str
    message: str


class Status(StatusModel):
    """All but the ledger."""

    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    stream: StreamStatus = StreamStatus()
    observation: ObservationStatus = ObservationStatus()
    counters: Counters = Counters()
    last_restart_time: Time | None = None
    last_action: Acted | None = None
    last_skip: LastSkip | None = None
    history: tuple[Acted, ...] = ()
    last_handled_reconcile_at: str | None = None
    last_handled_restart_at: str | None = None
    last_handled_resume_at: str | None = None

    def as_patch(self) -> dict[str, Any]:
        """As a JSON merge patch of `status`: an absent value is an explicit `null`."""
        return self.model_dump(mode="json", by_alias=True)
