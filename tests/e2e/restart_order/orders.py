"""Sync, verify, restart: however a source behaves, the new content is in the Secret before the restart."""

from collections.abc import Callable

from e2e.faults import waiting
from e2e.restart_order.lanes import Lane, Setting, one_pod, using
from e2e.restart_order.sources import NATIVE, UNSEEN, Variant

_SECRET = "payments-env"
_TIMEOUT_SECONDS = 2
_LONGEST_PAUSE = 0.3


def setting(kind: str, variant: Variant) -> Setting:
    """Two Deployments, one with the Secret in its environment, one with it in a volume."""
    is_silent = variant is Variant.SILENT or _never_answers(kind, variant)
    resync = {"timeoutSeconds": _TIMEOUT_SECONDS, "onTimeout": "Skip"} if is_silent else {}
    workloads = [using(_SECRET, one_pod(by), by=by) for by in ("env", "volume")]
    return Setting(kind=kind, workloads=workloads, spec={"resync": resync})


def run(kind: str, variant: Variant) -> Callable[[Lane, int], None]:
    """One change, or one that changes no content."""
    if variant is Variant.SAME:
        if kind == NATIVE:
            return _same_as_restarted
        return _refused if _never_answers(kind, variant) else _same
    return _silent if variant is Variant.SILENT else lambda lane, _: _changed(lane, variant)


def _never_answers(kind: str, variant: Variant) -> bool:
    """An InfisicalSecret says nothing when the data are what they were: that is a silence, too."""
    return variant is Variant.SAME and kind == "InfisicalSecret"


def _changed(lane: Lane, variant: Variant) -> None:
    lane.source.become(variant, lane.rng)
    lane.change_some()
    lane.expect_restart()
    lane.until(lane.is_restarted, f"restart {len(lane.expected)}")
    waiting.lasting(lane.rng.uniform(0, _LONGEST_PAUSE))


def _silent(lane: Lane, _: int) -> None:
    """Nobody is restarted while the source is silent, and everybody once when it speaks."""
    lane.source.become(Variant.SILENT, lane.rng)
    lane.change_some()
    _await_timeout(lane)
    lane.expect_restart()
    lane.source.mend()
    lane.until(lane.is_restarted, f"restart {len(lane.expected)}")


def _refused(lane: Lane, _: int) -> None:
    """A change of Infisical that is none of the content, and then one that is."""
    lane.change("/payments", {UNSEEN: f"{lane.rng.getrandbits(48):012x}"})
    _await_timeout(lane)
    lane.change_some()
    lane.expect_restart()
    lane.until(lane.is_restarted, f"restart {len(lane.expected)}")


def _same_as_restarted(lane: Lane, number: int) -> None:
    """Pods may have been started before there was the Secret; what they have is known from a restart on."""
    if not lane.expected:
        _changed(lane, Variant.SLOW)
    _same(lane, number)


def _same(lane: Lane, _: int) -> None:
    """Owed, and settled without a restart."""
    before = lane.told.seq
    lane.change("/payments", {UNSEEN: f"{lane.rng.getrandbits(48):012x}"})
    lane.until(
        lambda: lane.told.seq > before and lane.told.reason == "NoPendingRestarts", "the debt is settled"
    )


def _await_timeout(lane: Lane) -> None:
    before = lane.told.seq
    lane.until(
        lambda: lane.told.seq > before and lane.told.reason == "ResyncTimedOut",
        "the source is given up",
    )
