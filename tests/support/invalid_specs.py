"""Specs with one mistake each, and what a user is told: by the API server, and by the models.

Used by the unit tests of the schema and by its tests against a real API server.
"""

import copy
from dataclasses import dataclass
from typing import Any

GOOD: dict[str, Any] = {
    "authentication": {"accessTokenRef": {"name": "infisical", "key": "token"}},
    "projectId": "7f4d1c2b-9e83-4a56-b0d1-6c5e4f3a2b1c",
    "events": [{"event": "secret:update", "conditions": {"environmentSlug": "prod"}}],
}
"""The smallest spec that is accepted."""

REMOVED = object()
"""As a change: the field is left out."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One change to `GOOD`, and the field and words with which the API server refuses it."""

    field: str
    value: object
    told: str
    at: str = ""  # what the refusal names, where that is not the field itself

    def __str__(self) -> str:
        """The name of the case in a test report."""
        return f"{self.field}: {self.told}"

    @property
    def spec(self) -> dict[str, Any]:
        """`GOOD` with the mistake in it."""
        return with_field(GOOD, self.field, self.value)

    @property
    def named(self) -> str:
        """The path that the refusal begins with."""
        return self.at or f"spec.{self.field}"


def with_field(spec: dict[str, Any], field: str, value: object) -> dict[str, Any]:
    """A copy of `spec` in which the dotted `field` is `value`; numbers are places in a list."""
    changed: dict[str, Any] = copy.deepcopy(spec)
    place: Any = changed
    *way, last = (int(step) if step.isdigit() else step for step in field.split("."))
    for step in way:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return changed


_SECRET = {"name": "payments-env", "environmentSlug": "prod"}
_ENTRY = GOOD["events"][0]
_NAME = "use the name of an object, of lower-case letters, digits, '-' and '.'"
_KEY = "use a key that a Secret can have, of letters, digits, '-', '_' and '.'"
_ID = "use the id as Infisical shows it, of letters, digits and '-'"
_SLUG = (
    "use the slug as Infisical shows it, of letters, digits, '-' and '_', beginning with a letter or digit"
)
_PATH = (
    "begin the path with '/' and use letters, digits, '-', '_' and the characters of globs, "
    "such as /payments/**"
)
_FOLDER = "begin the path with '/' and write one folder, of letters, digits, '-' and '_', without a glob"
_FINAL_SLASH = "remove the last '/': no event has a path that ends with it"
_EMPTY_FOLDER = "write one '/' instead of two: a folder has a name"
_KEY_GLOB = "use plain characters, *, ?, [abc], [a-z] and [^abc], and one pattern for each alternative"
_MERGED = "remove type: a Secret with creationPolicy Merge keeps its own type"
_OWN_LABEL = "remove app.kubernetes.io/managed-by: the operator writes it"
_OWN_ANNOTATION = "remove the annotations of events.infisical.com: the operator writes them"
_ADDRESS = "write the address as https://host or https://host:port, without a path, blanks or credentials"
_METHODS = "set exactly one of universalAuth, kubernetesAuth or accessTokenRef"
_PROJECTS = "set exactly one of projectId or projectSlug"
_TOKEN_TYPE = (
    "the operator does not write Secrets of this type, which hold tokens for the API server: use another type"
)
_TOKEN = "authentication.accessTokenRef"
_IDENTITY = {"identityId": "a b", "serviceAccountName": "default"}

MISTAKES = (
    Mistake("address", "ftp://infisical.example", _ADDRESS),
    Mistake("address", "https://user:password@infisical.example", _ADDRESS),
    Mistake("address", "https://infisical.example/a b", _ADDRESS),
    Mistake("address", "https://infisical.example/api", _ADDRESS),
    Mistake("address", "https://infisical.example:443/?a=b", _ADDRESS),
    Mistake("address", "https://infisical..example", _ADDRESS),
    Mistake("address", "https://" + "a" * 300, "256"),
    Mistake("authentication", REMOVED, "Required value"),
    Mistake("authentication", {}, _METHODS),
    Mistake("authentication.kubernetesAuth", _IDENTITY | {"identityId": "a"}, _METHODS,
            "spec.authentication"),
    Mistake("authentication", {"kubernetesAuth": _IDENTITY}, _ID,
            "spec.authentication.kubernetesAuth.identityId"),
    Mistake(f"{_TOKEN}.key", "a/b", _KEY),
    Mistake(f"{_TOKEN}.key", REMOVED, "Required value"),
    Mistake(f"{_TOKEN}.name", "../../other/secrets/theirs", _NAME),
    Mistake(f"{_TOKEN}.name", "Infisical", _NAME),
    Mistake("authentication", {"kubernetesAuth": _IDENTITY | {"serviceAccountName": "a/../b"}}, _NAME,
            "spec.authentication.kubernetesAuth.serviceAccountName"),
    Mistake(f"{_TOKEN}.name", "", "at least 1 chars"),
    Mistake("projectId", REMOVED, _PROJECTS, "spec"),
    Mistake("projectSlug", "payments", _PROJECTS, "spec"),
    Mistake("projectId", "../admin", _ID),
    Mistake("events", REMOVED, "Required value"),
    Mistake("events", [], "at least 1 items"),
    Mistake("events", [_ENTRY] * 11, "must have at most 10 items"),
    Mistake("events.0.event", "secret:read", 'supported values: "secret:create"',
            "spec.events[0].event"),
    Mistake("events.0.conditions", REMOVED, "Required value", "spec.events[0].conditions"),
    Mistake("events.0.conditions.environmentSlug", "prod/../dev", _SLUG,
            "spec.events[0].conditions.environmentSlug"),
    Mistake("events.0.conditions.secretPath", "payments", _PATH,
            "spec.events[0].conditions.secretPath"),
    Mistake("events.0.conditions.secretPath", "/pay ments", _PATH,
            "spec.events[0].conditions.secretPath"),
    Mistake("events.0.conditions.secretPath", "/pay.ments", _PATH,
            "spec.events[0].conditions.secretPath"),
    Mistake("events.0.conditions.secretPath", "/payments/", _FINAL_SLASH,
            "spec.events[0].conditions.secretPath"),
    Mistake("events.0.conditions.secretPath", "/pay//ments", _EMPTY_FOLDER,
            "spec.events[0].conditions.secretPath"),
    Mistake("events.0.conditions.secretKeys", ["DB_*", "A|B"], _KEY_GLOB,
            "spec.events[0].conditions.secretKeys[1]"),
    Mistake("events.0.conditions.secretKeys", [""], "at least 1 chars",
            "spec.events[0].conditions.secretKeys[0]"),
    Mistake("action", "restart", 'supported values: "Restart", "Resync", "ResyncThenRestart"'),
    Mistake("resync", {"timeoutSeconds": 0}, "greater than or equal to 1", "spec.resync.timeoutSeconds"),
    Mistake("resync", {"onTimeout": "Wait"}, 'supported values: "Restart", "Skip"',
            "spec.resync.onTimeout"),
    Mistake("resync", {"secrets": [_SECRET | {"name": "../other"}]}, _NAME, "spec.resync.secrets[0].name"),
    Mistake("resync", {"secrets": [_SECRET | {"environmentSlug": "prod/../dev"}]}, _SLUG,
            "spec.resync.secrets[0].environmentSlug"),
    Mistake("resync", {"secrets": [_SECRET | {"secretPath": "a"}]}, _FOLDER,
            "spec.resync.secrets[0].secretPath"),
    Mistake("resync", {"secrets": [_SECRET | {"secretPath": "/a/**"}]}, _FOLDER,
            "spec.resync.secrets[0].secretPath"),
    Mistake("resync", {"secrets": [_SECRET | {"secretPath": "/a/"}]}, _FINAL_SLASH,
            "spec.resync.secrets[0].secretPath"),
    Mistake("resync", {"secrets": [_SECRET | {"secretPath": "/a//b"}]}, _EMPTY_FOLDER,
            "spec.resync.secrets[0].secretPath"),
    Mistake("resync", {"secrets": [_SECRET | {"secretKeys": ["DB PASSWORD"]}]}, _KEY_GLOB,
            "spec.resync.secrets[0].secretKeys[0]"),
    Mistake("resync", {"secrets": [_SECRET | {"creationPolicy": "Merge", "type": "kubernetes.io/tls"}]},
            _MERGED, "spec.resync.secrets[0]"),
    Mistake("resync", {"secrets": [_SECRET | {"labels": {"app.kubernetes.io/managed-by": "me"}}]},
            _OWN_LABEL, "spec.resync.secrets[0].labels"),
    Mistake("resync", {"secrets": [_SECRET | {"annotations": {"events.infisical.com/content": "x"}}]},
            _OWN_ANNOTATION, "spec.resync.secrets[0].annotations"),
    Mistake("resync", {"secrets": [_SECRET | {"creationPolicy": "Mine"}]},
            'supported values: "Owner", "Orphan", "Merge"', "spec.resync.secrets[0].creationPolicy"),
    Mistake("resync", {"secrets": [_SECRET | {"type": "kubernetes.io/service-account-token"}]}, _TOKEN_TYPE,
            "spec.resync.secrets[0].type"),
    Mistake("resync", {"secrets": [_SECRET | {"type": "bootstrap.kubernetes.io/token"}]}, _TOKEN_TYPE,
            "spec.resync.secrets[0].type"),
    Mistake("rollout", {"maxConcurrent": 0}, "greater than or equal to 1", "spec.rollout.maxConcurrent"),
    Mistake("rollout", {"order": "ByName"}, 'supported values: "Parallel", "ByWave"',
            "spec.rollout.order"),
    Mistake("rollout", {"onFailure": "Stop"}, 'supported values: "Halt", "Continue"',
            "spec.rollout.onFailure"),
    Mistake("observe", "versions", 'supported values: "Versions", "Values", "Events"'),
    Mistake("mode", "Dry", 'supported values: "Enforce", "DryRun"'),
    Mistake("debounceSeconds", 301, "less than or equal to 300"),
    Mistake("debounceSeconds", "1s", "must be of type integer"),
    Mistake("cooldownSeconds", -1, "greater than or equal to 0"),
    Mistake("resyncIntervalSeconds", 9, "greater than or equal to 10"),
    Mistake("suspend", "yes", "must be of type boolean"),
)  # fmt: skip
