"""Which subscription a Secret belongs to: whether another one may write it, and when it passes to that one.

A managed Secret names its writer in an annotation. It passes to another subscription that has an entry for it
when the writer is deleted, or when the writer's spec has no entry for it any more.
"""

from infisical_events.api import annotations
from infisical_events.api.resources import FIELD_MANAGER, MANAGED_BY
from infisical_events.api.specs import CreationPolicy, ManagedSecret
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.core.sync.secret_metadata import SecretMetadata

_UNNAMED = {None, ""}


def writer_of(found: SecretMetadata) -> str | None:
    """The subscription that writes it; None if none does, empty if the annotation was removed by hand."""
    if annotations.CONTENT not in found.annotations:
        return None
    return found.annotations.get(annotations.SUBSCRIPTION, "")


def other_writer_of(found: SecretMetadata, key: SubscriptionKey) -> str:
    """The other subscription that writes it; empty if there is none."""
    writer = writer_of(found) or ""
    return "" if writer == key.name else writer


def is_released(secret: str, writer: StoredSubscription | None) -> bool:
    """Whether the subscription of the writer's name, None if it does not exist, has given the Secret up."""
    return writer is None or writer.is_deleting or secret not in _managed_names(writer)


def is_claimable(
    found: SecretMetadata, key: SubscriptionKey, managed: ManagedSecret, writer: StoredSubscription | None
) -> bool:
    """Whether the subscription should become a second owner, so that Kubernetes keeps the Secret for it.

    Otherwise the Secret would be garbage-collected with its writer, before it can pass on.
    """
    return (
        managed.creation_policy is CreationPolicy.OWNER
        and bool(other_writer_of(found, key))
        and found.is_owned_by_subscription
        and not found.is_deleting
        and key.uid not in found.owner_uids
        and not is_released(found.name, writer)
    )


def denial_reason(
    found: SecretMetadata | None,
    key: SubscriptionKey,
    managed: ManagedSecret,
    writer: StoredSubscription | None,
) -> str:
    """Why the Secret must not be written, as the end of a sentence; empty if it may be.

    `writer` is the other subscription that the Secret names, None if it does not exist. All subscriptions
    apply with one field manager. So two of them that write one Secret would each remove the fields of the
    other.
    """
    is_merged = managed.creation_policy is CreationPolicy.MERGE
    if found is None:
        return (
            "does not exist, and creationPolicy Merge needs an existing Secret: create it, or use Owner"
            if is_merged
            else ""
        )
    other = other_writer_of(found, key)
    if other and not is_released(found.name, writer):
        return (
            f"is written by the subscription {other[:253]!a}: choose another name, or remove its entry there"
        )
    if is_merged or _is_ours(found, key, managed):
        return ""
    return "exists and has another owner: choose another name, or creationPolicy Merge"


def _managed_names(writer: StoredSubscription) -> frozenset[str]:
    resync = writer.spec.get("resync") or {}
    return frozenset(str(entry.get("name")) for entry in resync.get("secrets") or ())


def _is_ours(found: SecretMetadata, key: SubscriptionKey, managed: ManagedSecret) -> bool:
    """Whether it may be overwritten: owned by the subscription, or created by the operator and released."""
    if key.uid in found.owner_uids:
        return True
    writer = writer_of(found)
    is_made_here = found.labels.get(MANAGED_BY) == FIELD_MANAGER and writer is not None
    # A writer of our own name, and one that has released the Secret, do not own it any more.
    is_free = not found.controller_uid or (bool(writer) and found.is_owned_by_subscription)
    is_known = managed.creation_policy is CreationPolicy.ORPHAN or writer not in _UNNAMED
    return is_made_here and is_free and is_known
