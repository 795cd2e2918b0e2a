"""50 keys in three Secrets of one Deployment, changed one by one within 2 s: one rollout."""

import time

from e2e.faults import waiting
from e2e.restart_order.slots import Slot, SlotSpec, one_pod_deployment, using_secret

_FOLDERS = {"one": "/payments/one", "two": "/payments/two", "three": "/payments/three"}
_KEYS = 50
_SECONDS = 2.0


def slot_spec(kind: str) -> SlotSpec:
    """One Deployment with three Secrets and the default debounce."""
    names = [f"KEY_{number:02}" for number in range(_KEYS)]
    paths = list(_FOLDERS.values())
    workload = one_pod_deployment("api")
    for secret, by in zip(_FOLDERS, ("env", "env", "volume"), strict=True):
        using_secret(secret, workload, by=by)
    return SlotSpec(
        kind=kind,
        folders=_FOLDERS,
        keys={path: names[number :: len(paths)] for number, path in enumerate(paths)},
        workloads=[workload],
        spec={"debounceSeconds": None},
    )


def run(slot: Slot, _: int) -> None:
    """Change the keys at regular intervals in a random order."""
    keys = [(path, key) for path, held in slot.values.items() for key in held if key.startswith("KEY")]
    slot.rng.shuffle(keys)
    begun = time.monotonic()
    for number, (path, key) in enumerate(keys):
        waiting.pause(max(0.0, begun + number * _SECONDS / _KEYS - time.monotonic()))
        slot.change(path, {key: f"{slot.rng.getrandbits(48):012x}"})
    slot.expect_restart()
    slot.wait_until(slot.is_restarted, f"restart {len(slot.expected)}")
    slot.wait_until(slot.is_idle, "no restart is pending or rolling out")
