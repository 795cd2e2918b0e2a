"""The annotations by which workloads opt in, and those which the operator writes."""

import hashlib

from infisical_events.api.resources import GROUP

AUTO_RELOAD = f"{GROUP}/auto-reload"
SUBSCRIPTION = f"{GROUP}/subscription"
"""On a workload: which subscriptions concern it. On a Secret that is written here: which one writes it."""
ENVIRONMENT = f"{GROUP}/environment"
SECRET_PATH = f"{GROUP}/secret-path"
SECRET_KEYS = f"{GROUP}/secret-keys"
EVENTS = f"{GROUP}/events"
PAUSED = f"{GROUP}/paused"
ACTION = f"{GROUP}/action"
WAVE = f"{GROUP}/wave"
IGNORE_OTHERS = f"{GROUP}/ignore-other-reloaders"
"""`"true"` on a workload: restart it although another operator is told to restart it, too."""

RECONCILE_AT = f"{GROUP}/reconcile-at"
RESTART_AT = f"{GROUP}/restart-at"
RESUME_AT = f"{GROUP}/resume-at"
"""On a subscription: any new value asks for a look, a restart of everything, an end of a halt."""

CONTENT = f"{GROUP}/content"
"""On a Secret that this operator writes: which ids and versions it was made from, as a digest."""

LAST_RESTART = f"{GROUP}/last-restart"

_NAME_LIMIT = 63
"""Kubernetes' bound on the part of an annotation key behind the slash, in characters."""
_DIGEST_LENGTH = 8


def revision_key(subscription: str) -> str:
    """The pod template annotation that carries the receipt of one subscription."""
    return _key_of("revision", subscription)


def resync_key(subscription: str) -> str:
    """The annotation of a source that asks it to sync for one subscription."""
    return _key_of("resync", subscription)


def _key_of(purpose: str, subscription: str) -> str:
    """Names too long for an annotation key are cut and closed with a digest of the whole name.

    So two long names that begin alike stay apart.
    """
    name = f"{purpose}-{subscription}"
    if len(name) > _NAME_LIMIT:
        digest = hashlib.sha256(subscription.encode()).hexdigest()[:_DIGEST_LENGTH]
        name = f"{name[: _NAME_LIMIT - _DIGEST_LENGTH - 1].rstrip('-.')}-{digest}"
    return f"{GROUP}/{name}"
