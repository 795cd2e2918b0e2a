"""Giving free memory back to the system.

Hundreds of subscriptions that lose their streams at one moment leave the C heap full of holes. glibc
keeps these for itself, so that the resident size grows with each outage although nothing is leaked.
"""

import asyncio
import ctypes
from collections.abc import Callable

_PAUSE = 30.0
"""Seconds between two trims; one takes a few milliseconds."""

Trim = Callable[[int], int]


def trimmer() -> Trim | None:
    """`malloc_trim` of the C library (malloc_trim(3)); None where it has none, as musl."""
    trim: Trim | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


async def trim_forever(trim: Trim | None) -> None:
    """Trim the heap again and again until cancelled."""
    while True:
        await asyncio.sleep(_PAUSE)
        if trim is not None:
            trim(0)
