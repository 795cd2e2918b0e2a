"""Time at the wire, where it cannot be virtual."""

import asyncio
from collections.abc import Callable

import pytest


@pytest.fixture
async def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the running loop's clock forward: call it while nothing is under way."""
    loop = asyncio.get_running_loop()
    really, passed = loop.time, [0.0]

    def move(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(loop, "time", lambda: really() + passed[0])
    return move
