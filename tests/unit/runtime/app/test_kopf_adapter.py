"""What kopf says that is no defect is not logged; defects are."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from infisical_events.runtime.app.kopf_adapter import quiet_kopf


@pytest.fixture(autouse=True)
def _loggers_restored() -> Iterator[None]:
    loggers = [logging.getLogger(f"kopf._core.reactor.{name}") for name in ("orchestration", "running")]
    levels = [each.level for each in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


async def _watch() -> AsyncIterator[int]:
    try:
        yield 1
    except GeneratorExit:
        raise RuntimeError("generator didn't stop after athrow()") from None


async def _leave_watch_open(open_watches: list[AsyncIterator[int]], *, quiet: bool) -> None:
    if quiet:
        quiet_kopf()
    open_watches.append(_watch())
    assert await anext(open_watches[0]) == 1


@pytest.mark.parametrize("quiet", [True, False])
def test_watch_left_open(caplog: pytest.LogCaptureFixture, *, quiet: bool) -> None:
    """The loop closes a watch and the generators within it at the same time, and one of them objects."""
    open_watches: list[AsyncIterator[int]] = []
    asyncio.run(_leave_watch_open(open_watches, quiet=quiet))
    assert bool(caplog.records) is not quiet


def test_lost_error(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a task that nobody awaits is logged."""

    async def lose() -> None:
        quiet_kopf()
        task = asyncio.create_task(_defect())
        await asyncio.wait({task})
        del task
        gc.collect()

    asyncio.run(lose())
    assert "ZeroDivisionError" in caplog.text


async def _defect() -> None:
    raise ZeroDivisionError
