"""Ends a process whose event loop is blocked, and prints the stacks of its threads.

The kubelet's probe of /healthz would end it as well, but without a message. A stack names files, lines
and functions, and no values.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infisical_events.runtime.metrics import Metrics

MAX_MISSED = 30
"""Checks in a row, one per second, without a heartbeat after which the process is ended."""

_BEAT = 0.5
_CHECK = 1.0
_KEPT_LAGS = 120
"""Heartbeats of one minute."""
_HARD_LIMIT = 120.0
"""Seconds after which a process ends that executes no Python code at all, as in an endless regex match."""
_EXIT_CODE = 70


class Heartbeat:
    """Counts the heartbeats of the event loop; a thread outside of it checks the count."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lags: deque[float] = deque(maxlen=_KEPT_LAGS)
        self.beats = 0

    async def run(self) -> None:
        """Count heartbeats and measure how late the loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT
            await asyncio.sleep(_BEAT)
            self.beats += 1
            self._lags.append(loop.time() - due)
            self._metrics.set_event_loop_lag(max(self._lags))


class MissedHeartbeats:
    """Checks in a row that found no new heartbeat.

    Checks are counted and not seconds: a process that was stopped and continues (SIGSTOP, a frozen
    container) was not blocked.
    """

    def __init__(self) -> None:
        self._known = -1
        self.missed = 0

    def check(self, beats: int) -> int:
        """Make one more check; how many checks in a row have missed a heartbeat."""
        self.missed = 0 if beats != self._known else self.missed + 1
        self._known = beats
        return self.missed


def abort() -> None:
    """Print the stack of every thread, and end without another line of the program."""
    print(f"event loop blocked for {MAX_MISSED} s; aborting. Thread stacks:", file=sys.stderr)  # noqa: T201 - logging may be blocked itself
    sys.stderr.flush()
    faulthandler.dump_traceback()
    os._exit(_EXIT_CODE)


@contextmanager
def watchdog(
    heartbeat: Heartbeat, on_blocked: Callable[[], None] = abort, check: float = _CHECK
) -> Iterator[None]:
    """End the process if the event loop is blocked inside of the context.

    Args:
        heartbeat: The heartbeats of the loop.
        on_blocked: Called in the thread of the watchdog when the loop is blocked.
        check: Seconds between two checks.
    """
    leaving = threading.Event()

    def watch() -> None:
        heartbeats = MissedHeartbeats()
        while not leaving.wait(check):
            faulthandler.dump_traceback_later(_HARD_LIMIT, exit=True)
            if heartbeats.check(heartbeat.beats) >= MAX_MISSED:
                on_blocked()
                return

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()
