"""The Kubernetes of the simulation: the one in memory, with latency, conflicts, lost and late writes.

It keeps a journal of the applied writes, in the order of the resourceVersions. The invariants use the
journal, and not what an operator reports.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from infisical_events.api import annotations
from infisical_events.api.resources import WorkloadKind
from infisical_events.api.specs import ManagedSecret
from infisical_events.core.ledger.codec import decode
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.status.kube_events import KubeEvent
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.workloads.pod_states import PodState
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    KubernetesError,
    NotFoundError,
    UnknownOutcomeError,
)
from simulation.environment import PLAIN, Environment
from simulation.faults import Faults
from simulation.infisical_model import InfisicalModel
from simulation.pods import Pods, Roll
from support.fake_cluster import DEPLOYMENT, FakeCluster
from support.virtual_time import EPOCH, virtual_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulation.secret_writers import Writer

NAMESPACE = "shop"

SERVED: ContextVar[int] = ContextVar("served", default=0)
"""Which process asks: a number that its tasks are begun with."""

_REVISION = annotations.revision_key("")


@dataclass(frozen=True, slots=True)
class Rollout:
    """A pod template that our patch really changed; `recorded_at` is the time in its restart record.

    `is_unconfirmed` tells that the record doubts that its Secrets were in sync: it stays pending.
    """

    at: float
    recorded_at: datetime
    uid: str
    name: str
    subscription_stamp: tuple[str, str]
    version: int = 0
    process: int = 0
    is_unconfirmed: bool = False


@dataclass(frozen=True, slots=True)
class StoredLedger:
    """A ledger that was stored, and when."""

    at: float
    subscription: str
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class SecretWrite:
    """A content that a Secret got: under which resourceVersion, and from which state of Infisical."""

    at: float
    version: int
    name: str
    content: Mapping[str, str]
    seen: int
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A sync request to a writer: by which subscription (its annotation), for which revision, since when."""

    at: float
    writer: str
    key: str
    stamp: str
    since: float


@dataclass(frozen=True, slots=True)
class AppliedWrite:
    """A write of the operator that the API server applied; two revisions are compared by these."""

    at: float
    kind: str
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """What a stored status says of the restarts, beside the ledger that is stored with it.

    `complete` is the status of condition `RestartsComplete`, empty before there is one.
    """

    at: float
    subscription: str
    complete: str
    reason: str
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class StoredCondition:
    """One condition of a stored status."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StoredConditions:
    """All conditions of a stored status, by type, and when it was stored."""

    at: float
    subscription: str
    by_type: Mapping[str, StoredCondition]


@dataclass(frozen=True, slots=True)
class Warned:
    """A Kubernetes Event of type Warning: when, its reason and text, and the kind and name it is about."""

    at: float
    reason: str
    about: str
    note: str


class ClusterModel(FakeCluster):
    """Implements `runtime.ports.Cluster` for any number of operators at once."""

    namespace = NAMESPACE

    def __init__(self, faults: Faults, infisical: InfisicalModel, environment: Environment = PLAIN) -> None:
        super().__init__(self._interposed)
        self.faults, self.infisical, self.environment = faults, infisical, environment
        self.writers: dict[str, Writer] = {}
        self.rollouts: list[Rollout] = []
        self.ledgers: list[StoredLedger] = []
        self.secret_writes: list[SecretWrite] = []
        self.asked: list[Asked] = []
        self.applied: list[AppliedWrite] = []
        self.statuses: list[StoredStatus] = []
        self.conditions: list[StoredConditions] = []
        self._decoded: dict[str, tuple[Mapping[str, Any], Ledger]] = {}
        self.warnings: list[Warned] = []
        self.is_stripping = False
        """Whether a mutating policy removes our revisions from pod templates."""
        self.refused_calls: dict[str, KubernetesError] = {}
        """Methods of the port that fail now."""
        self.on_restart: Callable[[str], None] = _ignored
        """Called with the name of a workload after each restart that the API server accepted."""
        self.on_asked: Callable[[str], None] = _ignored
        """Called with the name of a writer after each sync request that the API server accepted."""
        self.on_written: Callable[[str], None] = _ignored
        """Called with the name of a Secret after each change of its data."""
        self.pods = Pods()

    async def _interposed(self, method: str) -> None:
        if error := self.refused_calls.get(method):
            raise error
        await self.faults.crash_point(f"before {method}")
        await asyncio.sleep(self.faults.latency())
        if self.faults.injects("api_error"):
            raise KubernetesError("the API server answered 500")

    # -- runtime.ports.Cluster --------------------------------------------------------------------------

    async def write_status(
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription:
        """May conflict with another client's edit, may be applied and its answer lost, now or later."""
        if self.faults.injects("stranger_edit"):
            self.label_subscription(key, f"l{len(self.ledgers)}-{_now()}")
        write = super().write_status

        async def apply() -> StoredSubscription:
            stored = await write(key, resource_version, status)
            self._note_status(key.uid, stored.status)
            if "ledger" in status:
                self._note("ledger", key.uid, status["ledger"])
                self.ledgers.append(StoredLedger(_now(), key.uid, self.statuses[-1].ledger))
            return stored

        return await self._unreliable(apply, "write_status")

    async def patch_workload(
        self, namespace: str, workload: Workload, body: dict[str, Any]
    ) -> Mapping[str, str]:
        """May be applied and its answer lost, now or later."""
        patch = super().patch_workload

        async def apply() -> Mapping[str, str]:
            before = self._template(namespace, workload)
            sent = self._stripped(before, body) if self.is_stripping and "spec" in body else body
            stored = await patch(namespace, workload, sent)
            self._note("workload", workload.name, body)
            after = self._template(namespace, workload)
            if "spec" not in body:
                return stored  # a note of what another client has rolled out
            restart_record = json.loads(body["metadata"]["annotations"][annotations.LAST_RESTART])
            recorded_at = datetime.fromisoformat(restart_record["time"])
            version = int(self.workload_of(namespace, workload.name)["metadata"]["resourceVersion"])
            doubted = {annotations.revision_key(name) for name in restart_record.get("doubts") or ()}
            for stamp in after.items() - before.items():
                rollout = Rollout(
                    _now(),
                    recorded_at,
                    workload.uid,
                    workload.name,
                    stamp,
                    version,
                    SERVED.get(),
                    is_unconfirmed=stamp[0] in doubted,
                )
                self.rollouts.append(rollout)
            self.on_restart(workload.name)
            return stored

        stored: Mapping[str, str] = await self._unreliable(apply, "patch_workload")
        return stored

    async def request_sync(
        self, namespace: str, source: SecretProvider, body: dict[str, Any]
    ) -> SecretProvider:
        """May be applied and its answer lost; the writer receives what was applied."""
        ask = super().request_sync

        async def apply() -> SecretProvider:
            before = self.source_of(namespace, source.kind, source.name)["metadata"]
            asked = await ask(namespace, source, body)
            self._note("sync request", source.name, body)
            after = self.source_of(namespace, source.kind, source.name)["metadata"]
            ((key, text),) = body["metadata"]["annotations"].items()
            request = json.loads(text)
            since = (datetime.fromisoformat(request["since"]) - EPOCH).total_seconds()
            self.asked.append(Asked(_now(), source.name, key, request["stamp"], since))
            self.writers[source.name].noticed(is_of_spec=after["generation"] != before["generation"])
            self.on_asked(source.name)
            return asked

        asked: SecretProvider = await self._unreliable(apply, "request_sync")
        return asked

    async def apply_secret(
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], token: str
    ) -> SecretMetadata:
        """Under the version that was read; may be applied and its answer lost, now or later."""
        write = super().apply_secret
        looked_at = self._kept.get((key.namespace, managed.name))

        async def apply() -> SecretMetadata:
            found = self._kept.get((key.namespace, managed.name))
            if looked_at is not None and looked_at != found:
                raise ConflictError("the Secret was written since it was looked at")
            written = await write(key, managed, data, token)
            self._note("secret", managed.name, {"data": dict(data), "content": token})
            if written != found:
                content = self.data_of(key.namespace, managed.name)
                self._journal(managed.name, content, len(self.infisical.past) - 1, is_ours=True)
            return written

        written: SecretMetadata = await self._unreliable(apply, "apply_secret")
        return written

    async def read_workload(self, namespace: str, kind: str, name: str) -> WorkloadState | None:
        """With the rollout as it goes on here; the controller of a Deployment decides when it has failed."""
        state = await super().read_workload(namespace, kind, name)
        if state is None:
            return None
        details = replace(state.rollout, has_deadline=True)
        return replace(state, progress=self.pods.progress(state.workload.uid, _now()), rollout=details)

    async def pod_creation_times(self, namespace: str, selector: str) -> tuple[datetime, ...]:
        """In whole seconds, as the API server reports them."""
        await super().pod_creation_times(namespace, selector)
        raw = self._workloads.get((namespace, DEPLOYMENT.kind, selector.removeprefix("app=")))
        creation_times = self.pods.creation_times(raw["metadata"]["uid"], _now()) if raw else []
        return tuple(EPOCH + timedelta(seconds=int(created_at)) for created_at in creation_times)

    async def list_pods(self, namespace: str, selector: str) -> tuple[PodState, ...]:
        """By their creation times, in whole seconds; those of a rollout that fails are not told apart."""
        await super().list_pods(namespace, selector)
        name = selector.removeprefix("app=")
        raw = self._workloads.get((namespace, DEPLOYMENT.kind, name))
        born = self.pods.creation_times(raw["metadata"]["uid"], _now()) if raw else []
        return tuple(
            PodState(f"{name}-{number}", EPOCH + timedelta(seconds=int(at)), {})
            for number, at in enumerate(born)
        )

    async def emit_event(self, notice: KubeEvent) -> None:
        """Takes no time; only Warnings are kept."""
        if error := self.refused_calls.get("emit_event"):
            raise error
        if notice.is_warning:
            about = f"{notice.about.kind}/{notice.about.name}"
            self.warnings.append(Warned(_now(), notice.reason, about, notice.note))

    # -- what controllers and people do -------------------------------------------------------------------

    def write_secret(
        self, name: str, content: Mapping[str, str], words: Mapping[str, str], seen: int
    ) -> None:
        """A write by another operator; an equal content is no write."""
        found = self._kept.get((NAMESPACE, name))
        if found is None or found.annotations != words:
            self.keep_secret(NAMESPACE, name, words, written_at=virtual_now().replace(microsecond=0))
            self._journal(name, content, seen)

    def create_workload(
        self,
        namespace: str,
        name: str,
        annotations: Mapping[str, str],
        kind: WorkloadKind = DEPLOYMENT,
        secrets: "Iterable[str]" = (),
    ) -> None:
        """Its pods are born at once, with the Secrets as they are."""
        super().create_workload(namespace, name, annotations, kind, secrets)
        self.date_workload(namespace, name, virtual_now().replace(microsecond=0))
        self._rolled(self.workload_of(namespace, name, kind)["metadata"], by="")

    def _replace(
        self, objects: dict[Any, Any], place: tuple[str, ...], new: dict[str, Any]
    ) -> dict[str, Any]:
        old = objects[place]
        stored = super()._replace(objects, place, new)
        if objects is self._workloads and stored["spec"]["template"] != old["spec"]["template"]:
            marks = [each["spec"]["template"]["metadata"]["annotations"].items() for each in (old, stored)]
            news = [key for key, _ in marks[1] - marks[0] if key.startswith(_REVISION)]
            self._rolled(stored["metadata"], by=news[0] if news else "")
        return stored

    def _rolled(self, metadata: Mapping[str, Any], *, by: str) -> None:
        takes, version = self.environment.workload(metadata["name"]).takes, int(metadata["resourceVersion"])
        marks = self.workload_of(NAMESPACE, metadata["name"])["spec"]["template"]["metadata"]["annotations"]
        template = json.dumps(marks, sort_keys=True)
        is_back = any(roll.template == template for roll in self.pods.rolls[metadata["uid"]])
        by = "" if is_back else by  # somebody went back to the template of an earlier restart
        self.pods.roll(metadata["uid"], Roll(_now(), version, takes, by, template))

    def _journal(self, name: str, content: Mapping[str, str], seen: int, *, is_ours: bool = False) -> None:
        version = int(self._kept[NAMESPACE, name].resource_version)
        self.secret_writes.append(SecretWrite(_now(), version, name, dict(content), seen, is_ours))
        self.on_written(name)

    def _note_status(self, uid: str, status: Mapping[str, Any]) -> None:
        conditions = {
            each["type"]: StoredCondition(each["status"], each["reason"], each["message"])
            for each in status.get("conditions") or ()
        }
        self.conditions.append(StoredConditions(_now(), uid, conditions))
        if "ledger" not in status:
            return
        found = conditions.get("RestartsComplete", StoredCondition("", "", ""))
        complete, reason = found.status, found.reason
        raw, ledger = self._decoded.get(uid, ({}, None))
        if ledger is None or raw is not status["ledger"]:
            ledger = decode(status["ledger"])
            self._decoded[uid] = status["ledger"], ledger
        self.statuses.append(StoredStatus(_now(), uid, complete, reason, ledger))

    def _note(self, kind: str, name: str, body: Mapping[str, Any]) -> None:
        self.applied.append(AppliedWrite(_now(), kind, name, body))

    def _template(self, namespace: str, workload: Workload) -> dict[str, str]:
        raw = self._workloads.get((namespace, workload.kind.kind, workload.name))
        if raw is None:
            return {}
        found: dict[str, str] = raw["spec"]["template"]["metadata"]["annotations"]
        return dict(found)

    def _stripped(self, held: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
        """The patch after a policy that removes our revisions, also those from before it."""
        sent = body["spec"]["template"]["metadata"]["annotations"]
        removed = dict.fromkeys(key for key in (*held, *sent) if key.startswith(_REVISION))
        return {**body, "spec": {"template": {"metadata": {"annotations": {**sent, **removed}}}}}

    async def _unreliable(self, apply: Callable[[], Any], method: str) -> Any:  # noqa: ANN401 - as applied
        if self.faults.injects("lost_request"):
            raise UnknownOutcomeError("no answer")
        if self.faults.injects("late_write"):
            asyncio.get_running_loop().call_later(self.faults.latency(), _later, apply)
            raise UnknownOutcomeError("no answer")
        applied = await apply()
        await self.faults.crash_point(f"after {method}")
        if self.faults.injects("lost_answer"):
            raise UnknownOutcomeError("no answer")
        return applied


def _ignored(_: str) -> None:
    """Nobody reacts."""


def _later(apply: Callable[[], Any]) -> None:
    """A request that its client gave up and that arrives all the same; its result is dropped."""

    async def run() -> None:
        try:
            await apply()
        except (ConflictError, NotFoundError, KubernetesError):
            return
        except BaseException as crash:
            if type(crash).__name__ != "Crash":
                raise

    _LATE.add(task := asyncio.get_running_loop().create_task(run()))
    task.add_done_callback(_LATE.discard)


_LATE: set[asyncio.Task[None]] = set()


def _now() -> float:
    return asyncio.get_running_loop().time()
