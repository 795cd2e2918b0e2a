"""`python -m hostile.stall_probe run …`: the operator, with a probe of its event loop beside it.

The operator's own `infisical_events_event_loop_lag_seconds` looks twice a second and so misses most of a
stall of 0.3 s. The probe looks 50 times a second. A stall is the delay of the loop without the time for which
its thread was ready to run and the machine gave the processor to others (schedstat, proc(5)): on a shared
machine, that is no property of the operator.

Each stall is a JSON line in the file of the variable `HOSTILE_STALLS`, with the place of the code that the
loop was in most of the time. A long call into C shows the line of its return, because no other thread runs
meanwhile.

Host names that end with `UNANSWERED` get no answer, as from DNS servers that are silent: nothing else here
changes what the operator does.
"""

import asyncio
import json
import os
import runpy
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from infisical_events.runtime.app.event_loop_watchdog import Heartbeat

UNANSWERED = ".unanswered.invalid"
FILE_VARIABLE = "HOSTILE_STALLS"

_BEAT = 0.02
_REPORTED = 0.05
"""Seconds; the bound is 0.25."""
_LOOKED_AT = 0.1
"""Seconds without a beat after which the thread looks where the loop is."""
_FRAMES = 7
_SILENCE = 60.0


class StallProbe:
    """Beats in the loop; a thread looks at the loop's stack while a beat is missing."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._beaten = time.monotonic()
        self._places = Counter[str]()
        self._thread = threading.get_ident()
        self._schedstat = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)

    async def run(self) -> None:
        """Beat until cancelled."""
        threading.Thread(target=self._look_forever, name="stall-probe", daemon=True).start()
        waited = self._waited()
        while True:
            await asyncio.sleep(_BEAT)
            now, waited_before = time.monotonic(), waited
            waited = self._waited()
            lag = now - self._beaten - _BEAT
            stall = lag - (waited - waited_before)
            places, self._beaten, self._places = self._places, now, Counter()
            if stall > _REPORTED:
                self._report(now, stall, lag, places)

    def _waited(self) -> float:
        """Seconds for which the thread of the loop has waited for a processor so far."""
        return int(os.pread(self._schedstat, 100, 0).split()[1]) / 1e9

    def _report(self, now: float, stall: float, lag: float, places: Counter[str]) -> None:
        place = next((each for each, _ in places.most_common(1)), "")
        line = {"at": now, "stall": round(stall, 4), "lag": round(lag, 4), "place": place}
        with self._file.open("a") as output:
            output.write(json.dumps(line) + "\n")

    def _look_forever(self) -> None:
        while True:
            time.sleep(_BEAT)  # noqa: TID251 - a thread that samples
            if time.monotonic() - self._beaten > _LOOKED_AT:
                frame = sys._current_frames().get(self._thread)
                self._places[place_of(frame)] += 1


def place_of(frame: FrameType | None) -> str:
    """The innermost frames of a stack as `file:line function`, the innermost one first."""
    found = []
    while frame is not None and len(found) < _FRAMES:
        code = frame.f_code
        found.append(f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(found)


def _install() -> None:
    """Run the probe beside the heartbeat of the operator's watchdog; leave some names without an answer."""
    beat, look_up = Heartbeat.run, socket.getaddrinfo

    async def beat_with_probe(heartbeat: Heartbeat) -> None:
        probing = asyncio.create_task(StallProbe(Path(os.environ[FILE_VARIABLE])).run())
        try:
            await beat(heartbeat)
        finally:
            probing.cancel()

    def look_up_or_wait(host: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as getaddrinfo
        if str(host).endswith(UNANSWERED):
            time.sleep(_SILENCE)  # noqa: TID251 - in a thread of the resolver, as a lookup blocks
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return look_up(host, *arguments, **named)

    Heartbeat.run = beat_with_probe  # type: ignore[method-assign]
    socket.getaddrinfo = look_up_or_wait


if __name__ == "__main__":
    _install()
    runpy.run_module("infisical_events", run_name="__main__", alter_sys=True)
