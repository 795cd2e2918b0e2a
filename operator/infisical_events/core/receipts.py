"""What a workload carries to show for which revision it was restarted.

The receipt is `<epoch>.<seq>` of the ledger: on the pod template, where a repeated patch is a no-op
and makes no second rollout, and in the metadata, where a metadata-only list shows it.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infisical_events.api import annotations
from infisical_events.core.changes import ANY_KEY, Change
from infisical_events.core.ledgers import Debt
from infisical_events.core.workloads import Workload

_MOST_KEYS_TOLD = 20
_SEQ = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """When this operator last restarted a workload, and the stamp of each subscription."""

    time: datetime | None
    stamps: dict[str, str]


def receipt_of(workload: Workload) -> Receipt:
    """Read `last-restart`; what cannot be read (edited by hand) counts as never restarted."""
    try:
        raw = json.loads(workload.annotations.get(annotations.LAST_RESTART, "{}"))
        moment = datetime.fromisoformat(raw["time"])
        in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        stamps = {str(name): str(stamp) for name, stamp in dict(raw["stamps"]).items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return Receipt(None, {})
    return Receipt(in_utc, stamps)


def stamp_of(epoch: str, seq: int) -> str:
    """The stamp written for debts up to `seq` of the ledger's `epoch`."""
    return f"{epoch}.{seq}"


def is_paid(workload: Workload, subscription: str, epoch: str, seq: int) -> bool:
    """Whether the workload carries a stamp of this epoch with at least this sequence number."""
    stamped_epoch, _, stamped_seq = receipt_of(workload).stamps.get(subscription, "").rpartition(".")
    return stamped_epoch == epoch and _SEQ.fullmatch(stamped_seq) is not None and int(stamped_seq) >= seq


def restart_patch(
    workload: Workload, debt: Debt, subscription: str, epoch: str, now: datetime
) -> dict[str, Any]:
    """The one merge patch of a restart: receipt in template and metadata, under a resourceVersion.

    Nothing but the stamp goes into the pod template, so that a retry after an unknown outcome
    changes no template and makes no second rollout.
    """
    stamp = stamp_of(epoch, debt.seq)
    stamps = receipt_of(workload).stamps | {subscription: stamp}
    told = {"time": now.astimezone(UTC).isoformat(), "stamps": stamps, "subscription": subscription}
    told |= describe(debt.changes)
    return {
        "metadata": {
            "uid": workload.uid,
            "resourceVersion": workload.resource_version,
            "annotations": {annotations.LAST_RESTART: json.dumps(told, separators=(",", ":"))},
        },
        "spec": {"template": {"metadata": {"annotations": {annotations.revision_key(subscription): stamp}}}},
    }


def describe(changes: tuple[Change, ...]) -> dict[str, Any]:
    """Why, for a person: event types, environment, path and names of keys; never values."""
    keys = sorted({change.key for change in changes})
    if len(keys) > _MOST_KEYS_TOLD:
        keys = [*keys[:_MOST_KEYS_TOLD], ANY_KEY]
    return {
        "event": ",".join(sorted({kind for change in changes for kind in change.types})),
        "environmentSlug": ",".join(sorted({c.scope.folder.environment for c in changes})),
        "secretPath": ",".join(sorted({str(c.scope).partition(":")[2] for c in changes})),
        "keys": keys,
    }
