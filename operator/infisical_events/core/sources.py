"""What writes a Kubernetes Secret, how it is asked to sync, and how one knows that it did.

A source is asked by an annotation of its own that says for which revision of which subscription, and
what it had acknowledged before. So a retry, or a process that begins anew, finds the question and the
answer where they are, and asks nothing twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

from infisical_events.api import annotations
from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.receipts import is_stamp_at_least
from infisical_events.core.secrets import SecretMetadata
from infisical_events.core.wording import on_one_line

JSONObject = Mapping[str, Any]

TOKENS = {
    INFISICAL_SECRET: "secrets.infisical.com/version",
    STATIC_SECRET: "secrets.infisical.com/version",
    EXTERNAL_SECRET: "reconcile.external-secrets.io/data-hash",
}
"""The annotation of a Secret by which each kind says what its content is: it moves with the data alone."""

_COPY_PATIENCE = timedelta(seconds=5)
"""How long the question is looked for on the Secret: it is copied there by a sync that has read it."""

_WAS_FIRST = timedelta(seconds=10)
"""How long a source that answers nothing is given to move again, if it had moved before it was asked."""

_ASK_AGAIN = timedelta(seconds=1)
"""A source that finds the same data is asked once more: it may have read a replica that lags."""

_MOST_ATTEMPTS = 2

_LONGEST_TROUBLE = 200
"""Characters of a source's own sentence that are repeated."""


@dataclass(frozen=True, slots=True)
class Source:
    """One object that writes Secrets.

    `acknowledged` moves with each sync that it answers to; a source without any is told by the content
    alone. `trouble` is its own sentence; `unable` is why it cannot be asked.
    """

    kind: ResourceKind
    name: str
    uid: str
    resource_version: str
    secrets: frozenset[str]
    annotations: Mapping[str, str]
    acknowledged: str | None = None
    is_copied: bool = False
    trouble: str = ""
    unable: str = ""
    ask: Mapping[str, Any] = field(default_factory=dict)
    """What of its spec has to be patched for it to take notice, besides the annotation."""

    def __str__(self) -> str:
        """`ExternalSecret payments`."""
        return f"{self.kind.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Request:
    """A question put to a source: for which stamp, since when, what it said and had written by then."""

    stamp: str
    since: datetime
    attempt: int
    at: datetime
    acknowledged: str
    tokens: Mapping[str, str]


class Freshness(Enum):
    """What a source can vouch for."""

    UNASKED = auto()
    WAITING = auto()
    CHANGED = auto()
    """It has synced since it was asked, and the content is another one."""
    SAME = auto()
    """It has synced since, and the content is what the pods have."""
    OVERDUE = auto()


def content_of(source: Source, secret: SecretMetadata | None) -> str:
    """What the content of a Secret is, in its source's words; empty when nobody says.

    It may be a plain digest of values, so it is compared and told elsewhere only under a key.
    """
    return secret.annotations.get(TOKENS[source.kind], "") if secret else ""


@dataclass(frozen=True, slots=True)
class Content:
    """One Secret as it is judged: a token of its content, under the operator's key, and its annotations."""

    token: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def request_of(source: Source, subscription: str) -> Request | None:
    """The question that it was asked last; None if there is none, or none that can be read."""
    try:
        raw = json.loads(source.annotations.get(annotations.resync_key(subscription), ""))
        return Request(
            stamp=str(raw["stamp"]),
            since=datetime.fromisoformat(raw["since"]).astimezone(UTC),
            attempt=int(raw["attempt"]),
            at=datetime.fromisoformat(raw["at"]).astimezone(UTC),
            acknowledged=str(raw["acknowledged"]),
            tokens={str(name): str(token) for name, token in dict(raw["tokens"]).items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def asking(
    source: Source, subscription: str, stamp: str, tokens: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    """The merge patch that asks a source to sync, under the version that it was read with."""
    before = request_of(source, subscription)
    is_again = before is not None and before.stamp == stamp
    request = {
        "stamp": stamp,
        "since": (before.since if before and is_again else now).astimezone(UTC).isoformat(),
        "attempt": before.attempt + 1 if before and is_again else 1,
        "at": now.astimezone(UTC).isoformat(),
        "acknowledged": source.acknowledged or "",
        "tokens": dict(sorted(tokens.items())),
    }
    return {
        "metadata": {
            "uid": source.uid,
            "resourceVersion": source.resource_version,
            "annotations": {annotations.resync_key(subscription): json.dumps(request, separators=(",", ":"))},
        },
        **source.ask,
    }


@dataclass(frozen=True, slots=True)
class Known:
    """What one workload's pods were started with, by the name of the Secret; absent if nobody knows."""

    tokens: Mapping[str, str]

    def has_changed(self, name: str, token: str) -> bool:
        """Whether the content is another one than the pods have, or may be."""
        return not token or self.tokens.get(name) != token


@dataclass(frozen=True, slots=True)
class Question:
    """All that is known of a source when it is judged for one workload."""

    source: Source
    subscription: str
    epoch: str
    seq: int
    contents: Mapping[str, Content]
    """Of those of its Secrets that the workload uses."""
    known: Known
    timeout: timedelta


def freshness(question: Question, now: datetime) -> Freshness:
    """Whether the source has synced since it was asked for this debt, and whether the content is another."""
    source = question.source
    if source.unable:
        return Freshness.OVERDUE
    request = request_of(source, question.subscription)
    if request is None or not is_stamp_at_least(request.stamp, question.epoch, question.seq):
        return Freshness.UNASKED
    tokens = {name: content.token for name, content in question.contents.items()}
    has_changed = any(question.known.has_changed(name, token) for name, token in tokens.items())
    if _has_synced(question, request, tokens, now, has_changed=has_changed):
        if has_changed:
            return Freshness.CHANGED
        if request.attempt >= _MOST_ATTEMPTS:
            return Freshness.SAME
        return Freshness.UNASKED if now >= request.at + _ASK_AGAIN else Freshness.WAITING
    return Freshness.OVERDUE if now >= request.since + question.timeout else Freshness.WAITING


def _has_synced(
    question: Question, request: Request, tokens: Mapping[str, str], now: datetime, *, has_changed: bool
) -> bool:
    source = question.source
    if source.acknowledged is None:
        has_moved = any(request.tokens.get(name, "") != token for name, token in tokens.items())
        return has_moved or (has_changed and now >= request.at + _WAS_FIRST)
    if source.acknowledged in {"", request.acknowledged}:
        return False
    return not source.is_copied or _is_copied(question) or now >= request.at + _COPY_PATIENCE


def _is_copied(question: Question) -> bool:
    """Whether the sync had read the question: it stands on the Secrets, too."""
    key = annotations.resync_key(question.subscription)
    asked = question.source.annotations.get(key)
    return all(content.annotations.get(key) == asked for content in question.contents.values())


def source_of(kind: ResourceKind, stored: JSONObject) -> Source:
    """Read a stored object of one of the three kinds.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it has not the shape of its kind.
    """
    metadata, spec = stored["metadata"], stored.get("spec") or {}
    status = stored.get("status") or {}
    told = _READERS[kind](metadata["name"], spec, status, metadata.get("namespace", ""))
    return Source(
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        annotations=metadata.get("annotations") or {},
        **told,
    )


def _conditions(status: JSONObject) -> dict[str, JSONObject]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _infisical_secret(_name: str, spec: JSONObject, _status: JSONObject, namespace: str) -> dict[str, Any]:
    """The official operator's v1alpha1: only another spec is a reason for it to look, and it answers nothing.

    The same interval in other words is another spec.
    """
    single = spec.get("managedSecretReference")
    targets = [*([single] if single else []), *(spec.get("managedKubeSecretReferences") or ())]
    names = (t["secretName"] for t in targets if t.get("secretNamespace", namespace) == namespace)
    return {"secrets": frozenset(names), "ask": {"spec": {"syncConfig": _asking_config(spec)}}}


def _asking_config(spec: JSONObject) -> dict[str, Any]:
    """The `syncConfig` that says the same in other words.

    Where there is none, older fields of the spec count, and would not any more beside a new one.
    """
    config = spec.get("syncConfig")
    heeded: JSONObject = spec if config is None else config
    is_instant = bool(heeded.get("instantUpdates"))
    seconds = spec.get("resyncInterval") if config is None else None
    interval = f"{seconds}s" if seconds else "1h" if is_instant else "5m"
    told = {"resyncInterval": reworded(str((config or {}).get("resyncInterval") or interval))}
    return told | {"instantUpdates": True} if config is None and is_instant else told


def reworded(interval: str) -> str:
    """The same duration in other words: `1m` is `60s`, `90s` is `090s`.

    One number and one unit, since its operator reads nothing else.
    """
    number, unit = interval[:-1], interval[-1:]
    if number.isascii() and number.isdecimal():
        if unit == "m":
            return f"{int(number) * 60}s"
        if unit == "s" and int(number) > 0 and int(number) % 60 == 0:
            return f"{int(number) // 60}m"
    is_padded = interval.startswith("0") and interval[1:2].isdecimal()
    return interval[1:] if is_padded else f"0{interval}"


def _static_secret(_name: str, spec: JSONObject, status: JSONObject, namespace: str) -> dict[str, Any]:
    """The official operator's v1beta1: any annotation makes it look; the time of success is its answer."""
    targets = [
        target
        for target in spec.get("targets") or ()
        if target.get("kind", "Secret") == "Secret" and target.get("namespace", namespace) == namespace
    ]
    conditions = _conditions(status)
    success = conditions.get("secrets.infisical.com/LastSuccessfulReconcileAt", {})
    last = conditions.get("secrets.infisical.com/LastReconcileStatus", {})
    return {
        "secrets": frozenset(target["name"] for target in targets),
        "acknowledged": str(success.get("message") or ""),
        "is_copied": not any(target.get("metadata") for target in targets),
        "trouble": _trouble(last),
    }


def _external_secret(name: str, spec: JSONObject, status: JSONObject, _namespace: str) -> dict[str, Any]:
    """External Secrets: any annotation is a reason to look, and part of what it says it has synced."""
    ready = _conditions(status).get("Ready", {})
    is_ready = ready.get("status") == "True"
    return {
        "secrets": frozenset({(spec.get("target") or {}).get("name") or name}),
        "acknowledged": str(status.get("syncedResourceVersion") or "") if is_ready else "",
        "trouble": _trouble(ready),
        "unable": _why_unable(spec),
    }


def _why_unable(spec: JSONObject) -> str:
    policy, interval = spec.get("refreshPolicy", "Periodic"), str(spec.get("refreshInterval", "1h"))
    if policy == "CreatedOnce":
        return "refreshPolicy CreatedOnce never syncs again"
    if policy == "Periodic" and interval.strip("0hms.") == "":
        return f"refreshInterval {interval} never syncs again: use refreshPolicy OnChange"
    return ""


def _trouble(condition: JSONObject) -> str:
    """What a condition says when it is not true: a sentence of foreign origin, on one line and capped."""
    if condition.get("status") != "False":
        return ""
    return on_one_line(str(condition.get("message") or ""))[:_LONGEST_TROUBLE]


_READERS = {
    INFISICAL_SECRET: _infisical_secret,
    STATIC_SECRET: _static_secret,
    EXTERNAL_SECRET: _external_secret,
}
