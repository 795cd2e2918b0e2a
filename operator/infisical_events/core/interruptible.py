"""Computations that can be interrupted: generators that yield between pieces of work and return their result.

For computations whose length a tenant controls; `runtime.limits.fair_scheduling` runs them without
blocking the event loop.
"""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Interruptible = Generator[None, None, T]
"""A computation; each piece of work between two yields takes microseconds to milliseconds."""


def run_to_end(steps: Interruptible[T]) -> T:
    """Run a computation without interruption and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as over:
            result: T = over.value
            return result
