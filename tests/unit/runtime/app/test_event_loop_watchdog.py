"""A process whose event loop stands still ends and says where; one that is only slow goes on."""

import asyncio
import subprocess
import sys
import textwrap
import threading
import time

from infisical_events.runtime.app import event_loop_watchdog
from infisical_events.runtime.app.event_loop_watchdog import MOST_CHECKS, Heartbeat, MissedHeartbeats, watched
from infisical_events.runtime.metrics import Metrics
from support.virtual_time import in_virtual_time


def test_count() -> None:
    """Checks without a beat count in a row; one beat forgives them all."""
    count = MissedHeartbeats()
    assert [count.check(beats) for beats in (0, 0, 0, 1, 1, 2)] == [0, 1, 2, 0, 1, 0]


@in_virtual_time
async def test_beats() -> None:
    """A loop that is idle beats twice a second and is not late."""
    metrics = Metrics()
    pulse = Heartbeat(metrics)
    beating = asyncio.create_task(pulse.beat_forever())
    await asyncio.sleep(60.2)
    assert pulse.beats == 120
    assert "infisical_events_event_loop_lag_seconds 0.0" in metrics.render().decode()
    beating.cancel()


async def test_lag() -> None:
    """What holds the loop up is told for a minute."""
    metrics = Metrics()
    pulse = Heartbeat(metrics)
    beating = asyncio.create_task(pulse.beat_forever())
    await asyncio.sleep(0)
    threading.Event().wait(0.7)  # as code that does not yield
    while not pulse.beats:  # noqa: ASYNC110 - of a task that tells nobody
        await asyncio.sleep(0.01)
    lag = next(
        line
        for line in metrics.render().decode().splitlines()
        if line.startswith("infisical_events_event_loop_lag")
    )
    assert float(lag.split()[1]) > 0.1
    beating.cancel()


async def test_ended() -> None:
    """Without a beat the end comes after so many checks; while it beats it does not come."""
    ended = threading.Event()
    pulse = Heartbeat(Metrics())
    with watched(pulse, ended.set, check=0.001):
        assert await asyncio.to_thread(ended.wait, 10)
    ended.clear()
    begun = time.monotonic()
    with watched(pulse, ended.set, check=0.01):
        while time.monotonic() < begun + 2 * MOST_CHECKS * 0.01:
            pulse.beats += 1
            await asyncio.sleep(0.001)
    assert not ended.is_set()


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, which has to come to an end."""
    return subprocess.run(  # noqa: S603 - our own program
        (sys.executable, "-c", textwrap.dedent(program)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_wedged() -> None:
    """The process ends with the place where it hangs, and without what the variables there hold."""
    program = """
        import asyncio, re
        from infisical_events.runtime.metrics import Metrics
        from infisical_events.runtime.app.event_loop_watchdog import Heartbeat, watched

        def hangs(token):
            while token:
                pass

        async def main():
            pulse = Heartbeat(Metrics())
            with watched(pulse, check=0.01):
                task = asyncio.create_task(pulse.beat_forever())
                await asyncio.sleep(0)
                hangs("canary-token")

        asyncio.run(main())
    """
    done = ended(program)
    assert done.returncode == event_loop_watchdog._EXIT_CODE
    assert "the event loop stands still" in done.stderr
    assert "in hangs" in done.stderr
    assert "canary" not in done.stderr


def test_wedged_without_python() -> None:
    """Also what never lets go of the interpreter, such as a match that goes on for years, is ended."""
    program = f"""
        import asyncio, re
        from infisical_events.runtime.app import event_loop_watchdog
        from infisical_events.runtime.metrics import Metrics

        event_loop_watchdog._HARD_LIMIT = 1.0

        async def main():
            pulse = event_loop_watchdog.Heartbeat(Metrics())
            with event_loop_watchdog.watched(pulse, check=0.05):
                task = asyncio.create_task(pulse.beat_forever())
                await asyncio.sleep(0.5)
                re.match("(a+)+$", "{"a" * 60}b")

        asyncio.run(main())
    """
    done = ended(program)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert " in main" in done.stderr
