"""Time for tests: a loop whose clock jumps over every wait, and a clock that is set by hand.

`in_virtual_time` is for code without sockets: when nothing is left to do, the next timer is due at once.
"""

import asyncio
import functools
import inspect
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
"""The wall clock of tests stands here when the loop's clock stands at zero."""


class _Skipping(selectors.DefaultSelector):
    """A selector that does not wait: it advances the loop's clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._jumps = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self._jumps += 1  # only a signal is ever ready: it may wait for a few jumps
        ready: list[Any] = super().select(0) if timeout is None or self._jumps % 64 == 0 else []
        if not ready and timeout is None:
            raise RuntimeError("nothing is left to do and nothing is timed: this would wait for ever")
        if not ready:
            self.now += timeout or 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that begins at zero and needs no real time."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._skipping.now


def virtual_now() -> datetime:
    """The wall clock that goes with the running loop's clock."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a plain function of a coroutine function: it runs in a virtual loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(test(*args, **kwargs))

    del run.__wrapped__  # or pytest takes it for a coroutine function still
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined] # fixtures go by it
    return run
