"""Every reason of this operator, as a constant: users and alerts match on them.

`docs/reasons.md` explains each reason; a test compares the two.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Reasons of conditions, of Kubernetes Events, of actions and of skips."""

    # Ready
    WATCHING = "Watching"
    POLLING = "Polling"
    STARTING = "Starting"
    SUSPENDED = "Suspended"
    TOO_MANY_SUBSCRIPTIONS = "TooManySubscriptions"
    INVALID_SPEC = "InvalidSpec"
    INTERNAL_ERROR = "InternalError"
    QUARANTINED = "Quarantined"

    # Authenticated
    LOGGED_IN = "LoggedIn"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, no secret
    SERVICE_ACCOUNT_NOT_FOUND = "ServiceAccountNotFound"
    ADDRESS_NOT_ALLOWED = "AddressNotAllowed"
    CREDENTIALS_REJECTED = "CredentialsRejected"
    TOKEN_REJECTED = "TokenRejected"  # noqa: S105 - a reason, no token

    # Streaming
    CONNECTED = "Connected"
    STREAM_ENDED = "StreamEnded"
    PLAN_LACKS_EVENT_SUBSCRIPTIONS = "PlanLacksEventSubscriptions"
    EVENTS_NOT_SUPPORTED = "EventsNotSupported"
    CONNECTION_LIMIT_REACHED = "ConnectionLimitReached"

    # Observed
    UP_TO_DATE = "UpToDate"
    EVENTS_ONLY = "EventsOnly"
    PROJECT_NOT_FOUND = "ProjectNotFound"
    FOLDER_NOT_FOUND = "FolderNotFound"
    ENVIRONMENT_NOT_FOUND = "EnvironmentNotFound"
    NOTHING_WATCHED = "NothingWatched"

    # shared by Authenticated, Streaming and Observed
    PERMISSION_DENIED = "PermissionDenied"
    RATE_LIMITED = "RateLimited"
    REQUEST_REJECTED = "RequestRejected"
    SERVER_ERROR = "ServerError"
    UNREACHABLE = "Unreachable"
    NETWORK_NOT_ALLOWED = "NetworkNotAllowed"
    NAME_NOT_RESOLVED = "NameNotResolved"
    TLS_FAILED = "TLSFailed"
    UNEXPECTED_RESPONSE = "UnexpectedResponse"
    RESPONSE_TOO_LARGE = "ResponseTooLarge"
    TOO_MANY_SECRETS = "TooManySecrets"
    KUBERNETES_API_ERROR = "KubernetesAPIError"

    LEDGER_NOT_STORED = "LedgerNotStored"
    LEDGER_UNREADABLE = "LedgerUnreadable"

    # actions
    BASELINE_RECORDED = "BaselineRecorded"
    RESTARTED = "Restarted"
    RESTART_FAILED = "RestartFailed"
    MISSED_CHANGES_FOUND = "MissedChangesFound"
    INVALID_ANNOTATION = "InvalidAnnotation"
    SERVED_BY_OTHER_INSTALLATION = "ServedByOtherInstallation"
    SUBSCRIPTION_NOT_FOUND = "SubscriptionNotFound"
    NO_MATCHING_SECRET = "NoMatchingSecret"  # noqa: S105 - a reason, no secret

    RESYNCED = "Resynced"
    ROLLED_OUT = "RolledOut"
    ROLLOUT_FAILED = "RolloutFailed"
    RESTART_REVERTED = "RestartReverted"
    ROLLOUT_SUPERSEDED = "RolloutSuperseded"
    ROLLOUT_PAUSED = "RolloutPaused"
    ROLLOUT_ON_DELETE = "RolloutOnDelete"
    ROLLOUT_PARTITIONED = "RolloutPartitioned"
    ROLLOUT_BLOCKED = "RolloutBlocked"
    ROLLOUT_RESUMED = "RolloutResumed"
    WOULD_RESTART = "WouldRestart"
    SYNC_REQUEST_REMOVED = "SyncRequestRemoved"
    SECRET_SYNCED = "SecretSynced"  # noqa: S105 - a reason, no secret
    SECRET_REJECTED = "SecretRejected"  # noqa: S105 - a reason, no secret
    SECRET_RESTORED = "SecretRestored"  # noqa: S105 - a reason, no secret

    # RestartsComplete
    NO_PENDING_RESTARTS = "NoPendingRestarts"
    PENDING = "Pending"
    RESYNCING = "Resyncing"
    RESYNC_TIMED_OUT = "ResyncTimedOut"
    WORKLOAD_MODIFIED = "WorkloadModified"
    COOLING_DOWN = "CoolingDown"
    ROLLOUT_IN_PROGRESS = "RolloutInProgress"
    ROLLING_OUT = "RollingOut"
    WAITING_FOR_ROLLOUTS = "WaitingForRollouts"
    WAITING_FOR_WAVE = "WaitingForWave"
    ROLLOUT_HALTED = "RolloutHalted"
    RESTART_BUDGET_EXHAUSTED = "RestartBudgetExhausted"
    DRY_RUN = "DryRun"

    # skips: why a change causes no restart
    EVENT_TYPE_NOT_SELECTED = "EventTypeNotSelected"
    ENVIRONMENT_NOT_SELECTED = "EnvironmentNotSelected"
    PATH_NOT_SELECTED = "PathNotSelected"
    KEYS_NOT_SELECTED = "KeysNotSelected"
    NO_MATCHING_WORKLOAD = "NoMatchingWorkload"
    NOT_OPTED_IN = "NotOptedIn"
    NO_CHANGE_FOUND = "NoChangeFound"
    PAUSED = "Paused"
    ALREADY_RESTARTED = "AlreadyRestarted"
    COVERED_BY_OTHER_SUBSCRIPTION = "CoveredByOtherSubscription"
    WORKLOAD_GONE = "WorkloadGone"
    WORKLOADS_NOT_LISTED = "WorkloadsNotListed"
    NO_DATA_CHANGE = "NoDataChange"
    MANAGED_BY_OTHER_CONTROLLER = "ManagedByOtherController"
    COVERED_BY_ROLLOUT = "CoveredByRollout"
    NO_SECRET_PROVIDER = "NoSecretProvider"  # noqa: S105 - a reason, no secret
    APPLIES_TO_NEXT_RUN = "AppliesToNextRun"
    NO_LONGER_MATCHING = "NoLongerMatching"
