"""The other operators of the simulation: which Secrets they write, how slowly, and how they acknowledge it.

Each kind is a small model of the real one: what triggers it, which state of Infisical it reads, what it
writes on the Secret, and what it acknowledges on its own object, in this order.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET
from infisical_events.api.statuses import rfc3339
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.sync.secret_providers import CONTENT_ANNOTATIONS
from simulation.environment import WriterPlan
from simulation.faults import Faults
from simulation.infisical_model import InfisicalModel
from support.virtual_time import virtual_now

if TYPE_CHECKING:
    from simulation.cluster_model import ClusterModel

_TRY_AGAIN = 10.0
"""Seconds until a sync that failed is tried again."""

_GENERATED: Mapping[str, str] = {"PASSWORD": "generated"}

ANSWERS_WITHIN = 0.5
"""Seconds between the write of the Secret and the acknowledgement, at most."""


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync that was acknowledged: when it began, and when that could be seen."""

    begun_at: float
    seen_at: float
    is_stale: bool


class Writer:
    """One object that writes one Secret, and the controller behind it.

    Attributes:
        syncs: Those that came to a good end.
    """

    def __init__(
        self,
        plan: WriterPlan,
        cluster: "ClusterModel",
        infisical: InfisicalModel,
        faults: Faults,
        rng: random.Random,
    ) -> None:
        self.plan = plan
        self.syncs: list[Sync] = []
        self._cluster, self._infisical, self._faults, self._rng = cluster, infisical, faults, rng
        self._is_away = False
        self._is_broken = False
        self._is_busy = False
        self._is_dirty = False
        self._life = 0  # what was begun in an earlier one never comes to its end
        self._namespace = "elsewhere" if plan.is_hidden else cluster.namespace

    def begin(self) -> None:
        """The object, and its Secret as of now; from then on it syncs by its interval."""
        self._cluster.put_source(self._namespace, self.plan.kind, self.plan.name, spec=self._spec())
        seen = len(self._infisical.past) - 1
        self._write(self._object(), self._content(seen), seen)
        self._acknowledge(self._object(), _now(), is_stale=False)
        if self.plan.is_dead or self.plan.is_unable:
            self._is_away = True
        self._later(self._rng.uniform(0, self.plan.every), self._by_interval, in_any_life=True)

    # -- what happens to it ---------------------------------------------------------------------------

    def noticed(self, *, is_of_spec: bool) -> None:
        """Its object was changed; the oldest kind reacts to changes of the spec alone."""
        if is_of_spec or self.plan.kind is not INFISICAL_SECRET:
            self._sync()

    def received(self, folder: Folder) -> None:
        """Something changed in Infisical."""
        if self.plan.is_instant and folder == self.plan.folder:
            self._later(self._rng.uniform(0, 2), self._sync)

    def stop_writer(self) -> None:
        """Its controller dies; a sync under way is lost."""
        self._is_away, self._is_busy, self._is_dirty = True, False, False
        self._life += 1

    def start_writer(self) -> None:
        """Its controller is back and reconciles its object."""
        if self._is_away and not (self.plan.is_dead or self.plan.is_unable):
            self._is_away = False
            self._sync()

    def break_writer(self) -> None:
        """From now on its reads of Infisical fail."""
        self._is_broken = True

    def repair_writer(self) -> None:
        """Its reads succeed again with its next try."""
        self._is_broken = False

    # -- a sync -----------------------------------------------------------------------------------------

    def _by_interval(self) -> None:
        self._sync()
        self._later(self.plan.every, self._by_interval, in_any_life=True)

    def _sync(self) -> None:
        if self._is_away:
            return
        if self._is_busy:
            self._is_dirty = True
            return
        self._is_busy, self._is_dirty = True, False
        stored, begun_at, is_stale = self._object(), _now(), self._faults.injects("stale_sync")
        seen = self._infisical.index_at(begun_at - self._rng.uniform(0, 5)) if is_stale else -1
        seen = seen if seen >= 0 else len(self._infisical.past) - 1
        content = self._content(seen)

        def write() -> None:
            if self._is_broken:
                self._report_failure()
                return
            self._write(stored, content, seen)
            self._later(self._rng.uniform(0.01, ANSWERS_WITHIN), end)

        def end() -> None:
            self._acknowledge(stored, begun_at, is_stale=is_stale)
            self._finish()

        self._later(self._rng.uniform(0.05, self.plan.takes), write)

    def _content(self, seen: int) -> Mapping[str, str]:
        """The data as of a state of Infisical; those of a generator have nothing to do with it."""
        return _GENERATED if self.plan.is_foreign else self._infisical.past[seen].content(self.plan.folder)

    def _finish(self) -> None:
        self._is_busy = False
        if self._is_dirty:
            self._sync()

    def _report_failure(self) -> None:
        failed = {"status": "False", "message": "could not get secret data"}
        conditions = {
            EXTERNAL_SECRET: [{"type": "Ready", **failed}],
            STATIC_SECRET: [
                *(c for c in self._conditions() if c["type"] != _LAST),
                {"type": _LAST, **failed},
            ],
        }
        if self.plan.kind in conditions:
            self._publish({**self._status(), "conditions": conditions[self.plan.kind]})
        self._finish()
        self._later(_TRY_AGAIN, self._sync)

    def _write(self, stored: Mapping[str, Any], content: Mapping[str, str], seen: int) -> None:
        """The Secret, with a fingerprint that changes with its content alone."""
        copied = dict(stored["metadata"].get("annotations") or {}) if self.plan.kind is STATIC_SECRET else {}
        words = copied | {CONTENT_ANNOTATIONS[self.plan.kind.kind]: _digest(content)}
        self._cluster.write_secret(self.plan.name, content, words, seen)

    def _acknowledge(self, stored: Mapping[str, Any], begun_at: float, *, is_stale: bool) -> None:
        ready = {"status": "True", "message": "synced"}
        metadata = stored["metadata"]
        if self.plan.kind is EXTERNAL_SECRET:
            version = f"{metadata['generation']}-{_digest(metadata.get('annotations') or {})}"
            self._publish({"syncedResourceVersion": version, "conditions": [{"type": "Ready", **ready}]})
        elif self.plan.kind is STATIC_SECRET:
            success = {"type": _SUCCESS, "status": "True", "message": rfc3339(virtual_now())}
            self._publish({"conditions": [success, {"type": _LAST, **ready}]})
        self.syncs.append(Sync(begun_at, _now(), is_stale))

    # -- its object ---------------------------------------------------------------------------------------

    def _spec(self) -> dict[str, Any]:
        if self.plan.kind is INFISICAL_SECRET:
            target = {"secretName": self.plan.name, "secretNamespace": self._cluster.namespace}
            scope = {"envSlug": self.plan.folder.environment, "secretsPath": self.plan.folder.path}
            return {
                "authentication": {"universalAuth": {"secretsScope": scope}},
                "managedKubeSecretReferences": [target],
                "syncConfig": {"resyncInterval": "60s"},
            }
        if self.plan.kind is STATIC_SECRET:
            return {"targets": [{"kind": "Secret", "name": self.plan.name}]}
        if self.plan.is_foreign:
            generator = {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password"}
            return {"dataFrom": [{"sourceRef": {"generatorRef": {**generator, "name": "password"}}}]}
        return {"refreshPolicy": "CreatedOnce" if self.plan.is_unable else "Periodic"}

    def _object(self) -> Mapping[str, Any]:
        return self._cluster.source_of(self._namespace, self.plan.kind, self.plan.name)

    def _status(self) -> Mapping[str, Any]:
        return self._object().get("status") or {}

    def _conditions(self) -> list[Mapping[str, Any]]:
        return list(self._status().get("conditions") or ())

    def _publish(self, status: Mapping[str, Any]) -> None:
        self._cluster.put_source(self._namespace, self.plan.kind, self.plan.name, status=dict(status))

    def _later(self, seconds: float, callback: Any, *, in_any_life: bool = False) -> None:  # noqa: ANN401 - callable
        life = self._life

        def run() -> None:
            if in_any_life or life == self._life:
                callback()

        asyncio.get_running_loop().call_later(seconds, run)


_SUCCESS = "secrets.infisical.com/LastSuccessfulReconcileAt"
_LAST = "secrets.infisical.com/LastReconcileStatus"


def _digest(words: Mapping[str, str]) -> str:
    return sha256(repr(sorted(words.items())).encode()).hexdigest()[:16]


def _now() -> float:
    return asyncio.get_running_loop().time()
