"""What a Lease (coordination.k8s.io) says, and the records that its holder writes; pure."""

from dataclasses import dataclass, replace
from datetime import datetime

_MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One Lease as the API server holds it; times are kept as they were written and not read."""

    name: str
    holder: str = ""
    """Empty for nobody."""
    duration: float = 0.0
    """How long its holder wants others to wait, in seconds."""
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0
    uid: str = ""
    version: str = ""
    """The resourceVersion; empty for one that is not there yet."""

    @property
    def record(self) -> tuple[str, str, str, int]:
        """What its holder changes with each renewal, and a label does not."""
        return self.holder, self.acquired, self.renewed, self.transitions


def renewed(lease: Lease, now: datetime) -> Lease:
    """The record with which its holder shows that it is alive; `now` (UTC) is for people to read."""
    return replace(lease, renewed=now.strftime(_MICRO_TIME))


def taken(lease: Lease, holder: str, duration: float, now: datetime) -> Lease:
    """The record with which it gets another holder, or the same one anew."""
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
    """The record with which its holder gives it up: anybody may take it at once."""
    return replace(renewed(lease, now), holder="", duration=1.0)
