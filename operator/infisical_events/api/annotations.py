"""The annotations that users write, and the annotations that the operator writes."""

import hashlib

from infisical_events.api.resources import GROUP

AUTO_RELOAD = f"{GROUP}/auto-reload"
SUBSCRIPTION = f"{GROUP}/subscription"
"""On a workload: the subscriptions that may restart it. On a managed Secret: the one that writes it."""
ENVIRONMENT = f"{GROUP}/environment"
SECRET_PATH = f"{GROUP}/secret-path"
SECRET_KEYS = f"{GROUP}/secret-keys"
EVENTS = f"{GROUP}/events"
PAUSED = f"{GROUP}/paused"
ACTION = f"{GROUP}/action"
WAVE = f"{GROUP}/wave"
IGNORE_OTHERS = f"{GROUP}/ignore-other-reloaders"
"""True on a workload: restart it although an annotation asks another tool to restart it as well."""

RECONCILE_AT = f"{GROUP}/reconcile-at"
RESTART_AT = f"{GROUP}/restart-at"
RESUME_AT = f"{GROUP}/resume-at"
"""On a subscription: a new value requests a full read, a restart of all workloads, or the end of a halt."""

CONTENT = f"{GROUP}/content"
"""On a managed Secret: a keyed digest of its data."""

LAST_RESTART = f"{GROUP}/last-restart"

MAX_LENGTH = 65_536
"""Characters of an annotation that the operator wrote: a longer one is somebody else's, and is not parsed."""

INFISICAL_GROUP = "secrets.infisical.com"
"""The group of the Infisical operator's annotations."""

OF_WORKLOADS = frozenset(
    key.removeprefix(f"{GROUP}/")
    for key in (
        AUTO_RELOAD,
        SUBSCRIPTION,
        ENVIRONMENT,
        SECRET_PATH,
        SECRET_KEYS,
        EVENTS,
        PAUSED,
        ACTION,
        WAVE,
        IGNORE_OTHERS,
    )
)
"""The names, without the group, that users write on workloads."""

OF_SUBSCRIPTIONS = frozenset({RECONCILE_AT, RESTART_AT, RESUME_AT})
"""The annotations that users write on subscriptions."""

WRITTEN = frozenset({"last-restart", "content"})
"""The names, without the group, that the operator writes, besides those of `WRITTEN_PREFIXES`."""
WRITTEN_PREFIXES = (f"{GROUP}/revision-", f"{GROUP}/resync-")
"""Beginnings of annotations that the operator writes, which end with the name of a subscription."""

_NAME_LIMIT = 63
"""Maximum length of the part of an annotation key behind the slash in Kubernetes, in characters."""
_DIGEST_LENGTH = 8


def revision_key(subscription: str) -> str:
    """The pod template annotation with the revision of one subscription."""
    return _bounded_key("revision", subscription)


def resync_key(subscription: str) -> str:
    """The annotation of a secret provider with the sync request of one subscription."""
    return _bounded_key("resync", subscription)


def _bounded_key(purpose: str, subscription: str) -> str:
    """An annotation key with a name; a name that is too long is cut and gets a digest of the whole name.

    Two long names with the same beginning thus have different keys.
    """
    name = f"{purpose}-{subscription}"
    if len(name) > _NAME_LIMIT:
        digest = hashlib.sha256(subscription.encode()).hexdigest()[:_DIGEST_LENGTH]
        name = f"{name[: _NAME_LIMIT - _DIGEST_LENGTH - 1].rstrip('-.')}-{digest}"
    return f"{GROUP}/{name}"
