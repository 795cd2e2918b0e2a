"""The restart record of a workload: for which revision it was restarted, and with which content.

The revision is on the pod template, where a repeated patch changes nothing and starts no second rollout, and
in the annotation `last-restart`, where a metadata-only list shows it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from infisical_events.api import annotations
from infisical_events.api.resources import Restarting
from infisical_events.api.statuses import parse_time, rfc3339
from infisical_events.core.ledger.ledger import (
    CLOCK_SKEW,
    Ledger,
    PendingRestart,
    Unconfirmed,
    is_revision_at_least,
    revision_of,
)
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.status.text import escaped
from infisical_events.core.sync.sync_requests import PodContent
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload

_CHANGE_CAUSE = "kubernetes.io/change-cause"
"""The annotation that `kubectl rollout history` shows for each revision."""
_CAUSE_PREFIX = "infisical-events: "
_LONGEST_CAUSE = 300
"""Characters of the annotation: it is one column of a table."""
_LONGEST_KEY = 253
_MAX_KEYS = 20


@dataclass(frozen=True, slots=True)
class RestartRecord:
    """When this operator last restarted a workload, and the revision of each subscription.

    `content_fingerprints` is the content of its Secrets at that time; `unconfirmed` says, by
    subscription, why the restart may have to be made again. `subscription` is the one that made it.
    """

    time: datetime | None
    revisions: dict[str, str]
    content_fingerprints: dict[str, str] = field(default_factory=dict)
    unconfirmed: Mapping[str, Unconfirmed] = field(default_factory=dict)
    subscription: str = ""

    def is_taken_back(self, state: WorkloadState) -> bool:
        """Whether the pod template lacks the revision: pods may be older than the restart."""
        revision = self.revisions.get(self.subscription)
        if revision is None or state.workload.kind.restarting is not Restarting.BY_TEMPLATE:
            return False
        return state.template_annotations.get(annotations.revision_key(self.subscription)) != revision

    def time_as_of(self, now: datetime) -> datetime | None:
        """When the workload was last restarted; None if never.

        The time is a claim of another process: one that lies ahead of now, by a clock that was ahead or
        edited by hand, is no cooldown and covers nothing.
        """
        return None if self.time is None or self.time > now + CLOCK_SKEW else self.time

    def has_revision(self, subscription: str, epoch: str, seq: int) -> bool:
        """Whether the workload carries a revision of this epoch with at least this sequence number."""
        return is_revision_at_least(self.revisions.get(subscription, ""), epoch, seq)


def restart_record_of(workload: Workload) -> RestartRecord:
    """Read `last-restart`; an unreadable annotation (edited by hand) counts as never restarted."""
    raw = _recorded_json(workload)
    try:
        secrets = {str(name): str(token) for name, token in dict(raw.get("secrets") or {}).items()}
        if "time" not in raw:  # never restarted by this operator, and covered by somebody's rollout
            return RestartRecord(None, {}, secrets)
        moment = parse_time(raw["time"])
        revisions = {str(name): str(revision) for name, revision in dict(raw["stamps"]).items()}
        unconfirmed = {
            str(name): Unconfirmed(unconfirmed) for name, unconfirmed in dict(raw.get("doubts") or {}).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return RestartRecord(None, {})
    return RestartRecord(moment, revisions, secrets, unconfirmed, str(raw.get("subscription") or ""))


def _recorded_json(workload: Workload) -> dict[str, Any]:
    """The annotation as JSON; empty if it is missing, unreadable or far longer than what is written here."""
    text = workload.annotations.get(annotations.LAST_RESTART, "{}")
    if len(text) > annotations.MAX_LENGTH:
        return {}
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


@dataclass(frozen=True, slots=True)
class RestartCause:
    """Why a workload is restarted: for which pending restart, and with which content of its Secrets."""

    pending: PendingRestart
    subscription: str
    epoch: str
    content_fingerprints: Mapping[str, str] = field(default_factory=dict)
    unconfirmed: Unconfirmed | None = None

    @property
    def revision(self) -> str:
        """The revision that the workload will carry."""
        return revision_of(self.epoch, self.pending.seq)


def restart_patch(workload: Workload, cause: RestartCause, now: datetime) -> dict[str, Any]:
    """The one merge patch of a restart: record and restart together, under a resourceVersion.

    Only the revision goes into the pod template, so that a retry after an unknown outcome changes no
    template and starts no second rollout. An Argo Rollout's template stays as it is, or it would start a
    canary: `restartAt` restarts its older pods.
    """
    record, revision = restart_record_of(workload), cause.revision
    fields = {
        "time": now.astimezone(UTC).isoformat(),
        "stamps": record.revisions | {cause.subscription: revision},
        "subscription": cause.subscription,
        **described_changes(cause.pending.changes),
    }
    secrets = record.content_fingerprints | dict(cause.content_fingerprints)
    if secrets:
        fields["secrets"] = dict(sorted(secrets.items()))
    unconfirmed = {
        name: unconfirmed for name, unconfirmed in record.unconfirmed.items() if name != cause.subscription
    }
    if cause.unconfirmed:
        unconfirmed[cause.subscription] = cause.unconfirmed
    if unconfirmed:
        fields["doubts"] = dict(sorted(unconfirmed.items()))
    if workload.kind.restarting is Restarting.BY_TEMPLATE:
        key = annotations.revision_key(cause.subscription)
        spec: dict[str, Any] = {"template": {"metadata": {"annotations": {key: revision}}}}
    else:
        # Whole seconds, rounded up: a pod made in this second may have started with the old secrets.
        spec = {"restartAt": rfc3339(now + timedelta(seconds=1))}
    metadata = _with_record(workload, fields)
    metadata["annotations"] |= _change_cause(workload, cause.pending, fields)
    return {"metadata": metadata, "spec": spec}


def _change_cause(workload: Workload, pending: PendingRestart, fields: Mapping[str, Any]) -> dict[str, str]:
    """What `kubectl rollout history` shows of this restart, unless somebody else writes that annotation.

    The controllers of the built-in kinds copy it to the new ReplicaSet or ControllerRevision.
    """
    known = workload.annotations.get(_CHANGE_CAUSE, _CAUSE_PREFIX)
    if workload.kind.restarting is not Restarting.BY_TEMPLATE or not known.startswith(_CAUSE_PREFIX):
        return {}
    if pending.is_requested:
        return {_CHANGE_CAUSE: f"{_CAUSE_PREFIX}requested by restart-at"}
    place = f"{fields['environmentSlug']}:{fields['secretPath']}"
    text = f"{_CAUSE_PREFIX}{fields['event']} {place} {','.join(fields['keys'])}"
    return {_CHANGE_CAUSE: text[:_LONGEST_CAUSE]}


def _with_record(workload: Workload, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uid": workload.uid,
        "resourceVersion": workload.resource_version,
        "annotations": {annotations.LAST_RESTART: json.dumps(fields, separators=(",", ":"))},
    }


def coverage_patch(workload: Workload, secrets: Mapping[str, str]) -> dict[str, Any]:
    """The merge patch that records with which content another party's rollout started the pods.

    Without it, content that comes back later would count as the content that the pods have. From now on the
    record is not about the restart by a subscription, whose revision the template may have lost.
    """
    fields = _recorded_json(workload)
    fields.pop("subscription", None)
    fields["secrets"] = dict(sorted({**restart_record_of(workload).content_fingerprints, **secrets}.items()))
    return {"metadata": _with_record(workload, fields)}


def described_changes(changes: tuple[Change, ...]) -> dict[str, Any]:
    """Why, for people: event types, environment, path and key names; never values.

    The names are Infisical's and may be any text; they are stored in annotations and in the status.
    """
    keys = sorted({escaped(change.key, _LONGEST_KEY) for change in changes})
    if len(keys) > _MAX_KEYS:
        keys = [*keys[:_MAX_KEYS], ANY_KEY]
    environments = sorted({change.scope.folder.environment for change in changes})
    paths = sorted({str(change.scope).partition(":")[2] for change in changes})
    return {
        "event": ",".join(sorted({kind for change in changes for kind in change.types})),
        "environmentSlug": escaped(",".join(environments)),
        "secretPath": escaped(",".join(paths)),
        "keys": keys,
    }


def pod_content_of(state: WorkloadState, pending: PendingRestart, ledger: Ledger) -> PodContent:
    """With which content of its Secrets a workload's pods were started.

    For a workload that was made after the baseline, the content at the baseline says nothing. After a restart
    that another client took back, nothing is known: some pods may be old, and others new. A restart that is
    only watched waits for other content than its own: its rollout makes it again.
    """
    workload, record = state.workload, restart_record_of(state.workload)
    if record.is_taken_back(state) and not pending.is_watch:
        return PodContent({})
    created = workload.created_at
    is_older = created is None or created <= ledger.baselined_at
    before = ledger.content_fingerprints if is_older else {}
    return PodContent({**before, **record.content_fingerprints})
