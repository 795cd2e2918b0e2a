"""Fixtures around the local control plane, shared by every test that talks to Kubernetes.

One cluster per test session. The first worker that needs it starts it; the others find it by the state
folder. The process that runs the session stops it, and a guardian stops it if that process is killed.
A session without such tests starts no cluster.
`KUBECONFIG_FOR_TESTS` names another cluster to use; tests that break components are skipped then.
"""

import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from local_cluster import Cluster, ClusterError, program_provider
from support import eventually as polling
from support.kubectl import KubectlError, kubectl_for
from support.object_client import ObjectClient

# The time of an example depends on the machine and is no property of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_STATE = pytest.StashKey[tuple[str, int]]()  # the session's state folder and process
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ForeignCluster:
    """A cluster that tests must not break."""

    kubeconfig: Path
    binaries: Path

    def restart(self, *_: object, **__: object) -> NoReturn:
        """Skip the test: only a cluster of this session may be broken."""
        pytest.skip("the test breaks a component, and KUBECONFIG_FOR_TESTS names a cluster in use")

    up = status = compact = start = stop = pause = resume = restart


# -- one cluster for all workers ------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Choose the state folder of the session and pass it to its workers. Restore the usual signals."""
    # A session started in the background or by nohup ignores signals, and so would its child processes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    given = getattr(config, "workerinput", {}).get("cluster")
    folder = f"infisical-sandbox-tests-{os.getpid()}-{secrets.token_hex(4)}"
    config.stash[_STATE] = given or (str(Path(tempfile.gettempdir()) / folder), os.getpid())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist does not export the type
    """Pass the session's state folder to an xdist worker."""
    node.workerinput["cluster"] = node.config.stash[_STATE]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the mark to tests with the fixture, and the fixture to tests with the mark."""
    for item in items:
        fixtures = getattr(item, "fixturenames", [])
        if "cluster" in fixtures or "private_cluster" in fixtures:
            item.add_marker("cluster")
        elif item.get_closest_marker("cluster"):
            fixtures.insert(0, "cluster")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test: a first build takes longer than the time limit of a test."""
    wanted = any(item.get_closest_marker("cluster") for item in session.items)
    if wanted and not session.config.option.collectonly:
        with contextlib.suppress(ClusterError):  # the fixture reports it, test by test
            program_provider.provide(program_provider.sources(os.environ), _say)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the cluster when the session ends."""
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
    """Options of `private_cluster`; a test module overrides them."""
    return {}


@pytest.fixture
def private_cluster(
    tmp_path: Path, pytestconfig: pytest.Config, cluster_options: dict[str, Any]
) -> Iterator[Cluster]:
    """A control plane for one test, which may break it; ready in about 4 s."""
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


@pytest.fixture(scope="session")
def object_client(cluster: Cluster | ForeignCluster) -> Iterator[ObjectClient]:
    """One connection to the API server, as the administrator."""
    client = ObjectClient.opened(cluster.kubeconfig)
    yield client
    client.close()


@pytest.fixture
def private_client(private_cluster: Cluster) -> Iterator[ObjectClient]:
    """One connection to the API server of `private_cluster`."""
    client = ObjectClient.opened(private_cluster.kubeconfig)
    yield client
    client.close()


@pytest.fixture
def namespace(object_client: ObjectClient, eventually: Callable[..., Any]) -> Iterator[str]:
    """A namespace for one test, ready to run pods; its deletion is not awaited."""
    name = f"test-{secrets.token_hex(4)}"
    object_client.create_namespace(name)
    try:
        eventually(lambda: object_client.is_ready(name))
        yield name
    finally:
        object_client.delete_namespace(name)


# -- waiting --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """`eventually(condition, seconds=20)`: its first truthy value, or AssertionError.

    A failed assertion and an error of kubectl mean "not yet".
    """
    return partial(polling.eventually, seconds=20, pause=_PAUSE_SECONDS, not_yet=(KubectlError,))


@pytest.fixture(scope="session")
def eventually_async() -> Callable[..., Awaitable[Any]]:
    """The asynchronous twin of `eventually`, for coroutine functions; its result is awaited."""
    return partial(polling.eventually_async, seconds=20, pause=_PAUSE_SECONDS, not_yet=(KubectlError,))
