"""The delayed events of folders that import or refer to a changed folder.

A change queues a first job; changes of the same folder in the same time window share it. The first job
queues a second one, which publishes an import mutation for each importing folder and starts again
from there. A visited set ends cycles; a folder that is reached on two ways may get two events.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import events, fan_out, folders

if TYPE_CHECKING:
    from collections.abc import Callable

    from infisical_sandbox.server.domain.changes import FolderKey
    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.events import Event

_FIRST_SHARE = 0.75


class FanOutQueue:
    """The job queue of one server."""

    def __init__(
        self,
        store: Store,
        delay: float,
        publish: Callable[[Event], None],
        touched: Callable[[FolderKey], None],
    ) -> None:
        """`delay` is the time of one level in seconds; `touched` is called by each first job."""
        self._store = store
        self._delay = delay
        self._publish = publish
        self._touched = touched
        self._handles: dict[object, asyncio.TimerHandle] = {}

    def queue(self, changed: FolderKey, visited: frozenset[FolderKey] = frozenset()) -> None:
        """Start the jobs for a folder, unless this chain has visited it."""
        if changed in visited:
            return
        job_id = (changed, self._window())
        if job_id not in self._handles:
            self._later(job_id, self._delay * _FIRST_SHARE, self._first, changed, visited)

    def stop(self) -> None:
        """Cancel all waiting jobs."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    @property
    def waiting(self) -> int:
        """The number of waiting jobs."""
        return len(self._handles)

    def _window(self) -> object:
        width = self._delay * _FIRST_SHARE
        return int(clock.now().wall / width) if width else object()

    def _first(self, changed: FolderKey, visited: frozenset[FolderKey]) -> None:
        self._touched(changed)
        delay = self._delay * (1 - _FIRST_SHARE)
        self._later(object(), delay, self._second, changed, visited | {changed})

    def _second(self, changed: FolderKey, visited: frozenset[FolderKey]) -> None:
        if folders.find(self._store, *changed) is None:
            return
        for listener in fan_out.listeners(self._store, changed):
            self._publish(events.import_mutation(*listener))
            self.queue(listener, visited)

    def _later(
        self,
        job_id: object,
        delay: float,
        job: Callable[[FolderKey, frozenset[FolderKey]], None],
        changed: FolderKey,
        visited: frozenset[FolderKey],
    ) -> None:
        def run() -> None:
            self._handles.pop(job_id, None)
            job(changed, visited)

        self._handles[job_id] = asyncio.get_running_loop().call_later(delay, run)
