"""Computations that can be interrupted: generators that yield where they may, and return their result.

Used by what a tenant can make long; `runtime.slicing` carries them out without holding up anybody.
"""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Interruptible = Generator[None, None, T]
"""A computation: it yields between any two pieces of work that take microseconds to milliseconds."""


def run_to_end(steps: Interruptible[T]) -> T:
    """Carry a computation out in one piece."""
    while True:
        try:
            next(steps)
        except StopIteration as over:
            result: T = over.value
            return result
