"""A process whose event loop is blocked ends and prints its stacks; one that is only slow goes on."""

import asyncio
import subprocess
import sys
import textwrap
import threading
import time

from infisical_events.runtime.app import event_loop_watchdog
from infisical_events.runtime.app.event_loop_watchdog import MAX_MISSED, Heartbeat, MissedHeartbeats, watchdog
from infisical_events.runtime.metrics import Metrics
from support.virtual_time import in_virtual_time


def test_count() -> None:
    """Checks without a heartbeat count in a row; one heartbeat resets the count."""
    count = MissedHeartbeats()
    assert [count.check(beats) for beats in (0, 0, 0, 1, 1, 2)] == [0, 1, 2, 0, 1, 0]


@in_virtual_time
async def test_beats() -> None:
    """An idle loop has two heartbeats a second and is not late."""
    metrics = Metrics()
    heartbeat = Heartbeat(metrics)
    beating = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(60.2)
    assert heartbeat.beats == 120
    assert "infisical_events_event_loop_lag_seconds 0.0" in metrics.render().decode()
    beating.cancel()


async def test_lag() -> None:
    """The lag of a blocked loop is reported for a minute."""
    metrics = Metrics()
    heartbeat = Heartbeat(metrics)
    beating = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(0)
    threading.Event().wait(0.7)  # as code that does not yield
    while not heartbeat.beats:  # noqa: ASYNC110 - a task without an event
        await asyncio.sleep(0.01)
    lag = next(
        line
        for line in metrics.render().decode().splitlines()
        if line.startswith("infisical_events_event_loop_lag")
    )
    assert float(lag.split()[1]) > 0.1
    beating.cancel()


async def test_ended() -> None:
    """Without a heartbeat the process ends after so many checks; with heartbeats it does not."""
    ended = threading.Event()
    heartbeat = Heartbeat(Metrics())
    with watchdog(heartbeat, ended.set, check=0.001):
        assert await asyncio.to_thread(ended.wait, 10)
    ended.clear()
    begun = time.monotonic()
    with watchdog(heartbeat, ended.set, check=0.01):
        while time.monotonic() < begun + 2 * MAX_MISSED * 0.01:
            heartbeat.beats += 1
            await asyncio.sleep(0.001)
    assert not ended.is_set()


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own until it ends."""
    return subprocess.run(  # noqa: S603 - our own program
        (sys.executable, "-c", textwrap.dedent(program)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_wedged() -> None:
    """The process prints the function that blocks it, and no values of variables."""
    program = """
        import asyncio, re
        from infisical_events.runtime.metrics import Metrics
        from infisical_events.runtime.app.event_loop_watchdog import Heartbeat, watchdog

        def hangs(token):
            while token:
                pass

        async def main():
            heartbeat = Heartbeat(Metrics())
            with watchdog(heartbeat, check=0.01):
                task = asyncio.create_task(heartbeat.run())
                await asyncio.sleep(0)
                hangs("canary-token")

        asyncio.run(main())
    """
    done = ended(program)
    assert done.returncode == event_loop_watchdog._EXIT_CODE
    assert "event loop blocked for 30 s; aborting" in done.stderr
    assert "in hangs" in done.stderr
    assert "canary" not in done.stderr


def test_wedged_without_python() -> None:
    """A process that never releases the interpreter, as in an endless regex match, is ended as well."""
    program = f"""
        import asyncio, re
        from infisical_events.runtime.app import event_loop_watchdog
        from infisical_events.runtime.metrics import Metrics

        event_loop_watchdog._HARD_LIMIT = 1.0

        async def main():
            heartbeat = event_loop_watchdog.Heartbeat(Metrics())
            with event_loop_watchdog.watchdog(heartbeat, check=0.05):
                task = asyncio.create_task(heartbeat.run())
                await asyncio.sleep(0.5)
                re.match("(a+)+$", "{"a" * 60}b")

        asyncio.run(main())
    """
    done = ended(program)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert " in main" in done.stderr
