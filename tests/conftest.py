"""Fixtures around the local control plane, shared by every test that talks to Kubernetes.

One cluster per test session: whichever worker needs it first starts it (the others find it under
the same state folder), the process that runs the session takes it down, and a guardian does so if
that process is killed. Without a test that needs it nothing is started.
`KUBECONFIG_FOR_TESTS` names a cluster to use instead; tests that break components skip then.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from local_cluster import Cluster, ClusterError, program_provider

Value = TypeVar("Value")

# How long an example takes says something of the machine, and nothing of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_STATE = pytest.StashKey[tuple[str, int]]()  # the session's state folder and process
_PAUSE_SECONDS = 0.05


class KubectlError(Exception):
    """kubectl said no; the message is what it wrote to standard error."""


@dataclass(frozen=True, slots=True)
class ForeignCluster:
    """A cluster that is not ours to break."""

    kubeconfig: Path
    binaries: Path

    def restart(self, *_: object, **__: object) -> NoReturn:
        """Skip: only a cluster of this session may be broken."""
        pytest.skip("KUBECONFIG_FOR_TESTS names a cluster that is not ours to break")

    up = status = compact = start = stop = pause = resume = restart


# -- one cluster for all workers ------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Agree on a state folder: the session decides, its workers are told. Signals work."""
    # A session that was begun in the background, or by nohup, ignores signals, and so would all it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    told = getattr(config, "workerinput", {}).get("cluster")
    folder = f"infisical-sandbox-tests-{os.getpid()}-{secrets.token_hex(4)}"
    config.stash[_STATE] = told or (str(Path(tempfile.gettempdir()) / folder), os.getpid())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist does not export the type
    """Tell an xdist worker where the session's cluster is."""
    node.workerinput["cluster"] = node.config.stash[_STATE]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make the mark and the fixture mean the same."""
    for item in items:
        fixtures = getattr(item, "fixturenames", [])
        if "cluster" in fixtures or "private_cluster" in fixtures:
            item.add_marker("cluster")
        elif item.get_closest_marker("cluster"):
            fixtures.insert(0, "cluster")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the programs present where no test's time limit applies: the first build is long."""
    wanted = any(item.get_closest_marker("cluster") for item in session.items)
    if wanted and not session.config.option.collectonly:
        with contextlib.suppress(ClusterError):  # the fixture reports it, test by test
            program_provider.provide(program_provider.sources(os.environ), _say)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the cluster down when the session ends."""
    state, owner = config.stash.get(_STATE, ("", 0))
    if owner == os.getpid() and Path(state).exists():
        Cluster(Path(state)).down()
        shutil.rmtree(state)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Cluster | ForeignCluster:
    """The session's control plane. Break a component only in `private_cluster`."""
    if foreign := os.environ.get("KUBECONFIG_FOR_TESTS"):
        return ForeignCluster(
            Path(foreign), program_provider.provide(program_provider.sources(os.environ), _say)
        )
    state, owner = pytestconfig.stash[_STATE]
    return Cluster(Path(state)).up(while_pid=owner)


@pytest.fixture
def cluster_options() -> dict[str, Any]:
    """How `private_cluster` is made besides its folder; a file of tests overrides it."""
    return {}


@pytest.fixture
def private_cluster(
    tmp_path: Path, pytestconfig: pytest.Config, cluster_options: dict[str, Any]
) -> Iterator[Cluster]:
    """A control plane of this test alone, to break at will; ready in about 4 s."""
    _, owner = pytestconfig.stash[_STATE]
    own = Cluster(tmp_path / "cluster", **cluster_options)
    try:
        yield own.up(while_pid=owner)
    finally:
        own.down()


def _say(line: str) -> None:
    print(line, file=sys.__stderr__, flush=True)


# -- talking to it --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster | ForeignCluster) -> Callable[..., str]:
    """`kubectl("get", "pods", "-n", namespace, stdin="")`: its output, or KubectlError."""
    return kubectl_for(cluster)


def kubectl_for(cluster: Cluster | ForeignCluster) -> Callable[..., str]:
    """Return a kubectl for a cluster as its administrator."""
    command = (str(cluster.binaries / "kubectl"), f"--kubeconfig={cluster.kubeconfig}")

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(  # noqa: S603 - our own kubectl
            (*command, *arguments), input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    return run


@pytest.fixture
def namespace(kubectl: Callable[..., str], eventually: Callable[..., Any]) -> Iterator[str]:
    """A namespace of this test alone, ready to run pods; deleted afterwards without waiting."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", name))
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


# -- waiting --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """`eventually(condition, seconds=20)`: its first truthy value, or AssertionError.

    A failed assertion and a kubectl that says no mean "not yet".
    """

    def poll(condition: Callable[[], Value], *, seconds: float = 20) -> Value:
        deadline = time.monotonic() + seconds
        while True:
            last = _attempt(condition)
            if last and not isinstance(last, _NotYet):
                return last
            _check(deadline, seconds, last)
            time.sleep(_PAUSE_SECONDS)  # noqa: TID251 - the pause between two looks

    return poll


@pytest.fixture(scope="session")
def eventually_async() -> Callable[..., Awaitable[Any]]:
    """The asynchronous twin of `eventually`, for coroutine functions; its result is awaited."""

    async def poll(condition: Callable[[], Awaitable[Value]], *, seconds: float = 20) -> Value:
        deadline = time.monotonic() + seconds
        while True:
            try:
                last: Value | _NotYet = await condition()
            except (AssertionError, KubectlError) as error:
                last = _NotYet(error)
            if last and not isinstance(last, _NotYet):
                return last
            _check(deadline, seconds, last)
            await asyncio.sleep(_PAUSE_SECONDS)

    return poll


@dataclass(frozen=True, slots=True)
class _NotYet:
    """Why a look at a condition had no value."""

    reason: Exception


def _attempt(condition: Callable[[], Value]) -> Value | _NotYet:
    try:
        return condition()
    except (AssertionError, KubectlError) as error:
        return _NotYet(error)


def _check(deadline: float, seconds: float, last: object) -> None:
    if time.monotonic() > deadline:
        pytest.fail(f"not within {seconds:g} s; the last value was {last!r}")
