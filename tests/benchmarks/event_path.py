# ruff: noqa: T201 - a program that prints
"""`make event-path`: the way of one event through the code, from the frame on the stream to the patch.

A local Infisical, the real client and the whole loop of one subscription; only the API server is in memory.
What is counted is calls of functions of the operator, from the decoding of the frame to the end of the
workload's patch: how many files and functions they are in, and how often a call is in another file than the
call before. The figures depend on no clock: a reader follows the same way.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dis import opmap
from pathlib import Path
from types import CodeType, FrameType

import infisical_events
from infisical_events.core.snapshots.events import decode_frame
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.app.bootstrap import infisical_opener
from infisical_events.runtime.app.digest_keys import DigestKeys
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.sharding.supervisor import Supervisor
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_sandbox.server import Controls, Options, Sandbox
from support.builders import a_raw_spec, an_entry
from support.fake_cluster import FakeCluster, a_digest_key
from support.infisical_sessions import LOOPBACK

_PACKAGE = str(Path(infisical_events.__file__).parent)


class EventPath:
    """The calls from the first frame that is decoded to the first patch of a workload."""

    def __init__(self) -> None:
        self.calls: list[CodeType] = []
        self._is_begun = self._is_over = False

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow all calls of this thread."""
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)

    def end(self) -> None:
        """The patch is made."""
        self._is_over = True

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_ours = code.co_filename.startswith(_PACKAGE)
        if event != "call" or self._is_over or not is_ours or not _is_entered(frame) or _is_import(frame):
            return
        self._is_begun = self._is_begun or code is decode_frame.__code__
        if self._is_begun:
            self.calls.append(code)

    @property
    def files(self) -> list[str]:
        """The file of each call, in order."""
        return [code.co_filename.removeprefix(f"{_PACKAGE}/") for code in self.calls]

    @property
    def changes_of_file(self) -> int:
        """How often a call is in another file than the one before."""
        files = self.files
        return sum(before != after for before, after in itertools.pairwise(files))


def _is_entered(frame: FrameType) -> bool:
    """Whether a function begins, rather than a coroutine or generator that goes on or is closed.

    What goes on has an argument in its `RESUME`; what is closed is at another instruction, its last `yield`.
    """
    instruction, argument = frame.f_code.co_code[frame.f_lasti : frame.f_lasti + 2]
    return instruction == opmap["RESUME"] and argument == 0


def _is_import(frame: FrameType) -> bool:
    """Whether the import system calls: a finder is asked for all that any library imports meanwhile."""
    return frame.f_back is not None and "importlib" in frame.f_back.f_code.co_filename


class _Cluster(FakeCluster):
    """An API server in memory that records the first patch of a workload."""

    def __init__(self, path: EventPath) -> None:
        super().__init__()
        self._path = path
        self.patched = asyncio.Event()

    async def patch_workload(self, *arguments: object) -> Mapping[str, str]:
        stored = await super().patch_workload(*arguments)  # type: ignore[arg-type]
        self._path.end()
        self.patched.set()
        return stored


def _subscribe(cluster: FakeCluster, sandbox: Sandbox) -> SubscriptionKey:
    cluster.put_secret("team", "infisical", {"id": sandbox.client_id, "secret": sandbox.client_secret})
    references = {
        "clientIdRef": {"name": "infisical", "key": "id"},
        "clientSecretRef": {"name": "infisical", "key": "secret"},
    }
    spec = a_raw_spec(
        an_entry(path="/a"),
        an_entry("secret:create", path="/a"),
        address=sandbox.url,
        projectId=sandbox.project_id,
        authentication={"universalAuth": references},
        debounceSeconds=0,
    )
    cluster.create_workload("team", "api", {"events.infisical.com/auto-reload": "true"})
    return cluster.create_subscription("team", "app", spec)


async def _no_key() -> str:
    raise NotImplementedError


async def _is_watching(cluster: FakeCluster, key: SubscriptionKey) -> None:
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(3)  # also for what a new stream asks for
            conditions = cluster.status_of(key).get("conditions", [])
            if ("Ready", "Watching") in {(each["type"], each["reason"]) for each in conditions}:
                return


async def followed() -> EventPath:
    """The way of one change of one secret."""
    async with Sandbox.in_thread(Options()) as sandbox:
        return await _followed(sandbox)


async def _followed(sandbox: Sandbox) -> EventPath:
    path = EventPath()
    cluster, metrics = _Cluster(path), Metrics()
    world = Dependencies(
        cluster=cluster,
        open_infisical=infisical_opener(
            DigestKeys(_no_key), LOOPBACK, CooperativeScheduler(), metrics=metrics.infisical_requests
        ),
        clock=utc_now,
        metrics=metrics,
        default_address="http://127.0.0.1",
        egress=LOOPBACK,
        digest_key=a_digest_key,
    )
    supervisor = Supervisor(world, ())
    await sandbox.do(Controls.set_secrets, "prod", "/a", {"KEY": "1"})
    key = _subscribe(cluster, sandbox)
    supervisor.upsert(key, 1)
    await _is_watching(cluster, key)
    with path.followed():
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"KEY": "2"})
        async with asyncio.timeout(30):
            await cluster.patched.wait()
    await supervisor.close()
    return path


def main() -> None:
    """Print the figures, and the files in the order in which they are entered."""
    path = asyncio.run(followed())
    files = dict.fromkeys(path.files)
    print("\n".join(files))
    print(f"files: {len(files)}")
    print(f"functions: {len(set(path.calls))}")
    print(f"calls: {len(path.calls)}")
    print(f"changes of file: {path.changes_of_file}")


if __name__ == "__main__":
    main()
