"""Pauses for one address end together, and the reconnects are spread."""

import asyncio
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from infisical_events.runtime.limits.reconnect_limiter import ReconnectLimiter, ReconnectLimiters
from support.virtual_time import in_virtual_time


def now() -> float:
    """Seconds of the loop's clock."""
    return asyncio.get_running_loop().time()


async def passed(limiter: ReconnectLimiter, after: float = 0.0) -> float:
    """The time at which a start that comes after so many seconds is admitted."""
    await asyncio.sleep(after)
    async with limiter.connecting():
        return now()


async def rested(limiter: ReconnectLimiter, seconds: float) -> float:
    """The time at which a pause of so many seconds ends."""
    await limiter.wait(seconds)
    return now()


def most_within_a_second(moments: list[float]) -> int:
    """The most of these moments in any second."""
    return max(sum(begin <= moment < begin + 1.0 for moment in moments) for begin in moments)


@in_virtual_time
async def test_three_hundred() -> None:
    """Three hundred reconnects at one moment are admitted within 4 s, and at most 100 in any second."""
    limiter = ReconnectLimiter()
    moments = await asyncio.gather(*(passed(limiter) for _ in range(300)))
    assert max(moments) < 4.0
    assert most_within_a_second(moments) <= 100


async def connected(limiter: ReconnectLimiter, counts: list[int], namespace: str) -> None:
    """Count who connects, at the begin and at the end of a first connect that takes a second."""
    async with limiter.connecting(namespace, is_first=True):
        counts.append(counts[-1] + 1)
        await asyncio.sleep(1.0)
        counts.append(counts[-1] - 1)


@in_virtual_time
async def test_first_connects() -> None:
    """First connects are limited by those in progress alone; no namespace takes all places."""
    limiter, counts = ReconnectLimiter(), [0]
    await asyncio.gather(*(connected(limiter, counts, "many") for _ in range(24)))
    assert (now(), max(counts)) == (2.0, 12)
    await asyncio.gather(*(connected(limiter, counts, str(number)) for number in range(32)))
    assert (now(), max(counts)) == (4.0, 16)


@settings(max_examples=30, deadline=None)
@given(comings=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200))
def test_never_a_herd(comings: list[float]) -> None:
    """Whenever reconnects come, at most 100 are admitted in any second."""

    @in_virtual_time
    async def moments() -> list[float]:
        limiter = ReconnectLimiter()
        return await asyncio.gather(*(passed(limiter, coming) for coming in comings))

    assert most_within_a_second(moments()) <= 100


@in_virtual_time
async def test_few() -> None:
    """A few starts do not wait."""
    limiter = ReconnectLimiter()
    assert await asyncio.gather(*(passed(limiter) for _ in range(4))) == [0.0] * 4


@in_virtual_time
async def test_cancelled_starts_delay_no_other_start() -> None:
    """Hundreds of cancelled starts use up none of the rate."""
    limiter = ReconnectLimiter()
    tasks = [asyncio.create_task(passed(limiter)) for _ in range(500)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await passed(limiter) < 0.5


@in_virtual_time
async def test_back() -> None:
    """Pauses end when the server is back, and not before."""
    limiter = ReconnectLimiter()
    resting = [asyncio.create_task(rested(limiter, 30.0)) for _ in range(3)]
    await asyncio.sleep(2.0)
    limiter.notify_recovered()
    assert await asyncio.gather(*resting) == [2.0] * 3
    assert await rested(limiter, 30.0) == 32.0


@in_virtual_time
async def test_rest_ends_by_itself() -> None:
    """A pause is never longer than requested."""
    assert await rested(ReconnectLimiter(), 30.0) == 30.0


@in_virtual_time
async def test_server_that_is_back_again_and_again() -> None:
    """A server that lets some in all the time does not make the others come more than every 5 seconds."""
    limiter, comings = ReconnectLimiter(), list[float]()

    async def come_again() -> None:
        while True:
            comings.append(await rested(limiter, 30.0))

    refused = asyncio.create_task(come_again())
    for _ in range(1000):
        await asyncio.sleep(0.1)
        limiter.notify_recovered()
    refused.cancel()
    assert 15 <= len(comings) <= 21
    assert min(later - earlier for earlier, later in pairwise(comings)) >= 4.9


@in_virtual_time
async def test_one_limiter_per_address() -> None:
    """Subscriptions of one address share its limiter; unused limiters are not kept."""
    limiters = ReconnectLimiters()
    limiter = limiters.for_address("https://a.example")
    assert limiters.for_address("https://a.example") is limiter
    assert limiters.for_address("https://b.example") is not limiter
    assert list(limiters._limiters) == ["https://a.example"]
