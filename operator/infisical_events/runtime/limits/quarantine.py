"""What a process was busy with when it died starts last in the next one, alone, and is named.

A process that its watchdog ends, or that the kernel ends for its memory, cannot say why. So long computations
and large responses are recorded in a file while they are in progress, by the subscription they are for. A
container that is started again in its pod finds the file of the one before.
"""

import asyncio
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infisical_events.runtime.tasks import PART_OF

_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 3600.0
"""Seconds for which a suspect waits, doubled by each death."""

_MOST_NAMED = 1000
_MOST_BYTES = 1 << 20
"""Of the file."""
_BUSY, _DEATHS = "busy", "deaths"

_SUBSCRIPTION = "subscription "
"""How the name of a subscription's task begins; `namespace/name` follows."""


def task_name_of(subscription: str) -> str:
    """The name of the tasks of a subscription, `namespace/name`."""
    return f"{_SUBSCRIPTION}{subscription}"


def subscription_of(task: "asyncio.Task[object] | None") -> str:
    """The subscription that a task works for; empty if it works for none."""
    name = task.get_name().removeprefix(PART_OF) if task else ""
    return name.removeprefix(_SUBSCRIPTION) if name.startswith(_SUBSCRIPTION) else ""


class Quarantine:
    """The suspects of earlier processes, and what this one is busy with.

    Without a file nothing is recorded and nobody is suspected; a file that cannot be written is the same.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.alone = asyncio.Lock()
        """Held while a suspect starts."""
        self._file = file
        self._busy = Counter[str]()
        self._deaths = _deaths_in(file) if file else {}
        if self._deaths:
            self._write()

    def deaths(self, subscription: str) -> int:
        """How many processes in a row died while they were busy with a subscription, `namespace/name`."""
        return self._deaths.get(subscription, 0)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Record that the subscription of the current task does something that may end the process."""
        subscription = subscription_of(asyncio.current_task())
        self._add(subscription, 1)
        try:
            yield
        finally:
            self._add(subscription, -1)

    def accuse(self, subscription: str) -> None:
        """Record the subscription whose task blocks the event loop; called from the watchdog's thread."""
        self._add(subscription, 1)

    def acquit(self, subscription: str) -> None:
        """A suspect was served for long enough: its next start is an ordinary one."""
        if self._deaths.pop(subscription, 0):
            self._write()

    def _add(self, subscription: str, change: int) -> None:
        if subscription and self._file is not None:
            self._busy[subscription] += change
            self._busy = +self._busy
            self._write()

    def _write(self) -> None:
        if self._file is not None:
            record = {_BUSY: sorted(self._busy)[:_MOST_NAMED], _DEATHS: self._deaths}
            with suppress(OSError):
                _replace(self._file, json.dumps(record))


def pause_after(deaths: int) -> float:
    """Seconds for which a suspect waits."""
    return float(min(_FIRST_PAUSE * 2 ** min(deaths - 1, 10), _LONGEST_PAUSE))


def _deaths_in(file: Path) -> dict[str, int]:
    """The deaths by subscription, with the last one; none if the file is missing or is not ours."""
    try:
        with file.open("rb") as opened:
            record = json.loads(opened.read(_MOST_BYTES))
        deaths = {str(name): int(count) for name, count in record[_DEATHS].items()}
        return deaths | {str(name): deaths.get(str(name), 0) + 1 for name in record[_BUSY]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _replace(file: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all, and follow no link."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with os.fdopen(descriptor, "w") as temporary:
        temporary.write(text)
    Path(name).replace(file)
