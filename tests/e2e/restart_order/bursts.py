"""Fifty keys, changed one by one within two seconds, in three Secrets of one Deployment: one rollout."""

import time

from e2e.faults import waiting
from e2e.restart_order.lanes import Lane, Setting, one_pod, using

_FOLDERS = {"one": "/payments/one", "two": "/payments/two", "three": "/payments/three"}
_KEYS = 50
_SECONDS = 2.0


def setting(kind: str) -> Setting:
    """One Deployment, three Secrets; how long it has to be quiet is the default."""
    names = [f"KEY_{number:02}" for number in range(_KEYS)]
    paths = list(_FOLDERS.values())
    workload = one_pod("api")
    for secret, by in zip(_FOLDERS, ("env", "env", "volume"), strict=True):
        using(secret, workload, by=by)
    return Setting(
        kind=kind,
        folders=_FOLDERS,
        keys={path: names[number :: len(paths)] for number, path in enumerate(paths)},
        workloads=[workload],
        spec={"debounceSeconds": None},
    )


def run(lane: Lane, _: int) -> None:
    """In a random order, evenly."""
    keys = [(path, key) for path, held in lane.values.items() for key in held if key.startswith("KEY")]
    lane.rng.shuffle(keys)
    begun = time.monotonic()
    for number, (path, key) in enumerate(keys):
        waiting.lasting(max(0.0, begun + number * _SECONDS / _KEYS - time.monotonic()))
        lane.change(path, {key: f"{lane.rng.getrandbits(48):012x}"})
    lane.expect_restart()
    lane.until(lane.is_restarted, f"restart {len(lane.expected)}")
    lane.until(lane.is_at_rest, "nothing owed, nothing rolling")
