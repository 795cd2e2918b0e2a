"""Free memory goes back to the system, again and again, and garbage is collected in short pauses."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from infisical_events.runtime.app.memory_trim import trim_forever, trimmer, tune_garbage_collector
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
            await asyncio.wait_for(trim_forever(function, lambda: 0), 301.0)
    assert pads == [0] * 10


@in_virtual_time
async def test_a_heap_that_grows_is_trimmed_sooner() -> None:
    """Large responses follow one another: what one leaves must not be kept beside the next."""
    resident = 0
    moments: list[float] = []

    def trim(_: int) -> int:
        moments.append(asyncio.get_running_loop().time())
        return 1

    trimming = asyncio.create_task(trim_forever(trim, lambda: resident))
    await asyncio.sleep(10.0)
    resident = 20 << 20
    await asyncio.sleep(10.0)
    trimming.cancel()
    assert moments == [pytest.approx(12.0)]


def test_the_c_library_is_asked() -> None:
    """Where it is glibc, it trims; it may find nothing to give back."""
    trim = trimmer()

    assert trim is None or trim(0) in {0, 1}


@pytest.fixture
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("_collector")
def test_full_collections_are_rare() -> None:
    """What existed at the start is never examined again; a million new objects lead to no full collection."""
    tune_garbage_collector()
    assert gc.get_freeze_count() > 10_000
    full = gc.get_stats()[2]["collections"]
    kept = [[number] for number in range(1_000_000)]
    assert gc.get_stats()[2]["collections"] == full
    assert len(kept) == 1_000_000


@pytest.mark.usefixtures("_collector")
def test_young_garbage_is_collected() -> None:
    """Garbage in cycles does not add up."""
    tune_garbage_collector()
    alive = weakref.WeakSet[_Node]()
    for _ in range(60_000):
        alive.add(_Node())
    assert len(alive) <= 21_000


class _Node:
    def __init__(self) -> None:
        self.itself = self
