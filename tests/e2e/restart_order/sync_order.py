"""Sync, verify, restart: the Secret has the new content before the restart, however its source behaves."""

from collections.abc import Callable

from e2e.faults import waiting
from e2e.restart_order.slots import Slot, SlotSpec, one_pod_deployment, using_secret
from e2e.restart_order.sources import NATIVE, UNSEEN, Variant

_SECRET = "payments-env"
_TIMEOUT_SECONDS = 2
_LONGEST_PAUSE = 0.3


def slot_spec(kind: str, variant: Variant) -> SlotSpec:
    """Two Deployments: one has the Secret in its environment, one in a volume."""
    is_silent = variant is Variant.SILENT or _never_answers(kind, variant)
    resync = {"timeoutSeconds": _TIMEOUT_SECONDS, "onTimeout": "Skip"} if is_silent else {}
    workloads = [using_secret(_SECRET, one_pod_deployment(by), by=by) for by in ("env", "volume")]
    return SlotSpec(kind=kind, workloads=workloads, spec={"resync": resync})


def run(kind: str, variant: Variant) -> Callable[[Slot, int], None]:
    """Return a run: one change, or one change that does not affect the Secret."""
    if variant is Variant.SAME:
        if kind == NATIVE:
            return _same_as_restarted
        return _unreported if _never_answers(kind, variant) else _same
    if variant is Variant.SILENT:
        # An identity that may not read values is no silence: a person has to correct it.
        reason = "SecretRejected" if kind == NATIVE else "ResyncTimedOut"
        return lambda slot, _: _silent(slot, reason)
    return lambda slot, _: _changed(slot, variant)


def _never_answers(kind: str, variant: Variant) -> bool:
    """The controller of InfisicalSecret does not report a sync without new data, so it appears silent."""
    return variant is Variant.SAME and kind == "InfisicalSecret"


def _changed(slot: Slot, variant: Variant) -> None:
    slot.source.configure(variant, slot.rng)
    slot.change_some()
    slot.expect_restart()
    slot.wait_until(slot.is_restarted, f"restart {len(slot.expected)}")
    waiting.pause(slot.rng.uniform(0, _LONGEST_PAUSE))


def _silent(slot: Slot, reason: str) -> None:
    """No restart while the source is silent, and one restart of each Deployment after its recovery."""
    slot.source.configure(Variant.SILENT, slot.rng)
    slot.change_some()
    _wait_for_skip(slot, reason)
    slot.expect_restart()
    slot.source.recover()
    slot.wait_until(slot.is_restarted, f"restart {len(slot.expected)}")


def _unreported(slot: Slot, _: int) -> None:
    """Change Infisical without new content of the Secret, then with new content."""
    slot.change("/payments", {UNSEEN: f"{slot.rng.getrandbits(48):012x}"})
    _wait_for_skip(slot, "ResyncTimedOut")
    slot.change_some()
    slot.expect_restart()
    slot.wait_until(slot.is_restarted, f"restart {len(slot.expected)}")


def _same_as_restarted(slot: Slot, number: int) -> None:
    """Restart once first: pods may be older than the Secret, and their content is unknown until a restart."""
    if not slot.expected:
        _changed(slot, Variant.SLOW)
    _same(slot, number)


def _same(slot: Slot, _: int) -> None:
    """The pending restart is resolved without a restart."""
    before = slot.subscription_status.seq
    slot.change("/payments", {UNSEEN: f"{slot.rng.getrandbits(48):012x}"})
    slot.wait_until(
        lambda: (
            slot.subscription_status.seq > before and slot.subscription_status.reason == "NoPendingRestarts"
        ),
        "the pending restart is resolved",
    )


def _wait_for_skip(slot: Slot, reason: str) -> None:
    before = slot.subscription_status.seq
    slot.wait_until(
        lambda: slot.subscription_status.seq > before and slot.subscription_status.reason == reason,
        f"the restart is skipped: {reason}",
    )
