"""Free memory goes back to the system, again and again."""

import asyncio

import pytest

from infisical_events.runtime.app.memory_trim import trim_forever, trimmer
from support.virtual_time import in_virtual_time


@in_virtual_time
async def test_the_heap_is_trimmed_as_long_as_the_operator_runs() -> None:
    """Twice a minute, down to the last page that is free; where the C library cannot, nothing happens."""
    pads: list[int] = []

    def trim(pad: int) -> int:
        pads.append(pad)
        return 1

    for function in (trim, None):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(trim_forever(function), 301.0)
    assert pads == [0] * 10


def test_the_c_library_is_asked() -> None:
    """Where it is glibc, it trims; it may find nothing to give back."""
    trim = trimmer()

    assert trim is None or trim(0) in {0, 1}
