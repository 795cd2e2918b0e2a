"""What to do about a reason, in one or two sentences; `docs/reasons.md` says more about each."""

from typing import Final

from infisical_events.api import annotations
from infisical_events.core.status.reasons import Reason

_REMEDIES: Final = {
    Reason.STARTING: (
        "Wait for the operator; if this does not change, check that it runs and watches this namespace."
    ),
    Reason.SUSPENDED: "Set spec.suspend to false: changes made in the meantime then lead to restarts.",
    Reason.TOO_MANY_SUBSCRIPTIONS: "Merge subscriptions of the namespace, or delete one.",
    Reason.INVALID_SPEC: "Change the field that the message names.",
    Reason.INTERNAL_ERROR: "See the operator's log for the stack trace, and report it.",
    Reason.QUARANTINED: "Check how large the project is, and the memory limit of the operator.",
    Reason.SECRET_NOT_FOUND: "Create the Secret, with that key, in the namespace of the subscription.",
    Reason.SERVICE_ACCOUNT_NOT_FOUND: "Create the ServiceAccount in the namespace of the subscription.",
    Reason.ADDRESS_NOT_ALLOWED: "Use an allowed address, or have this one added to --allowed-address.",
    Reason.CREDENTIALS_REJECTED: (
        "Check the client id and secret. In Infisical, check that the identity exists, is not locked "
        "out (three failed logins lock it for 5 minutes) and is not restricted to other networks."
    ),
    Reason.TOKEN_REJECTED: "Replace the token: it is expired, revoked or used up.",
    Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS: (
        "Use a plan with Event Subscriptions. Without them the operator finds changes by polling every "
        "resyncIntervalSeconds."
    ),
    Reason.EVENTS_NOT_SUPPORTED: "Upgrade Infisical; until then the operator polls.",
    Reason.CONNECTION_LIMIT_REACHED: (
        "Merge or remove subscriptions of the project; until then the operator polls. Streams of a "
        "crashed server free their places within 3 minutes."
    ),
    Reason.PROJECT_NOT_FOUND: (
        "Check projectId or projectSlug, and that the identity is a member of the project."
    ),
    Reason.FOLDER_NOT_FOUND: (
        "Correct secretPath, or create the folder. A folder that the identity may not see is reported so too."
    ),
    Reason.ENVIRONMENT_NOT_FOUND: "Correct environmentSlug: use the slug, not the display name.",
    Reason.NOTHING_WATCHED: "Check environmentSlug and secretPath; grant the identity Describe Secret.",
    Reason.PERMISSION_DENIED: (
        "Grant it in the project's access control: Describe Secret for reads, Secret Events for each "
        "event, environment and path."
    ),
    Reason.RATE_LIMITED: "Wait, then raise resyncIntervalSeconds or merge subscriptions.",
    Reason.REQUEST_REJECTED: "Do what the message says.",
    Reason.SERVER_ERROR: "Check the log of the Infisical server, then try again; the operator retries.",
    Reason.UNREACHABLE: (
        "Check spec.address, DNS, proxies and network policies between operator and server."
    ),
    Reason.NETWORK_NOT_ALLOWED: "Have the administrator allow the network (--allowed-network).",
    Reason.NAME_NOT_RESOLVED: "Check the host in the address (spec.address) and the DNS server.",
    Reason.TLS_FAILED: "Check the certificate of the server, and the CA that the operator trusts.",
    Reason.UNEXPECTED_RESPONSE: "Set the final address of Infisical, and let requests through proxies.",
    Reason.KUBERNETES_API_ERROR: (
        "Check the API server, admission webhooks, and the rights that the message names (kubectl auth "
        "can-i)."
    ),
    Reason.LEDGER_NOT_STORED: "Read the message of condition Observed; apply the CRD of this version.",
    Reason.RESTART_FAILED: "Read the message: the API server's answer to the patch; the operator retries.",
    Reason.INVALID_ANNOTATION: "Correct the annotation that the message names.",
    Reason.SUBSCRIPTION_NOT_FOUND: "Create the subscription, or correct the annotation.",
    Reason.NO_MATCHING_SECRET: "Correct the filter annotation that the message names.",
    Reason.ROLLOUT_FAILED: "Repair the pods that the message names.",
    Reason.RESTART_REVERTED: "Let the client that reverts the pod template keep its annotations.",
    Reason.ROLLOUT_PAUSED: "Resume the rollout (kubectl rollout resume).",
    Reason.ROLLOUT_ON_DELETE: "Delete the pods: their update strategy is OnDelete.",
    Reason.ROLLOUT_PARTITIONED: "Lower the partition of the update strategy.",
    Reason.ROLLOUT_BLOCKED: "Repair the pods that the message names.",
    Reason.WOULD_RESTART: "Set spec.mode to Enforce.",
    Reason.SECRET_REJECTED: "Correct what the message names; the Secret is written again within a minute.",
    Reason.RESYNCING: (
        "Check the object that is waited for (kubectl describe); after spec.resync.timeoutSeconds the "
        "operator acts by spec.resync.onTimeout."
    ),
    Reason.RESYNC_TIMED_OUT: "Check the object that did not sync (kubectl describe) and its controller.",
    Reason.COOLING_DOWN: "Wait: the restart follows when the cooldown ends (spec.cooldownSeconds).",
    Reason.ROLLOUT_IN_PROGRESS: "Wait for the rollout that another client started, at most 5 minutes.",
    Reason.WAITING_FOR_ROLLOUTS: "Wait, or raise spec.rollout.maxConcurrent.",
    Reason.WAITING_FOR_WAVE: "Wait for the lower waves, or repair their workloads.",
    Reason.ROLLOUT_HALTED: (
        f"Repair the workload whose rollout failed, or write a new value of {annotations.RESUME_AT} on "
        "the subscription."
    ),
    Reason.RESTART_BUDGET_EXHAUSTED: (
        "Wait, or raise --max-restarts-per-minute and --max-concurrent-rollouts of the operator."
    ),
    Reason.DRY_RUN: "Set spec.mode to Enforce.",
    Reason.EVENT_TYPE_NOT_SELECTED: "Add an entry with this event type to spec.events.",
    Reason.ENVIRONMENT_NOT_SELECTED: "Add an entry with this environmentSlug to spec.events.",
    Reason.PATH_NOT_SELECTED: "Add an entry with this folder, or a wider glob, to spec.events.",
    Reason.KEYS_NOT_SELECTED: "Add the key to secretKeys of the entry; without secretKeys all keys match.",
    Reason.NO_MATCHING_WORKLOAD: f'Annotate a workload with {annotations.AUTO_RELOAD}: "true".',
    Reason.NOT_OPTED_IN: f'Annotate the workload with {annotations.AUTO_RELOAD}: "true".',
    Reason.PAUSED: f"Remove the annotation {annotations.PAUSED}: the pending restart follows.",
    Reason.WORKLOADS_NOT_LISTED: "Check the operator's RBAC, and the API server for this kind.",
    Reason.MANAGED_BY_OTHER_CONTROLLER: (
        f'Check the other tool, or annotate the workload with {annotations.IGNORE_OTHERS}: "true".'
    ),
    Reason.APPLIES_TO_NEXT_RUN: "Nothing: the next run of the job starts with the new content.",
}


def remedy_for(reason: str) -> str:
    """Sentences for people; empty if nothing has to be done, or if the message says it."""
    return _REMEDIES.get(Reason(reason), "") if reason in set(Reason) else ""
