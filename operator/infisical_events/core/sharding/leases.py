"""The record of a Lease (coordination.k8s.io), and the records that its holder writes."""

from dataclasses import dataclass, replace
from datetime import datetime

_MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One Lease as the API server stores it; its times stay text and are never parsed."""

    name: str
    holder: str = ""
    """Empty if no replica holds it."""
    duration: float = 0.0
    """Seconds that others have to wait without a renewal, as its holder wrote it."""
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0
    uid: str = ""
    version: str = ""
    """The resourceVersion; empty for a Lease that does not exist yet."""

    @property
    def record(self) -> tuple[str, str, str, int]:
        """The fields that change with each renewal, but not with a label."""
        return self.holder, self.acquired, self.renewed, self.transitions


def renewed(lease: Lease, now: datetime) -> Lease:
    """The record of a renewal; `now` (UTC) is informative and never compared."""
    return replace(lease, renewed=now.strftime(_MICRO_TIME))


def taken(lease: Lease, holder: str, duration: float, now: datetime) -> Lease:
    """The record of an acquisition by `holder`, for `duration` seconds without a renewal."""
    moment = now.strftime(_MICRO_TIME)
    is_transition = lease.version != "" and lease.holder != holder
    return replace(
        lease,
        holder=holder,
        duration=duration,
        acquired=moment,
        renewed=moment,
        transitions=lease.transitions + is_transition,
    )


def released(lease: Lease, now: datetime) -> Lease:
    """The record of a release: any replica may acquire the Lease immediately."""
    return replace(renewed(lease, now), holder="", duration=1.0)
