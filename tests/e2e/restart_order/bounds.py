"""Forty Deployments on one Secret: at most five roll out at a time, and one that fails halts the rest."""

from e2e.faults import waiting
from e2e.restart_order.judging import restarts
from e2e.restart_order.lanes import Lane, Setting, one_pod, using
from support.fake_controllers.resources import Object, Resource
from support.operator_process import Manifest

MOST = 5
_SECRET = "payments-env"
_STUCK = "api-02"
_DEADLINE_SECONDS = 2
_LONGEST_UNREADY = 2
_QUIET_SECONDS = 3.0
_QUOTA = Resource("", "v1", "ResourceQuota", "resourcequotas")
_NO_MORE, _ENOUGH = "1", "10"


def setting(count: int = 40, most: int = MOST) -> Setting:
    """Some become available at once, some take a second or two; the new pod of one may find no room."""
    return Setting(
        workloads=[_workload(number) for number in range(count)],
        spec={"rollout": {"maxConcurrent": most, "onFailure": "Halt"}},
    )


def _workload(number: int) -> Manifest:
    made = using(_SECRET, one_pod(f"api-{number:02}"))
    made["spec"] |= {"minReadySeconds": number % (_LONGEST_UNREADY + 1)}
    if made["metadata"]["name"] == _STUCK:
        made["spec"] |= {
            "minReadySeconds": 0,
            "progressDeadlineSeconds": _DEADLINE_SECONDS,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        }
        # Only its pods ask for anything, so a quota can be theirs alone.
        made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1m"}}
    return made


def run(lane: Lane, _: int) -> None:
    """One change, forty restarts."""
    lane.change_some()
    lane.expect_restart()
    lane.until(lane.is_restarted, f"restart {len(lane.expected)}")
    lane.until(lane.is_at_rest, "nothing owed, nothing rolling")


def run_halted(lane: Lane, number: int) -> None:
    """One of them fails: the others wait for a person, or in every other run until it is mended."""
    _admit(lane, _NO_MORE)
    lane.change_some()
    lane.expect_restart()
    begun = lane.told.version
    halted = lane.until(lambda: _halted_since(lane, begun), "the halt is told")
    waiting.lasting(_QUIET_SECONDS)
    if number % 2:
        released = _admit(lane, _ENOUGH)
    else:
        released = lane.annotate("events.infisical.com/resume-at", f"{len(lane.expected)}")
    _note_what_was_not_held(lane, halted, released)
    lane.until(lane.is_restarted, f"restart {len(lane.expected)}")
    _admit(lane, _ENOUGH)
    lane.until(lambda: lane.is_at_rest() and not _has_failed(lane), "all rolled out")


def _halted_since(lane: Lane, version: int) -> int | None:
    """The version at which the subscription says so, of the deployment that failed."""
    told = (each for each in tuple(lane.witness.told) if each.version > version)
    return next((each.version for each in told if each.reason == "RolloutHalted"), None)


def _note_what_was_not_held(lane: Lane, halted: int, released: int) -> None:
    """Between the two nobody was restarted, and some were still to be."""
    seen = restarts(tuple(lane.witness.workload_states))
    early = [each.workload for each in seen if halted < each.version < released]
    done = [each.workload for each in seen if each.version < released]
    concerned = {each.workload for each in tuple(lane.witness.workload_states)}
    if early:
        lane.noted.append(f"restarted in spite of the halt: {', '.join(early)}")
    if len(done) >= len(concerned) * len(lane.expected):
        lane.noted.append("nothing was left to be halted")
    told = next(each.message for each in tuple(lane.witness.told) if each.version == halted)
    if _STUCK not in told and "RolloutHalted" not in told:
        lane.noted.append(f"the halt says nothing of itself: {told}")


def _has_failed(lane: Lane) -> bool:
    newest = {each.workload: each for each in tuple(lane.witness.workload_states)}
    return newest[_STUCK].has_failed


def _admit(lane: Lane, pods: str) -> int:
    """Let so many pods that ask for something be there; the version at which it counts."""
    path, hard = _QUOTA.path(lane.namespace, "room"), {"pods": pods}
    manifest: Object = {"metadata": {"name": "room"}, "spec": {"hard": hard, "scopes": ["NotBestEffort"]}}
    lane.api.create(_QUOTA.path(lane.namespace), manifest)
    version = lane.api.merge(path, {"spec": {"hard": hard}})

    def is_in_force() -> bool:
        status = lane.api.http.get(path).json().get("status", {})
        return status.get("hard") == hard and bool(status.get("used"))

    lane.until(is_in_force, f"the quota of {pods}")
    return version
