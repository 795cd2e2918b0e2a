"""Runs attacks against one operator beside one neighbour, and measures."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from e2e.faults import waiting
from e2e.faults.fault_environment import AdminApi
from hostile import operator_sampler
from hostile.attack import SUBSCRIPTIONS, Attack
from hostile.attack_process import OWN_TREE, AttackerError, AttackProcess, attack_process
from hostile.attacker import Assignment
from hostile.disguises import leaked
from hostile.figures import AttackResult, Bounds, Figures, broken_bounds
from hostile.neighbour import Neighbour, TimedChange, neighbour
from hostile.stall_probe import FILE_VARIABLE, UNANSWERED
from hostile.trap import Trap, trap
from local_cluster import Cluster
from support.eventually import DeadlineExceededError
from support.operator_process import OperatorProcess

_HOME = "infisical-events"
_BETWEEN_CHANGES = 1.0
_MIN_CHANGES = 3
_GONE_SECONDS = 90
_SETTLING = 1.0
_BACK_SECONDS = 60
_LAST_CHARACTERS = 3_000
_NAMED = 4
_RESTARTS = 600
"""Per minute: the neighbour alone needs 60, half of the default budget, which has tests of its own."""

Say = Callable[[str], None]


@dataclass(slots=True)
class HostileEnvironment:
    """The operator, the neighbour, and where attacks come from. One operator serves until a bound breaks."""

    cluster: Cluster
    api: AdminApi
    neighbour: Neighbour
    operator: OperatorProcess
    trap: Trap
    folder: Path
    say: Say
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def stalls(self) -> Path:
        """The file of the probe."""
        return self.folder / "stalls.jsonl"

    def run(self, attacks: Sequence[Attack], name: str, seconds: float | None = None) -> AttackResult:
        """Run attacks at the same time; return one row of the table."""
        try:
            figures = self._measured(attacks, seconds)
            result = AttackResult(name, figures, broken_bounds(figures, self.bounds))
        except (AttackerError, AssertionError, httpx.HTTPError, OSError) as error:
            result = AttackResult(name, failure=f"{type(error).__name__}: {error}")
        self.say(result.progress)
        if not result.holds:
            self._say_end()
            self._restart_operator()
        return result

    def _say_end(self) -> None:
        """Report why a process has ended by itself."""
        code = self.operator.process.poll() if self.operator.process else None
        if code is not None:
            last = self.operator.log.read_text(errors="replace")[-_LAST_CHARACTERS:]
            self.say(f"  the operator ended with exit code {code}; its log ends with:\n{last}")

    def _restart_operator(self) -> None:
        """So that the next attack starts with an operator that no other has damaged."""
        self.operator.kill()
        self.operator.start()
        self.neighbour.wait_served()

    def _measured(self, attacks: Sequence[Attack], seconds: float | None) -> Figures:
        with ExitStack() as stack:
            prepared = [stack.enter_context(self._prepared(attack)) for attack in attacks]
            lasting = seconds or max(attack.seconds for attack in attacks)
            self.neighbour.wait_served()
            self.neighbour.wait_rolled_out()
            waiting.pause(_SETTLING)
            before = _Before.of(self)
            with operator_sampler.OperatorSampler(before.pid, self._lease) as sampler:
                for each in prepared:
                    each.process.go()
                applying = threading.Thread(target=_wait_applied, args=(prepared,), daemon=True)
                applying.start()
                changes = self._time_changes(before.pid, applying, lasting)
                self._wait_answering()
            log = self._log_since(before.log)
            missing = [each.process.end() for each in prepared]
            return self._figures(before, sampler, changes, log, prepared, missing)

    def _wait_answering(self) -> None:
        """Wait until the event loop is back: a stall is known when it ends, if only by the watchdog."""

        def is_over() -> bool:
            if self.operator.process is None or self.operator.process.poll() is not None:
                return True
            with suppress(OSError):
                return bool(self.operator.get("/healthz"))
            return False

        with suppress(DeadlineExceededError):
            waiting.wait_until(is_over, seconds=_BACK_SECONDS, what="the operator answers")

    def _time_changes(self, pid: int, applying: threading.Thread, seconds: float) -> list[TimedChange | None]:
        """Change the neighbour's secret until the attack has lasted for so long after it was applied."""
        changes, until = list[TimedChange | None](), float("inf")
        while time.monotonic() < until or len(changes) < _MIN_CHANGES:
            begun = time.monotonic()
            changes.append(self.neighbour.time_change(pid))
            self.neighbour.wait_rolled_out()
            waiting.pause(max(0.05, begun + _BETWEEN_CHANGES - time.monotonic()))
            if until == float("inf") and not applying.is_alive():
                until = time.monotonic() + seconds
            if self.operator.process is None or self.operator.process.poll() is not None:
                break
        return changes

    def _figures(
        self,
        before: "_Before",
        sampler: operator_sampler.OperatorSampler,
        changes: Sequence[TimedChange | None],
        log: bytes,
        prepared: Sequence["_Prepared"],
        missing: Sequence[str],
    ) -> Figures:
        ended = self.operator.process is None or self.operator.process.poll() is not None
        seen = [log.decode(errors="replace"), "" if ended else self._metrics()]
        events = 0
        for each in prepared:
            found = self._items(f"/api/v1/namespaces/{each.assignment.namespace}/events")
            events = max([events, *_by_subscription(found).values()])
            seen += [json.dumps(found, ensure_ascii=False), *self._statuses(each.assignment.namespace)]
        for text in filter(None, missing):
            self.say(f"  not applied: {text[:500]}")
        return Figures(
            seconds=time.monotonic() - before.at,
            changes=tuple(change.own for change in changes if change is not None),
            gross=tuple(change.seconds for change in changes if change is not None),
            unserved=sum(change is None for change in changes),
            rss=sampler.rss,
            rss_before=before.rss,
            stalls=operator_sampler.stalls_in(self.stalls, before.at),
            is_same_process=not ended and self.operator.process.pid == before.pid,  # type: ignore[union-attr]
            lease_gap=sampler.gap,
            is_lease_kept=sampler.is_kept,
            log=len(log),
            events=events,
            leaks=self._leaks(before, prepared, "\n".join(seen)),
            is_applied=not any(missing),
        )

    def _leaks(self, before: "_Before", prepared: Sequence["_Prepared"], seen: str) -> tuple[str, ...]:
        found = {
            kind: sorted({form for text in texts for form in leaked(text, seen)})
            for kind, texts in (
                ("secret", [each.assignment.client_secret for each in prepared]),
                ("token", [each.assignment.token for each in prepared]),
            )
        }
        leaks = [f"of a {kind} as {_few(forms)}" for kind, forms in found.items() if forms]
        return (*leaks, *(["to a forbidden port"] if self.trap.caught > before.caught else []))

    def _lease(self) -> dict[str, Any]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{_HOME}/leases/infisical-events-shard-0"
        return dict(self.api.http.get(path).raise_for_status().json())

    def _items(self, path: str) -> list[dict[str, Any]]:
        return list(self.api.http.get(path, timeout=60).raise_for_status().json()["items"])

    def _statuses(self, namespace: str) -> Iterator[str]:
        """What the operator wrote of the tenant's subscriptions, and the tenant's Deployments."""
        for item in self._items(SUBSCRIPTIONS.format(namespace)):
            yield json.dumps(item.get("status"), ensure_ascii=False)
        for item in self._items(f"/apis/apps/v1/namespaces/{namespace}/deployments"):
            yield json.dumps(item, ensure_ascii=False)

    def _metrics(self) -> str:
        try:
            return self.operator.get("/metrics")
        except OSError:
            return ""

    def _log_since(self, offset: int) -> bytes:
        with self.operator.log.open("rb") as log:
            log.seek(offset)
            return log.read()

    @contextmanager
    def _prepared(self, attack: Attack) -> Iterator["_Prepared"]:
        """A namespace of the attack and its process, which waits; both are gone after the block."""
        namespace = f"hostile-{secrets.token_hex(4)}"
        self.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        host, port = self.operator.url.removeprefix("http://").split(":")
        assignment = Assignment(
            attack=attack.name,
            namespace=namespace,
            cluster=str(self.cluster.state_dir),
            client_secret=secrets.token_hex(20),
            token=secrets.token_hex(20),
            trap=self.trap.port,
            operator_host=host,
            operator_port=int(port),
        )
        try:
            with attack_process(assignment, self.folder / "attacker.log") as process:
                yield _Prepared(assignment, process)
        finally:
            self._remove(namespace)

    def _remove(self, namespace: str) -> None:
        """Delete a namespace and wait until the operator has nothing to serve there."""
        path = SUBSCRIPTIONS.format(namespace)
        with suppress(httpx.HTTPError, DeadlineExceededError):
            self.api.http.delete(path, timeout=60)
            self.api.http.delete(f"/api/v1/namespaces/{namespace}")
            waiting.wait_until(
                lambda: not self._items(path), seconds=_GONE_SECONDS, what="the subscriptions are gone"
            )


@dataclass(frozen=True, slots=True)
class _Prepared:
    assignment: Assignment
    process: AttackProcess


@dataclass(frozen=True, slots=True)
class _Before:
    """What the figures are compared with."""

    at: float
    pid: int
    rss: int
    log: int
    caught: int

    @classmethod
    def of(cls, environment: HostileEnvironment) -> "_Before":
        process = environment.operator.process
        if process is None:
            raise AssertionError("the operator does not run")
        rss = operator_sampler.reset_peak(process.pid)
        log = environment.operator.log.stat().st_size
        return cls(time.monotonic(), process.pid, rss, log, environment.trap.caught)


def _wait_applied(prepared: Sequence[_Prepared]) -> None:
    with suppress(AttackerError):  # `end` reports it
        for each in prepared:
            each.process.wait_applied()


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _by_subscription(events: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many Kubernetes Events each subscription has, repetitions included."""
    found: dict[str, int] = {}
    for event in events:
        involved = event.get("involvedObject", {})
        if involved.get("kind") == "InfisicalEventSubscription":
            series = (event.get("series") or {}).get("count") or event.get("count") or 1
            found[involved["name"]] = found.get(involved["name"], 0) + series
    return found


@contextmanager
def hostile_environment(
    cluster: Cluster, folder: Path, say: Say, bounds: Bounds
) -> Iterator[HostileEnvironment]:
    """Start the operator, which serves all namespaces, and the neighbour; end both after the block."""
    with ExitStack() as stack:
        api = AdminApi(cluster)
        stack.callback(api.http.close)
        api.create("/api/v1/namespaces", {"metadata": {"name": _HOME}})
        found = stack.enter_context(neighbour(api, folder))
        trapping = stack.enter_context(trap())
        operator = _operator(cluster, folder)
        stack.callback(operator.kill)
        operator.start()
        found.wait_served()
        yield HostileEnvironment(cluster, api, found, operator, trapping, folder, say, bounds)


def _operator(cluster: Cluster, folder: Path) -> OperatorProcess:
    """The operator with the chart's defaults but for addresses and restarts, and the probe."""
    usual = OperatorProcess.for_namespace(_HOME, cluster.kubeconfig, folder)
    flags = dict(zip(usual.command[4::2], usual.command[5::2], strict=True))
    del flags["--namespace"]
    flags |= {"--log-level": "info", "--log-format": "json", "--max-restarts-per-minute": str(_RESTARTS)}
    patterns = ("http://127.0.0.1:*", "https://127.0.0.1:*", f"http://*{UNANSWERED}")
    del flags["--allowed-address"]
    arguments = [part for flag in flags.items() for part in flag]
    arguments += [part for pattern in patterns for part in ("--allowed-address", pattern)]
    usual.command = [usual.command[0], "-m", "hostile.stall_probe", "run", *arguments]
    usual.environment = {**OWN_TREE, FILE_VARIABLE: str(folder / "stalls.jsonl")}
    return usual
