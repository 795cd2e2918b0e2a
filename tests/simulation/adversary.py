"""The adversary: other controllers, people and API servers that take back, refuse, edit and rename.

Each method is a verb of a history's steps, like those of `run.SimulationRun`. What it did is kept for the
invariants: they excuse a workload only for what really happened to it.
"""

import asyncio
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from infisical_events.api import annotations
from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.kube.kubernetes_errors import (
    ForbiddenError,
    KubernetesError,
    NotFoundError,
    SecretRejectedError,
    UnknownOutcomeError,
)
from infisical_events.kube.provider_client import PROVIDER_KINDS
from simulation.cluster_model import NAMESPACE, ClusterModel, SecretWrite
from support.virtual_time import virtual_now

if TYPE_CHECKING:
    from simulation.infisical_model import InfisicalModel

FOR_EVER = 99
"""Times that a history does not reach."""

BY_HAND = "by hand"
"""The value that a person writes into a Secret."""

STRANGER = annotations.revision_key("stranger")
"""The revision of restarts by another operator."""

_RELOADS_AFTER = 1.0
"""Seconds from the change of a Secret to the restart by Reloader."""

ERRORS: Mapping[str, KubernetesError] = {
    "403": ForbiddenError("the API server answered 403: forbidden"),
    "404": NotFoundError("the API server answered 404: the server could not find the requested resource"),
    "429": KubernetesError("the API server answered 429: too many requests"),
    "500": KubernetesError("the API server answered 500: conversion webhook failed"),
    "timeout": UnknownOutcomeError("no answer in time"),
}
"""The errors of calls that are refused."""

_REJECTED = SecretRejectedError("a quota rejects the Secret")
"""What only a person can mend."""


_BY_TEXT: Mapping[str, KubernetesError] = {str(error): error for error in (*ERRORS.values(), _REJECTED)}


@dataclass(slots=True)
class _Grip:
    """How many more times something is taken back, and how many seconds after it was done."""

    times: int
    delay: float


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A pod template, or a sync request, that was taken back: when, and of which object."""

    at: float
    uid: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A kind that could not be listed, or a method that failed: from when to when, with which words."""

    what: str
    since: float
    until: float
    why: str = ""


class Adversary:
    """What others do to the objects in the cluster.

    Attributes:
        taken_back: The pod templates that lost our revision, by the uid of the workload.
        rolled_back: Those of them that a person put back.
        unasked: The sync requests that were removed, by the name of the writer.
        refused: The kinds and methods that were refused.
        edited: The managed Secrets that were edited or deleted, and when.
        stripped: The times in which a policy stripped our revisions of pod templates.
        stamped: The workloads that got the restart record of another clock.
    """

    def __init__(self, cluster: ClusterModel, infisical: "InfisicalModel") -> None:
        self._cluster, self._infisical = cluster, infisical
        self._owners: dict[str, _Grip] = {}
        self._unaskers: dict[str, _Grip] = {}
        self.taken_back: list[TakenBack] = []
        self.rolled_back: list[TakenBack] = []
        self.unasked: list[TakenBack] = []
        self.refused: list[Refused] = []
        self.edited: list[TakenBack] = []
        self.stripped: list[Refused] = []
        self.stamped: list[TakenBack] = []
        cluster.on_restart, cluster.on_asked = self._restarted, self._asked
        cluster.on_written = self._reload

    # -- restarts that are taken back -------------------------------------------------------------------

    def own(self, name: str, times: int, delay: float) -> None:
        """An operator owns the workload: it takes back so many of the next restarts, each after a delay."""
        self._owners[name] = _Grip(times, delay)

    def strip_templates(self, seconds: float) -> None:
        """A mutating policy strips our revision from patches, which are answered by 200."""
        self._cluster.is_stripping = True
        self.stripped.append(Refused("policy", _now(), _now() + seconds))
        self._later(seconds, self._end_policy)

    def roll_back(self, name: str) -> None:
        """A person goes back to the template before the newest one, with the revision that it had."""
        if (NAMESPACE, "Deployment", name) not in self._cluster._workloads:
            return
        uid = self._uid(name)
        rolls = self._cluster.pods.rolls[uid]
        if len(rolls) > 1:
            self.rolled_back.append(TakenBack(_now(), uid))
            self._put_template(name, json.loads(rolls[-2].template))

    def is_owned_for_ever(self, name: str) -> bool:
        """Whether each restart of the workload is taken back, to the end."""
        is_stripped = any(each.until == math.inf for each in self.stripped)
        return is_stripped or (name in self._owners and self._owners[name].times > FOR_EVER // 2)

    def count_taken_back(self, uid: str, since: float = 0.0, until: float = math.inf) -> int:
        """How often the template of a workload lost our revision in a time."""
        return sum(each.uid == uid and since <= each.at <= until for each in self.taken_back)

    def _end_policy(self) -> None:
        self._cluster.is_stripping = any(_now() < each.until for each in self.stripped)

    def _restarted(self, name: str) -> None:
        grip = self._owners.get(name)
        if grip is not None and grip.times > 0:
            grip.times -= 1
            self._later(grip.delay, self.take_back, name)

    def take_back(self, name: str) -> None:
        """Somebody writes the pod template without annotations."""
        self._put_template(name, {})

    def _put_template(self, name: str, marks: Mapping[str, str]) -> None:
        if (NAMESPACE, "Deployment", name) not in self._cluster._workloads:
            return
        template = self._cluster.workload_of(NAMESPACE, name)["spec"]["template"]
        held = template["metadata"]["annotations"]
        if held != marks:
            self.taken_back.append(TakenBack(_now(), self._uid(name)))
            changed = {**dict.fromkeys(held), **marks}
            self._cluster.edit_workload(NAMESPACE, name, {"template": {"metadata": {"annotations": changed}}})

    # -- questions that are taken back --------------------------------------------------------------------

    def unask(self, writer: str, times: int, delay: float) -> None:
        """A tool removes so many of the next sync requests from an object, each after a delay."""
        self._unaskers[writer] = _Grip(times, delay)

    def count_unasked(self, writer: str) -> int:
        """How many requests were removed from the object of a writer."""
        return sum(each.uid == writer for each in self.unasked)

    def _asked(self, writer: str) -> None:
        grip = self._unaskers.get(writer)
        if grip is not None and grip.times > 0:
            grip.times -= 1
            self._later(grip.delay, self._unask, writer)

    def _unask(self, name: str) -> None:
        writer = self._cluster.writers[name]
        kind, prefix = writer.plan.kind, annotations.resync_key("")
        held = self._cluster.source_of(NAMESPACE, kind, name)["metadata"].get("annotations") or {}
        ours = [key for key in held if key.startswith(prefix)]
        if ours:
            self.unasked.append(TakenBack(_now(), name))
            self._cluster.annotate_source(NAMESPACE, kind, name, dict.fromkeys(ours))
            writer.noticed(is_of_spec=False)

    # -- what the API server refuses ------------------------------------------------------------------------

    def refuse_kind(self, kind: str, error: str, seconds: float) -> None:
        """A kind of workloads, or of providers, cannot be listed."""
        self._cluster.refuse_kind(kind, str(ERRORS[error]))
        self.refused.append(Refused(kind, _now(), _now() + seconds, str(ERRORS[error])))
        self._later(seconds, self._list_again, kind)

    def refuse_calls(self, method: str, error: str, seconds: float) -> None:
        """A method of the API server fails each time."""
        refusal = self._cluster.refused_calls[method] = ERRORS.get(error, _REJECTED)
        self.refused.append(Refused(method, _now(), _now() + seconds, str(refusal)))
        self._later(seconds, self._call_again, method)

    def is_unlisted_for_ever(self, kind: str) -> bool:
        """Whether a kind cannot be listed to the end."""
        return any(each.what == kind and each.until == math.inf for each in self.refused)

    def was_refused(self, whats: Iterable[str], since: float, until: float) -> bool:
        """Whether some of these kinds and methods were refused in a time."""
        return any(
            each.what in set(whats) and each.since <= until and since <= each.until for each in self.refused
        )

    def _list_again(self, kind: str) -> None:
        self._cluster.refuse_kind(kind, self._reason_left(kind))

    def _call_again(self, method: str) -> None:
        if why := self._reason_left(method):
            self._cluster.refused_calls[method] = _BY_TEXT[why]
        else:
            self._cluster.refused_calls.pop(method, None)

    def _reason_left(self, what: str) -> str | None:
        """Why something is still refused when one of its refusals ends."""
        left = (each.why for each in reversed(self.refused) if each.what == what and _now() < each.until)
        return next(left, None)

    # -- Secrets of the operator ----------------------------------------------------------------------------

    def edit_managed(self, name: str, key: str) -> None:
        """A person edits a key that the operator writes."""
        held = self._cluster.secret_of(NAMESPACE, name)
        if held is not None and key in held.our_keys:
            self.edited.append(TakenBack(_now(), name))
            self._cluster.edit_secret(NAMESPACE, name, **{key: BY_HAND})
            self._journal(name)

    def delete_managed(self, name: str) -> None:
        """A person deletes a Secret that the operator writes."""
        if self._cluster.data_of(NAMESPACE, name):
            self.edited.append(TakenBack(_now(), name))
            self._cluster.delete_secret(NAMESPACE, name)

    def _journal(self, name: str) -> None:
        held = self._cluster.secret_of(NAMESPACE, name)
        assert held is not None
        data = dict(self._cluster.data_of(NAMESPACE, name))
        write = SecretWrite(_now(), int(held.resource_version), name, data, seen=-1)
        self._cluster.secret_writes.append(write)

    # -- another tool that restarts workloads -----------------------------------------------------------

    def _reload(self, secret: str) -> None:
        """Reloader restarts the workloads that use a Secret, by its own rules."""
        for name, plan in self._cluster.environment.workloads.items():
            if plan.is_reloaded and secret in plan.secrets and _now() > 0.0:
                self._later(_RELOADS_AFTER, self._roll, name)

    def _roll(self, name: str) -> None:
        if (NAMESPACE, "Deployment", name) in self._cluster._workloads:
            marks = {"reloader.stakater.com/last-reloaded-from": str(_now())}
            self._cluster.edit_workload(NAMESPACE, name, {"template": {"metadata": {"annotations": marks}}})

    # -- Infisical, and stamps of others ----------------------------------------------------------------

    def rename_environment(self, slug: str, seconds: float) -> None:
        """An environment has another slug for a while."""
        self._infisical.rename_environment(slug, seconds)

    def back_off(self, seconds: float) -> None:
        """Infisical demands that all requests wait."""
        self._infisical.back_off(seconds)

    def upgrade(self, generation: str, mixed: float, trouble: str, seconds: float) -> None:
        """Infisical is upgraded or rolled back, as in `Servers.upgrade`."""
        if self._infisical.servers is not None:
            self._infisical.servers.upgrade(generation, mixed, trouble, seconds)

    def stamp(self, name: str, ahead: float) -> None:
        """Another operator, with another clock, restarts a workload, in the two places of each restart."""
        if (NAMESPACE, "Deployment", name) not in self._cluster._workloads:
            return
        held = self._cluster.workload_of(NAMESPACE, name)["metadata"]["annotations"]
        record = json.loads(held.get(annotations.LAST_RESTART, "{}"))
        revision = f"epoch.{len(self.stamped) + 1}"
        record["time"] = (virtual_now() + timedelta(seconds=ahead)).isoformat()
        record.setdefault("stamps", {})["stranger"] = revision
        self.stamped.append(TakenBack(_now(), self._uid(name)))
        self._cluster.annotate_workload(NAMESPACE, name, {annotations.LAST_RESTART: json.dumps(record)})
        template = {"metadata": {"annotations": {STRANGER: revision}}}
        self._cluster.edit_workload(NAMESPACE, name, {"template": template})

    # -- inside ---------------------------------------------------------------------------------------------

    def _uid(self, name: str) -> str:
        return str(self._cluster.workload_of(NAMESPACE, name)["metadata"]["uid"])

    def _later(self, seconds: float, callback: object, *arguments: object) -> None:
        if seconds < math.inf:
            asyncio.get_running_loop().call_later(seconds, callback, *arguments)  # type: ignore[arg-type]


LISTED_KINDS = tuple(kind.kind for kind in (*WORKLOAD_KINDS, *PROVIDER_KINDS))
"""Kinds that can be refused."""


def _now() -> float:
    return asyncio.get_running_loop().time()
