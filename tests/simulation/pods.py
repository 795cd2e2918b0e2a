"""The pods of the simulation: how rollouts progress, which never end, and when pods were created.

Every changed pod template begins a rollout. Its first pod is created soon, the last one when it ends;
until then pods of the rollout before are alive.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, replace

from infisical_events.core.workloads.rollout_progress import RolloutProgress

FIRST_POD = 0.2
"""Seconds from a changed template to the first pod of it."""

PROGRESS_DEADLINE = 20.0
"""Seconds after which a rollout that does not end counts as failed."""


@dataclass(frozen=True, slots=True)
class Roll:
    """A changed template: when, under which resourceVersion, by which revision annotation (or empty).

    `template` identifies it, and `kept_since` is when the first pod was created that had it before: a
    template that comes back while pods of it are alive keeps them.
    """

    at: float
    version: int
    takes: float
    by: str = ""
    template: str = ""
    kept_since: float | None = None

    @property
    def first_created_at(self) -> float:
        """When its first pod was created."""
        return self.at + FIRST_POD if self.kept_since is None else self.kept_since


class Pods:
    """All rollouts of all workloads, by uid, and when the pods of each do not become ready."""

    def __init__(self) -> None:
        self.rolls: dict[str, list[Roll]] = defaultdict(list)
        self._failing: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def roll(self, uid: str, roll: Roll) -> None:
        """The template was changed."""
        kept = [old for old in self.alive(uid, roll.at) if old.template == roll.template]
        since = kept[0].first_created_at if kept and kept[0].first_created_at <= roll.at else None
        self.rolls[uid].append(replace(roll, kept_since=since))

    def break_pods(self, uid: str, at: float) -> None:
        """From now on its pods do not become ready."""
        if not self.is_failing(uid, at):
            self._failing[uid].append((at, math.inf))

    def repair_pods(self, uid: str, at: float) -> None:
        """From now on they become ready."""
        if self.is_failing(uid, at):
            self._failing[uid][-1] = (self._failing[uid][-1][0], at)

    def is_failing(self, uid: str, at: float) -> bool:
        """Whether its pods do not become ready at this moment."""
        return any(since <= at < until for since, until in self._failing[uid])

    def end_of(self, uid: str, roll: Roll) -> float:
        """When it is through, if nothing overtakes it; infinity if never, as far as is known by now."""
        end = roll.at + roll.takes
        for since, until in self._failing[uid]:
            if since < end and until > roll.at:
                end = until + roll.takes
        return end

    def progress(self, uid: str, at: float) -> RolloutProgress:
        """How the newest rollout was at a moment; a workload without any is through.

        Pods that fail after its end are no rollout.
        """
        newest = self.newest(uid, at)
        if newest is None or self.end_of(uid, newest) <= at:
            return RolloutProgress.UNAVAILABLE if self.is_failing(uid, at) else RolloutProgress.COMPLETE
        has_failed = at > newest.at + PROGRESS_DEADLINE and self.is_failing(uid, at)
        return RolloutProgress.FAILED if has_failed else RolloutProgress.UNDER_WAY

    def has_failed_by(self, uid: str, roll: Roll, at: float) -> bool:
        """Whether it had not ended in time, whatever became of it afterwards."""
        recorded_at = roll.at + PROGRESS_DEADLINE
        return recorded_at < at and self.end_of(uid, roll) > recorded_at and self.is_failing(uid, recorded_at)

    def newest(self, uid: str, at: float) -> Roll | None:
        """The newest rollout that had begun by then."""
        return next((roll for roll in reversed(self.rolls[uid]) if roll.at <= at), None)

    def alive(self, uid: str, at: float) -> list[Roll]:
        """The rollouts that pods were alive of, the oldest first."""
        begun = [roll for roll in self.rolls[uid] if roll.at <= at]
        for place in reversed(range(len(begun))):
            overtaken = begun[place + 1].at if place + 1 < len(begun) else math.inf
            if self.end_of(uid, begun[place]) <= min(at, overtaken):
                return begun[place:]
        return begun

    def creation_times(self, uid: str, at: float) -> list[float]:
        """When the pods that are alive were created."""
        creation_times = []
        for roll in self.alive(uid, at):
            creation_times += [
                created_at
                for created_at in (roll.first_created_at, self.end_of(uid, roll))
                if created_at <= at
            ]
        return creation_times
