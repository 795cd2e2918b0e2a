"""What to do about a reason, in one sentence; `docs/reasons.md` says more about each."""

from typing import Final

from infisical_events.api import annotations
from infisical_events.core.status.reasons import Reason

_REMEDIES: Final = {
    # a subscription that restarts nothing
    Reason.STARTING: (
        "wait for the operator; if this does not change, check that it runs and watches this namespace"
    ),
    Reason.SUSPENDED: "set spec.suspend to false: changes made in the meantime then lead to restarts",
    Reason.TOO_MANY_SUBSCRIPTIONS: "merge subscriptions of the namespace, or delete one",
    Reason.INVALID_SPEC: "correct the field that the message names",
    Reason.INTERNAL_ERROR: "see the operator's log for the stack trace, and report it",
    Reason.QUARANTINED: "check how large the project is, and the memory limit of the operator",
    Reason.SECRET_NOT_FOUND: "create the Secret with its key in the namespace of the subscription",
    Reason.SERVICE_ACCOUNT_NOT_FOUND: "create the ServiceAccount in the namespace of the subscription",
    Reason.ADDRESS_NOT_ALLOWED: "use an allowed address, or have this one added to --allowed-address",
    Reason.NETWORK_NOT_ALLOWED: "have the network added to --allowed-network",
    Reason.CREDENTIALS_REJECTED: "check the client id and the client secret of the machine identity",
    Reason.TOKEN_REJECTED: "replace the token, and check the token settings of the identity",
    Reason.PROJECT_NOT_FOUND: "check projectId or projectSlug, and that the identity is a member",
    Reason.FOLDER_NOT_FOUND: "correct secretPath, or restore the folder",
    Reason.ENVIRONMENT_NOT_FOUND: "correct environmentSlug, or restore the environment",
    Reason.NOTHING_WATCHED: "check environmentSlug and secretPath; grant the identity Describe Secret",
    Reason.PERMISSION_DENIED: "grant the identity the permission that the message names",
    Reason.UNREACHABLE: "check spec.address, DNS, proxies and network policies between operator and server",
    Reason.NAME_NOT_RESOLVED: "check the host name in spec.address",
    Reason.TLS_FAILED: "check the certificate of the server, and the CA that the operator trusts",
    Reason.LEDGER_NOT_STORED: "read the message of condition Observed; apply the CRD of this version",
    Reason.KUBERNETES_API_ERROR: "read the message; check the operator's RBAC and admission webhooks",
    Reason.DRY_RUN: "set spec.mode to Enforce",
    Reason.WOULD_RESTART: "set spec.mode to Enforce",
    # a change that is not selected
    Reason.EVENT_TYPE_NOT_SELECTED: "add an entry with this event type to spec.events",
    Reason.ENVIRONMENT_NOT_SELECTED: "add an entry with this environmentSlug to spec.events",
    Reason.PATH_NOT_SELECTED: "add an entry with this folder, or a wider glob, to spec.events",
    Reason.KEYS_NOT_SELECTED: "add the key to secretKeys of the entry; without secretKeys all keys match",
    # a workload that is not restarted
    Reason.NOT_OPTED_IN: f'annotate the workload with {annotations.AUTO_RELOAD}: "true"',
    Reason.INVALID_ANNOTATION: "correct the annotation that the message names",
    Reason.SUBSCRIPTION_NOT_FOUND: "create the subscription, or correct the annotation",
    Reason.NO_MATCHING_SECRET: "correct the filter annotation that the message names",
    Reason.NO_MATCHING_WORKLOAD: f'annotate a workload with {annotations.AUTO_RELOAD}: "true"',
    Reason.PAUSED: f"remove the annotation {annotations.PAUSED}: the pending restart follows",
    Reason.COOLING_DOWN: "wait: the restart follows when the cooldown ends (spec.cooldownSeconds)",
    Reason.MANAGED_BY_OTHER_CONTROLLER: (
        f'check the other tool, or annotate the workload with {annotations.IGNORE_OTHERS}: "true"'
    ),
    Reason.RESYNCING: (
        "check the object that is waited for (kubectl describe); after spec.resync.timeoutSeconds the "
        "operator acts by spec.resync.onTimeout"
    ),
    Reason.RESYNC_TIMED_OUT: "check the object that did not sync (kubectl describe) and its controller",
    Reason.SECRET_REJECTED: "correct what the message names; the Secret is written again within a minute",
    Reason.ROLLOUT_IN_PROGRESS: "wait for the rollout that another client started, at most 5 minutes",
    Reason.WAITING_FOR_ROLLOUTS: "wait, or raise spec.rollout.maxConcurrent",
    Reason.WAITING_FOR_WAVE: "wait for the lower waves, or repair their workloads",
    Reason.ROLLOUT_HALTED: (
        f"repair the workload whose rollout failed, or write a new value of {annotations.RESUME_AT} on the "
        "subscription"
    ),
    Reason.RESTART_BUDGET_EXHAUSTED: (
        "wait, or raise --max-restarts-per-minute and --max-concurrent-rollouts of the operator"
    ),
    Reason.WORKLOADS_NOT_LISTED: "check the operator's RBAC, and the API server for this kind",
    Reason.RESTART_FAILED: "read the message: the API server's answer to the patch; the operator retries",
    Reason.RESTART_REVERTED: "let the client that reverts the pod template keep its annotations",
    Reason.ROLLOUT_FAILED: "repair the pods that the message names",
    Reason.ROLLOUT_BLOCKED: "repair the pods that the message names",
    Reason.ROLLOUT_PAUSED: "resume the rollout (kubectl rollout resume)",
    Reason.ROLLOUT_ON_DELETE: "delete the pods: their update strategy is OnDelete",
    Reason.ROLLOUT_PARTITIONED: "lower the partition of the update strategy",
    Reason.APPLIES_TO_NEXT_RUN: "nothing: the next run of the job starts with the new content",
}


def remedy_for(reason: str) -> str:
    """A clause for people; empty if nothing has to be done, or if the message says it."""
    return _REMEDIES.get(Reason(reason), "") if reason in set(Reason) else ""
