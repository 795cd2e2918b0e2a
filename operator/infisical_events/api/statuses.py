"""`status` of an InfisicalEventSubscription: what the operator reports.

All of it is written for `kubectl describe`: conditions with a CamelCase reason and a sentence, counters,
the last action and the last skipped change. The ledger inside of the status is the persistent state of
the operator (see `core.ledger`) and stays plain JSON here.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel

_FIRST_YEAR, _LAST_YEAR = 1970, 2200


def rfc3339(moment: datetime) -> str:
    """A time in UTC with a precision of seconds, as `metav1.Time` of Kubernetes."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time in UTC; one without a time zone is in UTC.

    Raises:
        ValueError: it is none, or so far away that it can only be a mistake or an attack: sums of it and a
            duration could not be represented.
    """
    moment = datetime.fromisoformat(text)
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError("the year of a time is out of range")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


class StatusModel(BaseModel):
    """Frozen and camelCase; unknown fields of an older or newer version are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class ConditionType(StrEnum):
    """The conditions of a subscription.

    `Suspended` and `Stalled` are present only while they are true, `SecretsSynced` only with managed Secrets.
    """

    READY = "Ready"
    AUTHENTICATED = "Authenticated"
    STREAMING = "Streaming"
    OBSERVED = "Observed"
    SECRETS_SYNCED = "SecretsSynced"
    RESTARTS_COMPLETE = "RestartsComplete"
    SUSPENDED = "Suspended"
    STALLED = "Stalled"


class ConditionStatus(StrEnum):
    """`True`, `False` or `Unknown`, as in the API conventions of Kubernetes."""

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
    """The event stream; `blindSeconds` is the total time without one."""

    connected_since: Time | None = None
    reconnects: int = 0
    blind_seconds: int = 0
    last_event_time: Time | None = None


class ObservationStatus(StatusModel):
    """The last read of Infisical; `keys` is the number of watched keys, imported keys included."""

    grade: str | None = None
    last_observed_time: Time | None = None
    keys: int = 0


class Counters(StatusModel):
    """Totals since the subscription was created; they survive restarts of the operator."""

    events_received: int = 0
    events_matched: int = 0
    restarts: int = 0
    resyncs: int = 0


class WorkloadResult(StatusModel):
    """The result of an action for one workload.

    `Restarted` during its rollout, then the end of the rollout; or the reason for no restart.
    """

    kind: str
    name: str
    result: str


class Acted(StatusModel):
    """A change that led to an action: names of keys, never values."""

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
    """The newest event or change that led to no action, with the reason."""

    time: Time
    reason: str
    message: str


class WorkloadPhase(StrEnum):
    """What this operator does with a workload now.

    `Idle`: nothing is pending. `Pending`: a restart is due. `Syncing`: its Secrets are synced first.
    `RollingOut`: it was restarted, and not all pods are new. `Held`: something has to end, or a person has to
    act, before it goes on. `Failed`: the restart, or its rollout, failed.
    """

    IDLE = "Idle"
    PENDING = "Pending"
    SYNCING = "Syncing"
    ROLLING_OUT = "RollingOut"
    HELD = "Held"
    FAILED = "Failed"


class RestartTrigger(StrEnum):
    """How a change was found: by an event, by reading Infisical, or a user requested the restart."""

    EVENT = "Event"
    READ = "Read"
    REQUEST = "Request"


class LastRestart(StatusModel):
    """The newest restart of one workload: `requested_at` is the value of the annotation `restart-at`."""

    time: Time
    trigger: RestartTrigger
    cause: str
    result: str
    requested_at: str | None = None


class WorkloadStatus(StatusModel):
    """One workload: what is done with it now and why, its newest restart, and its newest skip."""

    kind: str
    name: str
    state: WorkloadPhase
    reason: str
    since: Time
    message: str | None = None
    cause: str | None = None
    last_restart: LastRestart | None = None
    last_skip: LastSkip | None = None


class Status(StatusModel):
    """The status without the ledger."""

    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    project: str | None = None
    pending_restarts: int = 0
    stream: StreamStatus = StreamStatus()
    observation: ObservationStatus = ObservationStatus()
    counters: Counters = Counters()
    last_restart_time: Time | None = None
    last_action: Acted | None = None
    last_skip: LastSkip | None = None
    history: tuple[Acted, ...] = ()
    workloads: tuple[WorkloadStatus, ...] = ()
    workload_count: int = 0
    installation: str | None = None
    last_handled_reconcile_at: str | None = None
    last_handled_restart_at: str | None = None
    last_handled_resume_at: str | None = None

    def as_patch(self) -> dict[str, Any]:
        """The status as a JSON merge patch; an absent value is an explicit `null`."""
        return self.model_dump(mode="json", by_alias=True)


def parse_status(stored: dict[str, Any]) -> Status:
    """The status that some process wrote, without the ledger; an unreadable one is empty."""
    fields = {key: value for key, value in stored.items() if key != "ledger"}
    try:
        return Status.model_validate(fields | {"conditions": _known_conditions(stored)})
    except ValidationError:
        return Status()


def _known_conditions(stored: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """The stored conditions without those of other versions: a renamed one must not lose the history."""
    conditions = stored.get("conditions", [])
    if not isinstance(conditions, list):
        return conditions
    known = set(ConditionType)
    return [each for each in conditions if not isinstance(each, dict) or each.get("type") in known]
