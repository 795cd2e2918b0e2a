"""The revision of a ledger that a restart or a sync request was made for: `<epoch>.<seq>`.

It is an idempotency key: an object that carries a revision of the same epoch with at least this sequence
number needs no further restart or sync for it.
"""

import re

_SEQ = re.compile(r"[0-9]{1,19}")


def revision_of(epoch: str, seq: int) -> str:
    """The revision of pending restarts up to `seq` in the ledger's `epoch`."""
    return f"{epoch}.{seq}"


def is_revision_at_least(revision: str, epoch: str, seq: int) -> bool:
    """Whether a revision, which may have been edited by hand, is of this epoch and covers `seq`."""
    stamped_epoch, _, stamped_seq = revision.rpartition(".")
    return stamped_epoch == epoch and _SEQ.fullmatch(stamped_seq) is not None and int(stamped_seq) >= seq
