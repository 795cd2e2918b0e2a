"""Returns free memory to the system, and collects garbage without long pauses.

Hundreds of subscriptions that lose their streams at the same moment fragment the C heap. glibc keeps the
free parts, so that the resident size grows with each outage although there is no leak.
"""

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

_PAUSE = 30.0
"""Seconds between two trims; one takes a few milliseconds."""

_SHORT_PAUSE = 3.0
"""The same while the process grows."""

_GROWTH = 16 << 20
"""Bytes since the last trim above which the process grows: large responses leave as much."""

_THRESHOLDS = (20_000, 10, 100)
"""New objects until a collection of the youngest ones, and collections until one of the next generation."""

Trim = Callable[[int], int]


def tune_garbage_collector() -> None:
    """Exempt from collections what was made by the imports, and make full ones rare.

    A full collection examines all objects of all subscriptions, and the event loop stands still meanwhile: up
    to a second with some hundred subscriptions, each time that their number has grown by a quarter. What is
    garbage in cycles, such as httpx's responses, is young.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def resident_bytes() -> int:
    """The bytes that the process has in memory (proc(5)); 0 on a system without /proc."""
    try:
        fields = Path("/proc/self/statm").read_bytes().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def trimmer() -> Trim | None:
    """`malloc_trim` of the C library (malloc_trim(3)); None for a library without it, such as musl."""
    trim: Trim | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


async def trim_forever(trim: Trim | None, resident: Callable[[], int] = resident_bytes) -> None:
    """Trim the heap at intervals until cancelled, and sooner while it grows."""
    now = asyncio.get_running_loop().time
    trimmed_at, left = now(), resident()
    while True:
        await asyncio.sleep(_SHORT_PAUSE)
        if now() - trimmed_at < _PAUSE and resident() - left < _GROWTH:
            continue
        if trim is not None:
            trim(0)
        trimmed_at, left = now(), resident()
