"""Ending a process whose event loop stands still, with the places where it does.

The kubelet's probe of /healthz would end it, too, but without a word. A traceback names files, lines and
functions, and no values.
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

MOST_CHECKS = 30
"""Checks, one a second, without a beat after which the process is ended."""

_BEAT = 0.5
_CHECK = 1.0
_REMEMBERED = 120
"""Beats: those of a minute."""
_HARD_LIMIT = 120.0
"""Seconds after which the end comes also where no Python runs at all, as in an endless match."""
_EXIT_CODE = 70


class Heartbeat:
    """The beats of the event loop, which a thread counts from outside."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)
        self.beats = 0

    async def beat_forever(self) -> None:
        """Beat, and tell how late the loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT
            await asyncio.sleep(_BEAT)
            self.beats += 1
            self._lags.append(loop.time() - due)
            self._metrics.set_event_loop_lag(max(self._lags))


class MissedHeartbeats:
    """Checks in a row that found no new beat.

    Checks are counted and not seconds: a process that was stopped and goes on (SIGSTOP, a frozen container)
    was not wedged.
    """

    def __init__(self) -> None:
        self._known = -1
        self.missed = 0

    def check(self, beats: int) -> int:
        """One more check; how many in a row have missed a beat."""
        self.missed = 0 if beats != self._known else self.missed + 1
        self._known = beats
        return self.missed


def end() -> None:
    """Tell where every thread stands, and end without another line of the program."""
    print("the event loop stands still; the process ends. Where its threads are:", file=sys.stderr)  # noqa: T201 - logging may be what hangs
    sys.stderr.flush()
    faulthandler.dump_traceback()
    os._exit(_EXIT_CODE)


@contextmanager
def watched(pulse: Heartbeat, ended: Callable[[], None] = end, check: float = _CHECK) -> Iterator[None]:
    """End the process when the loop stands still while the block lasts; `check` is seconds between looks."""
    leaving = threading.Event()

    def watch() -> None:
        count = MissedHeartbeats()
        while not leaving.wait(check):
            faulthandler.dump_traceback_later(_HARD_LIMIT, exit=True)
            if count.check(pulse.beats) >= MOST_CHECKS:
                ended()
                return

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()
