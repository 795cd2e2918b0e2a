"""40 Deployments on one Secret: at most 5 roll out at a time, and a failed rollout halts the others."""

from e2e.faults import waiting
from e2e.restart_order.assertions import restarts
from e2e.restart_order.slots import Slot, SlotSpec, one_pod_deployment, using_secret
from support.fake_controllers.resources import Object, Resource
from support.manifests import Manifest

MAX_CONCURRENT = 5
_SECRET = "payments-env"
_STUCK = "api-02"
_DEADLINE_SECONDS = 2
_LONGEST_UNREADY = 2
_QUIET_SECONDS = 3.0
_QUOTA = Resource("", "v1", "ResourceQuota", "resourcequotas")
_NO_MORE, _ENOUGH = "1", "10"


def slot_spec(count: int = 40, most: int = MAX_CONCURRENT) -> SlotSpec:
    """Some Deployments become available at once, some after 1 or 2 s; a quota can stop the new pod of one."""
    return SlotSpec(
        workloads=[_workload(number) for number in range(count)],
        spec={"rollout": {"maxConcurrent": most, "onFailure": "Halt"}},
    )


def _workload(number: int) -> Manifest:
    made = using_secret(_SECRET, one_pod_deployment(f"api-{number:02}"))
    made["spec"] |= {"minReadySeconds": number % (_LONGEST_UNREADY + 1)}
    if made["metadata"]["name"] == _STUCK:
        made["spec"] |= {
            "minReadySeconds": 0,
            "progressDeadlineSeconds": _DEADLINE_SECONDS,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        }
        # Only its pods have requests, so a quota affects them alone.
        made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1m"}}
    return made


def run(slot: Slot, _: int) -> None:
    """One change causes forty restarts."""
    slot.change_some()
    slot.expect_restart()
    slot.wait_until(slot.is_restarted, f"restart {len(slot.expected)}")
    slot.wait_until(slot.is_idle, "no restart is pending or rolling out")


def run_halted(slot: Slot, number: int) -> None:
    """One rollout fails: the others wait for `resume-at`, or in every other run for its recovery."""
    _set_pod_quota(slot, _NO_MORE)
    slot.change_some()
    slot.expect_restart()
    begun = slot.subscription_status.version
    halted = slot.wait_until(lambda: _halted_since(slot, begun), "the subscription reports the halt")
    waiting.pause(_QUIET_SECONDS)
    if number % 2:
        released = _set_pod_quota(slot, _ENOUGH)
    else:
        released = slot.annotate("events.infisical.com/resume-at", f"{len(slot.expected)}")
    _check_halt(slot, halted, released)
    slot.wait_until(slot.is_restarted, f"restart {len(slot.expected)}")
    _set_pod_quota(slot, _ENOUGH)
    slot.wait_until(lambda: slot.is_idle() and not _has_failed(slot), "all rolled out")


def _halted_since(slot: Slot, version: int) -> int | None:
    """Return the first version of the subscription that reports the halt."""
    later = (each for each in tuple(slot.watcher.subscription_versions) if each.version > version)
    return next((each.version for each in later if each.reason == "RolloutHalted"), None)


def _check_halt(slot: Slot, halted: int, released: int) -> None:
    """Add flaws: a restart during the halt, no restart left to halt, or an unclear message."""
    seen = restarts(tuple(slot.watcher.workload_versions))
    early = [each.workload for each in seen if halted < each.version < released]
    done = [each.workload for each in seen if each.version < released]
    workloads = {each.workload for each in tuple(slot.watcher.workload_versions)}
    if early:
        slot.noted.append(f"restarted during the halt: {', '.join(early)}")
    if len(done) >= len(workloads) * len(slot.expected):
        slot.noted.append("no restart was left to halt")
    message = next(
        each.message for each in tuple(slot.watcher.subscription_versions) if each.version == halted
    )
    if _STUCK not in message and "RolloutHalted" not in message:
        slot.noted.append(f"the message does not mention the halt: {message}")


def _has_failed(slot: Slot) -> bool:
    newest = {each.workload: each for each in tuple(slot.watcher.workload_versions)}
    return newest[_STUCK].has_failed


def _set_pod_quota(slot: Slot, pods: str) -> int:
    """Set the quota of pods with requests; return the version from which it applies."""
    path, hard = _QUOTA.path(slot.namespace, "room"), {"pods": pods}
    manifest: Object = {"metadata": {"name": "room"}, "spec": {"hard": hard, "scopes": ["NotBestEffort"]}}
    slot.api.create(_QUOTA.path(slot.namespace), manifest)
    version = slot.api.merge(path, {"spec": {"hard": hard}})

    def is_in_force() -> bool:
        status = slot.api.http.get(path).json().get("status", {})
        return status.get("hard") == hard and bool(status.get("used"))

    slot.wait_until(is_in_force, f"the quota of {pods}")
    return version
