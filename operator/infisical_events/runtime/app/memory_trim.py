"""Returns free memory to the system.

Hundreds of subscriptions that lose their streams at the same moment fragment the C heap. glibc keeps the
free parts, so that the resident size grows with each outage although there is no leak.
"""

import asyncio
import ctypes
from collections.abc import Callable

_PAUSE = 30.0
"""Seconds between two trims; one takes a few milliseconds."""

Trim = Callable[[int], int]


def trimmer() -> Trim | None:
    """`malloc_trim` of the C library (malloc_trim(3)); None for a library without it, such as musl."""
    trim: Trim | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


async def trim_forever(trim: Trim | None) -> None:
    """Trim the heap at intervals until cancelled."""
    while True:
        await asyncio.sleep(_PAUSE)
        if trim is not None:
            trim(0)
